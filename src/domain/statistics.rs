//! Figures of finished attempts: sums for each day, and how they look on a terminal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sexton_entities::states::Outcome;

/// A finished attempt, as far as it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedRun {
    /// Name of the task definition.
    pub name: String,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// For the first attempt for an instant of a schedule: the time from that instant to its beginning, in milliseconds.
    pub delay_ms: Option<i64>,
}

/// Sums of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Number of attempts.
    pub runs: i64,
    /// Number of those that failed, crashed or reached their time limit.
    pub failed: i64,
    /// Sum of their durations, in milliseconds.
    pub duration_ms: i64,
    /// The longest duration, in milliseconds.
    pub longest_ms: i64,
    /// Number of first attempts for an instant of a schedule.
    pub scheduled: i64,
    /// Sum of the times from those instants to the beginnings, in milliseconds.
    pub delay_ms: i64,
}

impl Sums {
    /// The sums of both.
    pub fn with(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            failed: self.failed + other.failed,
            duration_ms: self.duration_ms.saturating_add(other.duration_ms),
            longest_ms: self.longest_ms.max(other.longest_ms),
            scheduled: self.scheduled + other.scheduled,
            delay_ms: self.delay_ms.saturating_add(other.delay_ms),
        }
    }

    /// The sums of one attempt; none if nothing was executed, or if it does not count.
    pub fn of(run: &CountedRun) -> Option<Self> {
        let failed = match run.outcome {
            Outcome::Superseded | Outcome::Skipped => return None,
            Outcome::Failed | Outcome::TimedOut | Outcome::Crashed => 1,
            _ => 0,
        };
        let duration = run.duration_ms.unwrap_or(0).max(0);
        Some(Self {
            runs: 1,
            failed,
            duration_ms: duration,
            longest_ms: duration,
            scheduled: i64::from(run.delay_ms.is_some()),
            delay_ms: run.delay_ms.unwrap_or(0).max(0),
        })
    }

    /// The share of attempts that failed, in percent.
    pub fn failed_percent(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.failed as f64 * 100.0 / self.runs as f64 }
    }

    /// The mean time from an instant of a schedule to the beginning, in milliseconds.
    pub fn mean_delay_ms(&self) -> Option<i64> {
        (self.scheduled > 0).then(|| self.delay_ms / self.scheduled)
    }
}

/// A day in UTC, such as `2026-12-24`, and the name of a task definition.
pub type DayAndName = (String, String);

/// The day of an instant in UTC.
pub fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// The sums for each day and name.
pub fn by_day(runs: &[CountedRun]) -> BTreeMap<DayAndName, Sums> {
    let mut sums: BTreeMap<DayAndName, Sums> = BTreeMap::new();
    for run in runs {
        if let Some(of_run) = Sums::of(run) {
            let entry = sums.entry((day(run.finished_at), run.name.clone())).or_default();
            *entry = entry.with(of_run);
        }
    }
    sums
}

/// The value that this percentage of the sorted numbers does not exceed; none if there are no numbers.
pub fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// A line of small bars, one for each number. A zero is a blank.
pub fn sparkline(numbers: &[i64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: i64| match number {
        ..=0 => ' ',
        number => BARS[((number * 8 + most - 1) / most - 1).clamp(0, 7) as usize],
    };
    numbers.iter().map(|number| bar(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, at: &str, outcome: Outcome, duration_ms: i64) -> CountedRun {
        let finished_at = at.parse().expect("an instant");
        CountedRun { name: name.to_owned(), finished_at, outcome, duration_ms: Some(duration_ms), delay_ms: None }
    }

    #[test]
    fn runs_are_added_up_by_day_and_name() {
        let mut late = run("a", "2026-11-21T23:59:59.9Z", Outcome::Succeeded, 30);
        late.delay_ms = Some(500);
        let sums = by_day(&[
            late,
            run("a", "2026-11-21T00:00:00Z", Outcome::Failed, 70),
            run("a", "2026-11-22T00:00:00Z", Outcome::TimedOut, 10),
            run("a", "2026-11-22T00:00:00Z", Outcome::Skipped, 10),
            run("b", "2026-11-22T00:00:00Z", Outcome::Superseded, 10),
        ]);
        let keys: Vec<(&str, &str)> = sums.keys().map(|(day, name)| (day.as_str(), name.as_str())).collect();
        assert_eq!(keys, [("2026-11-21", "a"), ("2026-11-22", "a")]);
        let first = sums.values().next().copied().expect("a day");
        let expected = Sums { runs: 2, failed: 1, duration_ms: 100, longest_ms: 70, scheduled: 1, delay_ms: 500 };
        assert_eq!((first, first.failed_percent(), first.mean_delay_ms()), (expected, 50.0, Some(500)));
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<i64> = (1..=20).collect();
        let all = [0, 50, 95, 100].map(|percent| percentile(&numbers, percent));
        assert_eq!(all, [Some(1), Some(10), Some(19), Some(20)]);
        assert_eq!((percentile(&[7], 50), percentile(&[], 50)), (Some(7), None));
    }

    #[test]
    fn a_sparkline_has_a_bar_for_each_number() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[1, 1]), "██");
        assert_eq!((sparkline(&[]), sparkline(&[0, -1])), (String::new(), "  ".to_owned()));
    }
}
