//! Which instants of a schedule are due, and the decision on each: the policy decides on the instants inside the period.

use chrono::{DateTime, Utc};

use super::{
    PeriodPlace, Schedule, TICK,
    missed_policy::{Decision, Due, NAMED},
    reason::StandsFor,
};
use crate::domain::period::Period;

/// Counting of instants without an entry of their own stops here.
const COUNTED: usize = 10_000;
/// The search for instants inside the period crosses at most this many gaps of the period.
const LOOKED_BEHIND: usize = 5_000;

impl Schedule {
    /// Decides on the instants in `(last, now]`, oldest first. An instant without an entry of its own is counted in the
    /// entry after it.
    pub fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>, period: Option<&Period>) -> Vec<Decision> {
        let counting = self.latest_that_count(last, now, period);
        let mut decisions: Vec<Decision> =
            self.policy.decide(&counting, now).into_iter().map(|decision| self.held(decision, now, period)).collect();
        if period.is_some() {
            let latest = self.latest_between(last, now, NAMED).into_iter();
            let others = latest.filter(|at| counting.iter().all(|due| due.at != *at));
            decisions.extend(others.map(|at| self.within(Decision::on_time(at), period)));
            decisions.sort_by_key(|decision| decision.at);
        }
        self.count_unnamed(last, &mut decisions);
        decisions
    }

    /// The latest instants inside the period, as many as the policy needs, oldest first.
    fn latest_that_count(&self, last: DateTime<Utc>, now: DateTime<Utc>, period: Option<&Period>) -> Vec<Due> {
        let most = self.policy.most();
        let mut found: Vec<Due> = Vec::new();
        let mut end = now;
        for _ in 0..LOOKED_BEHIND {
            let wanted = most - found.len();
            let instants = self.latest_between(last, end, wanted);
            let mut counting: Vec<Due> = instants.iter().filter_map(|at| self.counts(*at, period)).collect();
            counting.append(&mut found);
            found = counting;
            let first = instants.first().filter(|_| instants.len() == wanted && found.len() < most);
            let (Some(first), Some(period)) = (first, period) else { break };
            // No instant counts between here and the end of the range before, when the period was open last.
            end = match period.gap(*first - TICK) {
                None => *first - TICK,
                Some(gap) => match gap.ended {
                    Some(edge) => edge.at.min(*first - TICK),
                    None => break,
                },
            };
        }
        found
    }

    fn counts(&self, at: DateTime<Utc>, period: Option<&Period>) -> Option<Due> {
        match self.place(at, period) {
            PeriodPlace::Inside => Some(Due { at, since: at }),
            PeriodPlace::Held(begin) => Some(Due { at, since: begin }),
            PeriodPlace::Skipped | PeriodPlace::Coalesced(_) => None,
        }
    }

    /// Holds an instant until its period begins, if that is in the future.
    fn held(&self, decision: Decision, now: DateTime<Utc>, period: Option<&Period>) -> Decision {
        match self.place(decision.at, period) {
            PeriodPlace::Held(begin) if begin > now => self.within(decision, period),
            _ => decision,
        }
    }

    /// Counts for each decision the instants between the decision before it and itself.
    fn count_unnamed(&self, last: DateTime<Utc>, decisions: &mut [Decision]) {
        let mut before = last;
        for decision in decisions {
            let between = self.from(before).take_while(|at| *at < decision.at).take(COUNTED + 1).count();
            if between > 0 {
                decision.stands_for = Some(StandsFor { count: between.min(COUNTED), is_more: between > COUNTED });
            }
            before = decision.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::TimeDelta;
    use sexton_entities::states::Fate;

    use super::*;
    use crate::domain::{
        period::sample,
        schedule::{
            Outside,
            missed_policy::{Missed, Policy, runs},
            reason::Reason,
            recurrence::Recurrence,
        },
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn every(seconds: u64) -> Schedule {
        Schedule::new("s", vec![Recurrence::Every(Duration::from_secs(seconds))])
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        assert!(every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:59Z"), None).is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_due() {
        assert!(every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T08:00:30Z"), None).is_empty());
    }

    #[test]
    fn the_last_missed_instant_runs_and_the_others_are_named() {
        let due = every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:04:30Z"), None);
        let found: Vec<(DateTime<Utc>, Fate)> = due.iter().map(|decision| (decision.at, decision.fate)).collect();
        let expected = [
            (at("2026-11-21T10:01:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:02:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:03:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:04:00Z"), Fate::Late),
        ];
        assert_eq!(found, expected);
        assert_eq!(due[3].reason, Some(Reason::Late { by: TimeDelta::seconds(30) }));
    }

    #[test]
    fn an_outage_of_seconds_loses_no_instant() {
        let due = every(1).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:03.2Z"), None);
        assert_eq!(due.iter().map(|decision| decision.fate).collect::<Vec<_>>(), [Fate::Fired; 3]);
    }

    #[test]
    fn a_year_of_seconds_costs_little_and_names_the_latest() {
        let due = every(1).due(at("2025-11-21T10:00:00Z"), at("2026-11-21T10:00:00Z"), None);
        // The last minute is not missed.
        assert_eq!(due.len(), NAMED + 61);
        assert_eq!((due[NAMED + 60].at, due[NAMED + 60].fate), (at("2026-11-21T10:00:00Z"), Fate::Fired));
        assert_eq!((due[NAMED].at, due[NAMED].fate), (at("2026-11-21T09:59:00Z"), Fate::Late));
        let into = Reason::Coalesced { into: at("2026-11-21T09:59:00Z") };
        assert_eq!((due[NAMED - 1].at, due[NAMED - 1].fate), (at("2026-11-21T09:58:59Z"), Fate::Coalesced));
        assert_eq!(due[NAMED - 1].reason, Some(into));
        assert_eq!(due[0].stands_for, Some(StandsFor { count: 10_000, is_more: true }));
        let less = every(1).due(at("2026-11-21T08:00:00Z"), at("2026-11-21T10:00:00Z"), None);
        assert_eq!(less[0].stands_for, Some(StandsFor { count: 7_039, is_more: false }));
    }

    fn office() -> Arc<Period> {
        sample("office", "monday - friday", "09:00-17:00").get("office").expect("the period").clone()
    }

    fn in_office(seconds: u64, outside: Outside, missed: Missed) -> Schedule {
        let policy = Policy { missed, ..Policy::default() };
        Schedule { period: Some("office".to_owned()), outside_period: outside, policy, ..every(seconds) }
    }

    /// The instants that run, and until when each is held.
    fn running(due: &[Decision]) -> Vec<(DateTime<Utc>, Option<DateTime<Utc>>)> {
        let running = due.iter().filter(|decision| runs(decision.fate));
        running.map(|decision| (decision.at, decision.held_until)).collect()
    }

    const FRIDAY: &str = "2026-11-20T15:50:00Z";
    const SUNDAY: &str = "2026-11-22T12:00:00Z";
    const MONDAY: &str = "2026-11-23T09:00:00Z";

    #[test]
    fn the_last_instant_inside_the_period_runs_and_not_the_last_of_all() {
        let office = office();
        let due = in_office(60, Outside::Skip, Missed::Last).due(at(FRIDAY), at(SUNDAY), Some(&office));
        assert_eq!(running(&due), [(at("2026-11-20T16:59:00Z"), None)]);
        let last = due.last().expect("an instant");
        let outside = Reason::OutsidePeriod { period: "office".to_owned() };
        assert_eq!((last.at, last.reason.as_ref()), (at(SUNDAY), Some(&outside)));
        let counts: Vec<StandsFor> = due.iter().filter_map(|one| one.stands_for).collect();
        let expected = StandsFor { count: 2_481, is_more: false };
        assert_eq!(counts, [expected], "from the end of Friday to the named instants of Sunday");
        let all = in_office(60, Outside::Skip, Missed::All).due(at(FRIDAY), at(SUNDAY), Some(&office));
        assert_eq!(running(&all).len(), 69, "until 16:59");
    }

    #[test]
    fn the_last_held_instant_runs_when_the_period_begins() {
        let office = office();
        let (last, begin) = (at("2026-11-23T08:30:00Z"), at(MONDAY));
        let schedule = in_office(1_800, Outside::Hold, Missed::Last);
        let (saturday, later) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:30:00Z"));
        let early = schedule.due(saturday, later, Some(&office));
        assert_eq!((early.len(), early[0].fate), (1, Fate::Coalesced));
        assert_eq!(early[0].reason, Some(Reason::Coalesced { into: last }));
        assert_eq!(running(&schedule.due(later, last, Some(&office))), [(last, Some(begin))]);
        // After a downtime across the beginning of the period, lateness counts from that beginning.
        let after = begin + TimeDelta::seconds(30);
        let due = schedule.due(saturday, after, Some(&office));
        assert_eq!(running(&due), [(begin, None)], "the beginning is itself an instant");
        let daily = in_office(86_400, Outside::Hold, Missed::Skip);
        let due = daily.due(saturday, after, Some(&office));
        assert_eq!(running(&due), [(at("2026-11-23T00:00:00Z"), None)], "a held instant is not missed");
        let all = in_office(86_400, Outside::Hold, Missed::All).due(saturday, at(SUNDAY), Some(&office));
        assert_eq!(running(&all), [(at("2026-11-22T00:00:00Z"), Some(begin))]);
    }

    #[test]
    fn a_schedule_that_never_meets_its_period_runs_nothing() {
        let office = office();
        let night = Schedule {
            recurrences: vec![
                "0 3 * * *".parse().map(|expr| Recurrence::cron(expr, chrono_tz::Tz::UTC)).expect("a rule"),
            ],
            ..in_office(60, Outside::Skip, Missed::All)
        };
        let due = night.due(at("2006-11-20T15:50:00Z"), at(SUNDAY), Some(&office));
        assert!(running(&due).is_empty() && due.len() == NAMED, "{}", due.len());
    }

    proptest::proptest! {
        #[test]
        fn every_instant_is_named_or_counted_once(
            interval in 60u64..20_000,
            hours in 1i64..200,
            hold in proptest::bool::ANY,
            missed in proptest::sample::select(&[Missed::Skip, Missed::Last, Missed::All][..]),
        ) {
            let (office, outside) = (office(), if hold { Outside::Hold } else { Outside::Skip });
            let schedule = in_office(interval, outside, missed);
            let now = at(SUNDAY) + TimeDelta::hours(hours);
            let last = now - TimeDelta::hours(hours + 40);
            let due = schedule.due(last, now, Some(&office));
            proptest::prop_assert!(due.windows(2).all(|pair| pair[0].at < pair[1].at));
            let others: Vec<StandsFor> = due.iter().filter_map(|decision| decision.stands_for).collect();
            let counted: usize = others.iter().map(|others| others.count).sum();
            let all = schedule.from(last).take_while(|at| *at <= now).count();
            // Counting ends at a limit, and says so.
            match others.iter().any(|others| others.is_more) {
                false => proptest::prop_assert_eq!(due.len() + counted, all),
                true => proptest::prop_assert!(counted >= COUNTED && due.len() + counted < all),
            }
            for decision in due.iter().filter(|decision| runs(decision.fate)) {
                proptest::prop_assert!(schedule.counts(decision.at, Some(&office)).is_some(), "{:?}", decision);
                proptest::prop_assert!(decision.held_until.is_none_or(|begin| begin > now && office.is_inside(begin)));
            }
            if missed == Missed::Last {
                // An interval of a minute has two instants within the grace period.
                proptest::prop_assert!(running(&due).len() <= 2);
            }
        }
    }
}
