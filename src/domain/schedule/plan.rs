//! The instants of schedules within a stretch of time, and the differences between two such plans.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

pub use super::upcoming::Instants;
use super::{Schedule, upcoming};
use crate::domain::period::Periods;

/// Maximum number of instants of one schedule: every minute of a month.
const MOST_OF_ONE: usize = 50_000;
/// Maximum number of instants of all schedules, apart from the first few of each.
const MOST: usize = 1_000_000;
/// Number of instants that each schedule has at least, however many schedules there are.
const LEAST_OF_ONE: usize = 50;
/// A new instant within this distance of a removed one counts as moved.
const NEAR: TimeDelta = TimeDelta::days(1);

/// Schedules by name, with their instants.
pub type Plan = BTreeMap<String, Instants>;

/// Differences in one schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// New instants.
    pub added: Vec<DateTime<Utc>>,
    /// Instants that no longer exist.
    pub removed: Vec<DateTime<Utc>>,
    /// Instants that moved by at most a day: from, to.
    pub moved: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// The comparison ends here because a plan was cut. `None` if both plans are complete.
    pub compared_until: Option<DateTime<Utc>>,
}

/// A minute with many instants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusyMinute {
    /// Beginning of the minute.
    pub at: DateTime<Utc>,
    /// Number of instants in it.
    pub count: usize,
    /// Their schedules, each with its number of instants.
    pub schedules: BTreeMap<String, usize>,
}

/// Computes the instants in `(from, to]` at which the schedules run, up to a maximum for each schedule.
pub fn plan<'a>(
    schedules: impl Iterator<Item = &'a Schedule>,
    periods: &Periods,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Plan {
    let schedules: Vec<&Schedule> = schedules.collect();
    let most = (MOST / schedules.len().max(1)).clamp(LEAST_OF_ONE, MOST_OF_ONE);
    let instants = |schedule: &Schedule| {
        let period = schedule.period.as_ref().and_then(|name| periods.get(name));
        upcoming::within(schedule, period.map(AsRef::as_ref), from, to, most)
    };
    schedules.into_iter().map(|schedule| (schedule.name.clone(), instants(schedule))).collect()
}

/// The differences from `old` to `new`. Schedules without a difference are left out.
pub fn differences(old: &Plan, new: &Plan) -> BTreeMap<String, Difference> {
    let nothing = Instants::default();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let compared = names
        .into_iter()
        .map(|name| (name.clone(), difference(old.get(name).unwrap_or(&nothing), new.get(name).unwrap_or(&nothing))));
    compared.filter(|(_, difference)| !difference.is_none()).collect()
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.moved.is_empty()
    }

    /// The first instant, old or new, that differs.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        let moved = self.moved.first().map(|(from, to)| *from.min(to));
        [self.added.first().copied(), self.removed.first().copied(), moved].into_iter().flatten().min()
    }
}

fn difference(old: &Instants, new: &Instants) -> Difference {
    let compared_until = [old.cut_at, new.cut_at].into_iter().flatten().min();
    let within = |at: &&DateTime<Utc>| compared_until.is_none_or(|until| **at <= until);
    let before: BTreeSet<_> = old.times.iter().filter(within).copied().collect();
    let after: BTreeSet<_> = new.times.iter().filter(within).copied().collect();
    let mut found = Difference { compared_until, ..Difference::default() };
    let mut gone = before.difference(&after).copied().peekable();
    let mut come = after.difference(&before).copied().peekable();
    // Both are in order, so the nearest two belong together.
    loop {
        match (gone.peek().copied(), come.peek().copied()) {
            (None, None) => return found,
            (Some(from), None) => found.removed.extend(gone.next().map(|_| from)),
            (None, Some(to)) => found.added.extend(come.next().map(|_| to)),
            (Some(from), Some(to)) if (to - from).abs() > NEAR => {
                if from < to {
                    found.removed.extend(gone.next());
                } else {
                    found.added.extend(come.next());
                }
            }
            (Some(from), Some(to)) => {
                gone.next();
                come.next();
                let nearer = |next: Option<&DateTime<Utc>>, other: DateTime<Utc>| {
                    next.is_some_and(|next| (*next - other).abs() < (to - from).abs())
                };
                // The next one may be nearer; then this one has no partner.
                if nearer(gone.peek(), to) {
                    found.removed.push(from);
                    let from = gone.next().unwrap_or(from);
                    found.moved.push((from, to));
                } else if nearer(come.peek(), from) {
                    found.added.push(to);
                    let to = come.next().unwrap_or(to);
                    found.moved.push((from, to));
                } else {
                    found.moved.push((from, to));
                }
            }
        }
    }
}

/// The `most` minutes with the most instants, busiest first. Of equally busy minutes, the earlier comes first.
pub fn busiest(plan: &Plan, most: usize) -> Vec<BusyMinute> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for at in plan.values().flat_map(|instants| &instants.times) {
        *counts.entry(minute(*at)).or_default() += 1;
    }
    let mut ranked: Vec<(i64, usize)> = counts.into_iter().collect();
    ranked.sort_by_key(|(minute, count)| (std::cmp::Reverse(*count), *minute));
    ranked.truncate(most);
    let named = |(wanted, count): (i64, usize)| {
        let within = |instants: &Instants| {
            let start = instants.times.partition_point(|at| minute(*at) < wanted);
            instants.times[start..].iter().take_while(|at| minute(**at) == wanted).count()
        };
        let schedules = plan.iter().map(|(name, instants)| (name.clone(), within(instants)));
        Some(BusyMinute {
            at: DateTime::from_timestamp(wanted * 60, 0)?,
            count,
            schedules: schedules.filter(|(_, count)| *count > 0).collect(),
        })
    };
    ranked.into_iter().filter_map(named).collect()
}

fn minute(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono_tz::Tz;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::domain::schedule::recurrence::Recurrence;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn cron(name: &str, expression: &str) -> Schedule {
        let expr = expression.parse().expect("an expression");
        Schedule::new(name, vec![Recurrence::cron(expr, Tz::UTC)])
    }

    fn every(name: &str, seconds: u64) -> Schedule {
        Schedule::new(name, vec![Recurrence::Every(Duration::from_secs(seconds))])
    }

    fn month(schedules: &[Schedule]) -> Plan {
        plan(schedules.iter(), &Periods::default(), at("2026-11-01T00:00:30Z"), at("2026-12-01T00:00:30Z"))
    }

    fn counts(difference: &Difference) -> (usize, usize, usize) {
        (difference.added.len(), difference.removed.len(), difference.moved.len())
    }

    #[test]
    fn instants_are_added_removed_and_moved() {
        let old = month(&[
            cron("same", "@hourly"),
            cron("night", "0 2 * * *"),
            cron("gone", "@weekly"),
            cron("less", "*/30 * * * *"),
        ]);
        let new = month(&[
            cron("same", "0 * * * *"),
            cron("night", "30 3 * * *"),
            cron("come", "@monthly"),
            cron("less", "0 * * * *"),
        ]);
        let found = differences(&old, &new);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["come", "gone", "less", "night"]);
        assert_eq!(counts(&found["come"]), (1, 0, 0));
        assert_eq!(counts(&found["gone"]), (0, 4, 0));
        assert_eq!(counts(&found["less"]), (0, 720, 0));
        assert_eq!(counts(&found["night"]), (0, 0, 30));
        assert_eq!(found["night"].moved[0], (at("2026-11-01T02:00:00Z"), at("2026-11-01T03:30:00Z")));
        assert_eq!(found["night"].first(), Some(at("2026-11-01T02:00:00Z")));
    }

    #[test]
    fn remaining_instants_are_paired_with_the_nearest() {
        let old = month(&[cron("n", "0 22 * * *")]);
        let new = month(&[cron("n", "0 5 * * SUN")]);
        let found = &differences(&old, &new)["n"];
        // The first Sunday's 05:00 is before any old instant.
        assert_eq!(found.moved[0], (at("2026-11-01T22:00:00Z"), at("2026-11-01T05:00:00Z")));
        assert_eq!(found.moved[1], (at("2026-11-07T22:00:00Z"), at("2026-11-08T05:00:00Z")));
        assert_eq!(counts(found), (0, 25, 5));
    }

    #[test]
    fn a_short_interval_is_cut_and_marked_as_cut() {
        let old = month(&[every("tick", 1), cron("day", "@daily")]);
        assert_eq!(old["tick"].times.len(), MOST_OF_ONE);
        let until = at("2026-11-01T00:00:30Z") + TimeDelta::seconds(MOST_OF_ONE as i64);
        assert_eq!((old["tick"].cut_at, old["day"].cut_at), (Some(until), None));
        let found = &differences(&old, &month(&[every("tick", 2)]))["tick"];
        assert_eq!((found.compared_until, found.removed.len()), (Some(until), MOST_OF_ONE / 2));
        let whole =
            plan([every("s", 60)].iter(), &Periods::default(), at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        assert_eq!((whole["s"].times.len(), whole["s"].cut_at), (43_200, None));
    }

    #[test]
    fn the_busiest_minutes_come_first_with_their_names() {
        let busy =
            busiest(&month(&[cron("a", "@daily"), cron("b", "@hourly"), every("c", 20), cron("d", "0 0 2 * *")]), 3);
        assert_eq!((busy[0].at, busy[0].count), (at("2026-11-02T00:00:00Z"), 6));
        assert_eq!(
            busy[0].schedules.iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(),
            [("a", 1), ("b", 1), ("c", 3), ("d", 1)]
        );
        assert_eq!((busy[1].at, busy[1].count), (at("2026-11-03T00:00:00Z"), 5));
        assert_eq!(busy.len(), 3);
    }

    proptest! {
        #[test]
        fn no_instant_is_lost_or_listed_twice(
            old in prop::collection::btree_set(0i64..500, 0..40),
            new in prop::collection::btree_set(0i64..500, 0..40),
        ) {
            let times = |hours: &BTreeSet<i64>| Instants {
                times: hours.iter().map(|hour| at("2026-11-01T00:00:00Z") + TimeDelta::hours(*hour)).collect(),
                cut_at: None,
            };
            let (old, new) = (times(&old), times(&new));
            let found = difference(&old, &new);
            let mut after: BTreeSet<_> = old.times.iter().copied().collect();
            for at in found.removed.iter().chain(found.moved.iter().map(|(from, _)| from)) {
                prop_assert!(after.remove(at));
            }
            for at in found.added.iter().chain(found.moved.iter().map(|(_, to)| to)) {
                prop_assert!(after.insert(*at));
            }
            prop_assert_eq!(after.into_iter().collect::<Vec<_>>(), new.times);
            prop_assert!(found.moved.iter().all(|(from, to)| (*to - *from).abs() <= NEAR));
        }
    }
}
