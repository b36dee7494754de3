//! What is usual for a task definition, learned from its latest successes; and which runs are far outside.
//!
//! Median and median absolute deviation (MAD) are not misled by a few odd runs. Nothing is judged before
//! [`NEEDED`] successes. A change that lasts becomes usual after half of the kept runs.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sexton_entities::states::{ProblemKind, Unusual};

use crate::domain::text::{duration, plural::counted};

/// Number of successes before a run is judged.
pub const NEEDED: usize = 20;
/// Number of the latest successes that are kept.
pub const KEPT: usize = 50;
/// The MAD of a normal distribution times this is its standard deviation.
const SCALE: f64 = 1.4826;
/// How many deviations from the median are far outside.
const FAR: f64 = 6.0;
/// The deviation is at least this share of the median: a task that always takes the same time may take a little more.
const MIN_DEVIATION: f64 = 0.1;

/// Figures of a run that succeeded. A figure that was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFigures {
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// The time from its due instant to its beginning, in milliseconds.
    pub delay_ms: Option<i64>,
    /// How much it wrote, in bytes.
    pub output_bytes: Option<i64>,
}

/// A run that ended, as far as it can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedRun {
    /// Number of its row in the history.
    pub history_id: i64,
    /// Name of the task definition.
    pub name: String,
    /// Its queue.
    pub queue: Option<String>,
    /// Its schedule.
    pub schedule: Option<String>,
    /// The node that executed it.
    pub node: Option<String>,
    /// Its task.
    pub task_id: Option<i64>,
    /// The fence of the attempt.
    pub fence: i64,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Its figures.
    pub figures: RunFigures,
}

/// The figures of the latest successes of a task definition, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskBaseline {
    duration_ms: Vec<i64>,
    delay_ms: Vec<i64>,
    output_bytes: Vec<i64>,
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The median.
    pub median: i64,
    /// The median absolute deviation from it.
    pub mad: i64,
}

/// A figure that is far outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusualFigure {
    /// What is unusual.
    pub what: Unusual,
    /// The figure.
    pub value: i64,
    /// The median of the figures before.
    pub usual: i64,
}

impl fmt::Display for UnusualFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, usual } = self;
        let [value, usual] = [value, usual].map(|figure| match what {
            Unusual::Silent => counted(usize::try_from(*figure).unwrap_or_default(), "byte"),
            Unusual::Slow | Unusual::Quick | Unusual::Delayed => duration::short(*figure),
        });
        match what {
            Unusual::Slow | Unusual::Quick => write!(f, "{what}: it took {value}, usually {usual}"),
            Unusual::Silent => write!(f, "{what}: it wrote {value}, usually {usual}"),
            Unusual::Delayed => write!(f, "{what}: it began {value} after its instant, usually {usual}"),
        }
    }
}

impl TaskBaseline {
    /// Adds a success, and forgets the oldest one.
    pub fn learn(&mut self, run: RunFigures) {
        for (values, value) in [
            (&mut self.duration_ms, run.duration_ms),
            (&mut self.delay_ms, run.delay_ms),
            (&mut self.output_bytes, run.output_bytes),
        ] {
            values.extend(value.map(|value| value.max(0)));
            let surplus = values.len().saturating_sub(KEPT);
            values.drain(..surplus);
        }
    }

    /// The usual duration, in milliseconds.
    pub fn duration(&self) -> Option<Usual> {
        usual(&self.duration_ms)
    }

    /// The usual delay, in milliseconds.
    pub fn delay(&self) -> Option<Usual> {
        usual(&self.delay_ms)
    }

    /// The usual size of the output, in bytes.
    pub fn output(&self) -> Option<Usual> {
        usual(&self.output_bytes)
    }

    /// What is unusual about a run that is not learned yet.
    pub fn judge(&self, run: RunFigures) -> Vec<UnusualFigure> {
        let above = |what, usual: Option<Usual>, value: Option<i64>, least| {
            let (usual, value) = (usual?, value?);
            let is_far =
                value as f64 > usual.median as f64 * usual.far() && value.saturating_sub(usual.median) >= least;
            is_far.then_some(UnusualFigure { what, value, usual: usual.median })
        };
        // Below the median, the same factor counts: half is as far as twice.
        let below = |what, usual: Option<Usual>, value: Option<i64>, factor: f64, least| {
            let (usual, value) = (usual?, value?);
            let is_far = (value.max(0) as f64) * usual.far().max(factor) < usual.median as f64;
            (is_far && usual.median.saturating_sub(value) >= least).then_some(UnusualFigure {
                what,
                value,
                usual: usual.median,
            })
        };
        [
            above(Unusual::Slow, self.duration(), run.duration_ms, 1_000),
            below(Unusual::Quick, self.duration(), run.duration_ms, 2.0, 1_000),
            below(Unusual::Silent, self.output(), run.output_bytes, 4.0, 64),
            above(Unusual::Delayed, self.delay(), run.delay_ms, 10_000),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Usual {
    /// The factor from which on a figure is far from the median.
    fn far(&self) -> f64 {
        let median = (self.median as f64).max(1.0);
        1.0 + FAR * (SCALE * self.mad as f64 / median).max(MIN_DEVIATION)
    }
}

fn usual(values: &[i64]) -> Option<Usual> {
    if values.len() < NEEDED {
        return None;
    }
    let median = median(values.to_vec());
    let mad = self::median(values.iter().map(|value| (value - median).abs()).collect());
    Some(Usual { median, mad })
}

/// The lower median of values that are not negative.
fn median(mut values: Vec<i64>) -> i64 {
    let middle = values.len().saturating_sub(1) / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}

/// The kind of the problem that runs are unusual.
pub fn problem_kind(what: Unusual) -> ProblemKind {
    match what {
        Unusual::Slow => ProblemKind::Slow,
        Unusual::Quick => ProblemKind::Quick,
        Unusual::Silent => ProblemKind::Silent,
        Unusual::Delayed => ProblemKind::Delayed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(duration_ms: i64) -> RunFigures {
        RunFigures { duration_ms: Some(duration_ms), delay_ms: Some(50), output_bytes: Some(10_000) }
    }

    fn learned(durations: impl IntoIterator<Item = i64>) -> TaskBaseline {
        let mut baseline = TaskBaseline::default();
        durations.into_iter().for_each(|duration| baseline.learn(run(duration)));
        baseline
    }

    fn words(baseline: &TaskBaseline, run: RunFigures) -> Vec<Unusual> {
        baseline.judge(run).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_is_far_outside_is_unusual() {
        let usual = learned((0..40).map(|number| 60_000 + number % 5 * 1_000));
        assert_eq!(words(&usual, run(62_000)), []);
        assert_eq!(words(&usual, run(80_000)), []);
        assert_eq!(words(&usual, run(120_000)), [Unusual::Slow]);
        assert_eq!(words(&usual, run(20_000)), [Unusual::Quick]);
        assert_eq!(words(&usual, RunFigures { output_bytes: Some(0), ..run(62_000) }), [Unusual::Silent]);
        assert_eq!(words(&usual, RunFigures { delay_ms: Some(60_000), ..run(62_000) }), [Unusual::Delayed]);
        assert_eq!(words(&usual, RunFigures::default()), [], "nothing was measured");
        let slow = usual.judge(run(120_000)).remove(0);
        assert_eq!(slow.to_string(), "slow: it took 2m, usually 1m 2s");
    }

    #[test]
    fn small_tasks_and_new_ones_are_never_unusual() {
        assert_eq!(words(&learned(vec![60_000; NEEDED - 1]), run(999_999)), [], "too few");
        assert_eq!(words(&learned(vec![3; KEPT]), run(900)), [], "less than a second");
        assert_eq!(words(&learned(vec![60_000; NEEDED]), run(999_999)), [Unusual::Slow]);
    }

    #[test]
    fn a_change_that_lasts_becomes_usual() {
        let mut baseline = learned(vec![60_000; KEPT]);
        (0..KEPT / 2 + 2).for_each(|_| baseline.learn(run(300_000)));
        assert_eq!(words(&baseline, run(300_000)), []);
    }

    proptest! {
        /// The state is bounded, and a few odd runs do not change what is usual.
        #[test]
        fn a_few_odd_runs_do_not_mislead(
            usual in 2_000_i64..10_000_000, odd in prop::collection::vec(0_i64..i64::MAX / 4, 0..=KEPT / 4), more in 0_usize..100,
        ) {
            let baseline = learned((0..KEPT + more).map(|_| usual).chain(odd));
            prop_assert!(serde_json::to_string(&baseline).expect("JSON").len() < 4_000);
            prop_assert_eq!(baseline.duration(), Some(Usual { median: usual, mad: 0 }));
            prop_assert_eq!(words(&baseline, run(usual)), vec![]);
            prop_assert_eq!(words(&baseline, run(usual * 3)), vec![Unusual::Slow]);
            prop_assert_eq!(words(&baseline, run(usual / 3)), vec![Unusual::Quick]);
        }

        /// No figures make it panic, and nothing is both slow and quick.
        #[test]
        fn any_figures_can_be_learned(
            runs in prop::collection::vec((any::<Option<i64>>(), any::<Option<i64>>(), any::<Option<i64>>()), 0..120),
        ) {
            let mut baseline = TaskBaseline::default();
            for (duration_ms, delay_ms, output_bytes) in runs {
                let run = RunFigures { duration_ms, delay_ms, output_bytes };
                let found = words(&baseline, run);
                prop_assert!(!(found.contains(&Unusual::Slow) && found.contains(&Unusual::Quick)));
                baseline.learn(run);
            }
        }
    }
}
