//! The next instants of a schedule, with their positions relative to its period.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Outside, PeriodPlace, Schedule, TICK};
use crate::domain::period::{Period, Span};

/// The search for an instant inside the period gives up after this many instants outside it.
const PATIENCE: usize = 20_000;

/// A future instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Its position relative to the period.
    pub place: PeriodPlace,
}

/// The result of [`next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The instants in order.
    pub coming: Vec<Upcoming>,
    /// The search gave up here: all other instants until then are outside the period.
    pub gave_up_at: Option<DateTime<Utc>>,
}

/// The next `count` instants after `from`. Skipped and coalesced instants are included only if `all` is set.
pub fn next(schedule: &Schedule, period: Option<&Period>, from: DateTime<Utc>, count: usize, all: bool) -> Outlook {
    let mut outlook = Outlook { coming: Vec::new(), gave_up_at: None };
    let (mut after, mut rejected) = (from, 0);
    while outlook.coming.len() < count {
        let Some(at) = schedule.next_after(after) else { break };
        let place = schedule.place(at, period);
        after = at;
        if all || matches!(place, PeriodPlace::Inside | PeriodPlace::Held(_)) {
            outlook.coming.push(Upcoming { at, place });
            rejected = 0;
            continue;
        }
        rejected += 1;
        if let PeriodPlace::Coalesced(into) = place {
            after = into - TICK;
            continue;
        }
        // Continue where the period begins next.
        let begin = period.and_then(|period| period.next_inside(at));
        match begin.filter(|_| rejected < PATIENCE) {
            Some(begin) => after = begin - TICK,
            None => {
                outlook.gave_up_at = Some(at);
                break;
            }
        }
    }
    outlook
}

/// The instants in a stretch of time at which one schedule runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Instants {
    /// The instants in order. A held instant appears as the beginning of the period.
    pub times: Vec<DateTime<Utc>>,
    /// The last computed instant, if there are more.
    pub cut_at: Option<DateTime<Utc>>,
}

/// Computes at most `most` instants in `(from, to]` at which the schedule runs.
pub fn within(
    schedule: &Schedule,
    period: Option<&Period>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    most: usize,
) -> Instants {
    // An instant before `from` may be held until a time in the range.
    let held_since = period.filter(|_| schedule.outside_period == Outside::Hold).and_then(|period| period.gap(from));
    let start = held_since.and_then(|gap| gap.ended).map_or(from, |edge| edge.at - TICK);
    let spans = period.map(|period| period.spans(Span { start, end: to + TICK }));
    let mut found = Instants::default();
    let mut after = start;
    while let Some(at) = schedule.next_after(after).filter(|at| *at <= to) {
        after = at;
        let place = match &spans {
            None => PeriodPlace::Inside,
            Some(spans) => {
                let holds_from = spans.from(at).first().map(|span| span.start.max(at));
                match (schedule.place_by(at, holds_from), holds_from) {
                    // All instants until the period begins are skipped as well.
                    (PeriodPlace::Skipped, Some(begin)) => {
                        after = begin - TICK;
                        continue;
                    }
                    (PeriodPlace::Skipped, None) => break,
                    (PeriodPlace::Coalesced(into), _) => {
                        after = into - TICK;
                        continue;
                    }
                    (place, _) => place,
                }
            }
        };
        let counts_at = match place {
            PeriodPlace::Held(begin) => begin,
            _ => at,
        };
        if counts_at <= from {
            continue;
        }
        if found.times.len() == most {
            found.cut_at = found.times.last().copied();
            break;
        }
        found.times.push(counts_at);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        period::sample,
        schedule::{
            missed_policy::{Missed, Policy},
            recurrence::Recurrence,
        },
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn period(days: &str, times: &str) -> std::sync::Arc<Period> {
        sample("p", days, times).get("p").expect("the period").clone()
    }

    fn every(minutes: u64, outside: Outside) -> Schedule {
        let rule = Recurrence::Every(Duration::from_secs(minutes * 60));
        Schedule { period: Some("p".to_owned()), outside_period: outside, ..Schedule::new("s", vec![rule]) }
    }

    const NINE: &str = "2026-11-23T09:00:00Z";

    #[test]
    fn skipped_instants_are_left_out_and_held_ones_are_marked() {
        let office = period("monday - friday", "09:00-10:00");
        let from = at("2026-11-20T09:15:00Z");
        let times = |outside, all| -> Vec<(DateTime<Utc>, PeriodPlace)> {
            let outlook = next(&every(30, outside), Some(&office), from, 3, all);
            assert_eq!(outlook.gave_up_at, None);
            outlook.coming.into_iter().map(|coming| (coming.at, coming.place)).collect()
        };
        let (half, ten, after) = (at("2026-11-20T09:30:00Z"), at("2026-11-20T10:00:00Z"), at("2026-11-20T10:30:00Z"));
        let (inside, skipped, held) = (PeriodPlace::Inside, PeriodPlace::Skipped, PeriodPlace::Held(at(NINE)));
        let monday = [(half, inside), (at(NINE), inside), (at("2026-11-23T09:30:00Z"), inside)];
        assert_eq!(times(Outside::Skip, false), monday);
        assert_eq!(times(Outside::Skip, true), [(half, inside), (ten, skipped), (after, skipped)]);
        let last = at("2026-11-23T08:30:00Z");
        let coalesced = PeriodPlace::Coalesced(last);
        assert_eq!(times(Outside::Hold, false), [(half, inside), (last, held), (at(NINE), inside)]);
        assert_eq!(times(Outside::Hold, true), [(half, inside), (ten, coalesced), (after, coalesced)]);
    }

    #[test]
    fn the_search_for_an_instant_inside_the_period_gives_up() {
        let (once, from) = (period("2026-11-20", "09:00-10:00"), at("2026-11-21T00:00:00Z"));
        let over = next(&every(30, Outside::Skip), Some(&once), from, 3, false);
        assert_eq!((over.coming.len(), over.gave_up_at), (0, Some(at("2026-11-21T00:30:00Z"))));
        let never = period("monday - sunday", "09:01-09:02");
        let missing = next(&every(30, Outside::Skip), Some(&never), from, 3, false);
        assert!(
            missing.coming.is_empty() && missing.gave_up_at.is_some_and(|until| until > at("2070-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn within_a_stretch_the_same_instants_count() {
        let office = period("monday - friday", "09:00-10:00");
        let (from, to) = (at("2026-11-20T09:15:00Z"), at("2026-11-23T09:30:00Z"));
        let skip = within(&every(30, Outside::Skip), Some(&office), from, to, 10);
        let half = at("2026-11-20T09:30:00Z");
        assert_eq!(skip.times, [half, at(NINE), to]);
        let hold = within(&every(360, Outside::Hold), Some(&office), from, to, 100);
        assert_eq!(hold.times, [at(NINE)], "one run for the whole weekend");
        let all =
            |schedule: Schedule| Schedule { policy: Policy { missed: Missed::All, ..Policy::default() }, ..schedule };
        let hold = within(&all(every(360, Outside::Hold)), Some(&office), from, to, 100);
        // Twelve instants of the weekend. 09:00 itself is not one: it is not a multiple of six hours.
        assert_eq!(hold.times, [at(NINE); 12]);
        // Instants before `from` that are held beyond it count as well.
        let hold = within(&all(every(360, Outside::Hold)), Some(&office), at("2026-11-22T12:00:00Z"), to, 100);
        assert_eq!(hold.times, [at(NINE); 12]);
        let early = within(&every(360, Outside::Hold), Some(&office), from, at("2026-11-23T08:59:00Z"), 100);
        assert!(early.times.is_empty(), "an instant that is held beyond the end does not count");
        let cut = within(&every(1, Outside::Skip), Some(&office), from, to, 5);
        assert_eq!((cut.times.len(), cut.cut_at), (5, cut.times.last().copied()));
    }
}
