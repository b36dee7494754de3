//! Which due instants of a schedule run, which are coalesced and which are skipped, and why.
//!
//! An instant that no node entered within a grace period is missed; a policy decides on missed instants. The ledger does
//! not grow with the length of a downtime: the latest instants that do not run are named, and `due` counts the others.

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use sexton_entities::states::Fate;

use super::reason::{GRACE, Reason, StandsFor};

/// A due instant older than this is late.
pub const PUNCTUAL: TimeDelta = TimeDelta::seconds(10);
/// Number of instants that do not run and have an entry of their own. Of more, the latest have one.
pub const NAMED: usize = 100;
/// Upper bound of the instants within the grace period. Only a list of intervals below a second has more.
const IN_GRACE: usize = 1_000;

/// Settings of a task that decide on the instants of its schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Which missed instants run.
    pub missed: Missed,
    /// With [`Missed::All`], the number of missed instants that run: the latest ones.
    pub missed_max: usize,
    /// Missed instants older than this do not run.
    pub missed_age: Option<Duration>,
    /// Missed instants start only within this time of day.
    pub run_missed_between: Option<Window>,
    /// What happens to an instant while an earlier run is not finished.
    pub overlap: Overlap,
}

/// Which missed instants run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// None of them.
    Skip,
    /// The last one. The ones before it are coalesced into it.
    Last,
    /// Each of them.
    All,
}

/// What happens to an instant while an earlier run is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It runs.
    Allow,
    /// It is skipped.
    Skip,
    /// It waits until every earlier run has ended.
    Queue,
}

/// Part of the day on the wall clocks of a zone. It may cross midnight; its end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

/// Decision on one due instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Whether and how it runs.
    pub fate: Fate,
    /// Why it does not start on time. `None` if it does.
    pub reason: Option<Reason>,
    /// Earlier instants without an entry of their own that its entry accounts for.
    pub stands_for: Option<StandsFor>,
    /// When its task may start, if it is held until then.
    pub held_until: Option<DateTime<Utc>>,
}

impl Decision {
    /// An instant that runs on time.
    pub fn on_time(at: DateTime<Utc>) -> Self {
        Self { at, fate: Fate::Fired, reason: None, stands_for: None, held_until: None }
    }
}

/// An instant that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Since when it may run. Later than `at` if it was held; lateness counts from here.
    pub since: DateTime<Utc>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            missed: Missed::Last,
            missed_max: 100,
            missed_age: None,
            run_missed_between: None,
            overlap: Overlap::Allow,
        }
    }
}

impl Policy {
    /// The number of latest due instants that [`Policy::decide`] needs.
    pub fn most(&self) -> usize {
        match self.missed {
            Missed::All => self.missed_max.saturating_add(IN_GRACE + NAMED),
            Missed::Skip | Missed::Last => 1 + IN_GRACE + NAMED,
        }
    }

    /// Decides on each instant that is `due` at `now`, oldest first. Of the instants that do not run, the result has the
    /// latest [`NAMED`] only.
    pub fn decide(&self, due: &[Due], now: DateTime<Utc>) -> Vec<Decision> {
        let refused: Vec<Option<Reason>> = due.iter().map(|due| self.refusal(due.since, now)).collect();
        let mut candidates = due.iter().zip(&refused).filter(|(_, refused)| refused.is_none()).map(|(due, _)| *due);
        let last = candidates.clone().next_back().map(|last| last.at);
        // What is neither missed nor held runs for itself; the instants before it are coalesced into it.
        let runs_itself = |due: &Due| Some(due.at) == last || (!is_missed(due.since, now) && due.since == due.at);
        let own: Vec<DateTime<Utc>> = candidates.clone().filter(runs_itself).map(|due| due.at).collect();
        let missed = candidates.clone().filter(|due| is_missed(due.since, now)).count();
        // The first of the latest `missed_max` missed instants.
        let first = candidates.nth(missed.saturating_sub(self.missed_max)).map(|first| first.at);
        let mut decisions: Vec<Decision> = Vec::with_capacity(due.len());
        for (Due { at, since }, refused) in due.iter().copied().zip(refused) {
            let into = own.get(own.partition_point(|own| *own < at)).filter(|into| **into != at);
            let (fate, reason) = match (refused, into) {
                (Some(reason), _) => (Fate::Skipped, Some(reason)),
                (None, _) if self.missed == Missed::All && first.is_some_and(|first| at < first) => {
                    (Fate::Skipped, Some(Reason::MissedMax { max: self.missed_max }))
                }
                (None, Some(into)) if self.missed != Missed::All => {
                    (Fate::Coalesced, Some(Reason::Coalesced { into: *into }))
                }
                _ => punctuality(since, now),
            };
            decisions.push(Decision { at, fate, reason, stands_for: None, held_until: None });
        }
        let mut unnamed = decisions.iter().filter(|decision| !runs(decision.fate)).count().saturating_sub(NAMED);
        decisions.retain(|decision| {
            let is_named = runs(decision.fate) || unnamed == 0;
            unnamed -= usize::from(!is_named);
            is_named
        });
        decisions
    }

    /// Why an instant must not run; `None` if it may.
    fn refusal(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Reason> {
        if !is_missed(at, now) {
            return None;
        }
        let by = now - at;
        let limit = self.missed_age.map(|most| TimeDelta::from_std(most).unwrap_or(TimeDelta::MAX));
        match (self.missed, limit, self.run_missed_between) {
            (Missed::Skip, ..) => Some(Reason::Missed),
            (_, Some(limit), _) if by > limit => Some(Reason::MissedAge { by, limit }),
            (.., Some(window)) if !window.contains(now) => Some(window.closed_at(now)),
            _ => None,
        }
    }
}

impl Window {
    /// Reads `01:00-05:00`.
    ///
    /// # Errors
    /// If the text is not two times of day, or both are the same.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let time = |text: &str| match text.trim() {
            "24:00" => Some(NaiveTime::MIN),
            text => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        };
        match text.split_once('-').map(|(from, to)| (time(from), time(to))) {
            Some((Some(from), Some(to))) if from != to => Ok(Self { from, to, zone }),
            Some((Some(_), Some(_))) => {
                Err(format!("`{text}` ends when it begins: for the whole day, leave the setting out"))
            }
            _ => Err(format!("`{text}` is not a window: write two times of day, such as 01:00-05:00")),
        }
    }

    /// Whether an instant is inside.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        let time = at.with_timezone(&self.zone).time();
        if self.from < self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }

    /// The reason of an instant that did not run because the window was closed at `now`.
    fn closed_at(&self, now: DateTime<Utc>) -> Reason {
        let time = now.with_timezone(&self.zone).time();
        let minute = time.with_second(0).and_then(|time| time.with_nanosecond(0));
        Reason::MissedWindow {
            from: self.from,
            to: self.to,
            at: minute.unwrap_or(time),
            zone: self.zone.name().to_owned(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// Whether an instant with that fate has a task.
pub fn runs(fate: Fate) -> bool {
    matches!(fate, Fate::Fired | Fate::Late)
}

fn is_missed(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at > GRACE
}

fn punctuality(at: DateTime<Utc>, now: DateTime<Utc>) -> (Fate, Option<Reason>) {
    let by = now - at;
    if by <= PUNCTUAL { (Fate::Fired, None) } else { (Fate::Late, Some(Reason::Late { by })) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    /// Instants that many minutes before `now`.
    fn minutes_ago(now: DateTime<Utc>, minutes: &[i64]) -> Vec<Due> {
        minutes.iter().map(|minutes| due(now - TimeDelta::minutes(*minutes))).collect()
    }

    fn due(at: DateTime<Utc>) -> Due {
        Due { at, since: at }
    }

    fn fates(policy: &Policy, minutes: &[i64]) -> Vec<Fate> {
        let now = at("2026-11-21T03:00:00Z");
        let decisions = policy.decide(&minutes_ago(now, minutes), now);
        decisions.into_iter().map(|decision| decision.fate).collect()
    }

    use Fate::{Coalesced, Fired, Late, Skipped};

    #[test]
    fn the_policy_decides_on_missed_instants() {
        let with = |missed| Policy { missed, ..Policy::default() };
        assert_eq!(fates(&with(Missed::Last), &[3, 2, 1]), [Coalesced, Coalesced, Late]);
        assert_eq!(
            fates(&with(Missed::Last), &[3, 2, 1, 0]),
            [Coalesced, Coalesced, Late, Fired],
            "a minute is the grace"
        );
        assert_eq!(fates(&with(Missed::Skip), &[3, 2]), [Skipped, Skipped]);
        assert_eq!(fates(&with(Missed::Skip), &[2, 1, 0]), [Skipped, Late, Fired]);
        assert_eq!(fates(&with(Missed::Skip), &[3, 2, 0]), [Skipped, Skipped, Fired]);
        assert_eq!(fates(&with(Missed::All), &[3, 2, 0]), [Late, Late, Fired]);
        let few = Policy { missed_max: 1, ..with(Missed::All) };
        assert_eq!(fates(&few, &[4, 3, 2, 1, 0]), [Skipped, Skipped, Late, Late, Fired], "the grace is not missed");
        assert_eq!(fates(&few, &[1, 0]), [Late, Fired]);
    }

    #[test]
    fn missed_age_limits_the_age() {
        let policy = Policy { missed_age: Some(Duration::from_secs(150)), ..Policy::default() };
        assert_eq!(fates(&policy, &[4, 3, 2]), [Skipped, Skipped, Late]);
        assert_eq!(fates(&policy, &[4, 3]), [Skipped, Skipped]);
        let now = at("2026-11-21T03:00:00Z");
        let decisions = policy.decide(&minutes_ago(now, &[4]), now);
        let reason = Reason::MissedAge { by: TimeDelta::minutes(4), limit: TimeDelta::seconds(150) };
        assert_eq!(decisions[0].reason, Some(reason));
    }

    #[test]
    fn missed_runs_start_in_their_window_only() {
        let zone = Tz::Europe__Berlin;
        let window = |text| Some(Window::parse(text, zone).expect("a window"));
        let with = |text| Policy { run_missed_between: window(text), ..Policy::default() };
        // It is 04:00 in Berlin.
        assert_eq!(fates(&with("01:00-05:00"), &[2]), [Late]);
        assert_eq!(fates(&with("01:00-04:00"), &[2]), [Skipped]);
        assert_eq!(fates(&with("22:00-04:01"), &[3, 2]), [Coalesced, Late]);
        assert_eq!(fates(&with("05:00-06:00"), &[2, 0]), [Skipped, Fired], "what is on time may start");
        let now = at("2026-11-21T03:00:00Z");
        let decisions = with("05:00-06:00").decide(&minutes_ago(now, &[4]), now);
        let [from, to, at_four] = [5, 6, 4].map(|hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time"));
        let zone_name = "Europe/Berlin".to_owned();
        assert_eq!(decisions[0].reason, Some(Reason::MissedWindow { from, to, at: at_four, zone: zone_name }));
        assert!(Window::parse("20:00-24:00", zone).expect("a window").contains(at("2026-11-21T22:59:00Z")));
        for wrong in ["1-5", "01:00", "05:00-05:00", "25:00-26:00", ""] {
            assert!(Window::parse(wrong, zone).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_latest_are_named_and_a_held_instant_is_not_missed() {
        let now = at("2026-11-21T03:00:00Z");
        let many: Vec<i64> = (2..=201).rev().collect();
        let policy = Policy { missed: Missed::Skip, ..Policy::default() };
        let decisions = policy.decide(&minutes_ago(now, &many), now);
        assert_eq!((decisions.len(), decisions[0].at), (NAMED, now - TimeDelta::minutes(101)));
        let held = [Due { at: now - TimeDelta::days(2), since: now - TimeDelta::seconds(30) }];
        let decision = policy.decide(&held, now).remove(0);
        assert_eq!((decision.fate, decision.reason), (Late, Some(Reason::Late { by: TimeDelta::seconds(30) })));
    }

    fn policies() -> impl Strategy<Value = Policy> {
        let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Last), Just(Missed::All)];
        let window = proptest::option::of(prop_oneof![Just("01:00-05:00"), Just("22:00-03:00")]);
        (missed, 1usize..200, proptest::option::of(60u64..100_000), window).prop_map(
            |(missed, missed_max, age, window)| Policy {
                missed,
                missed_max,
                missed_age: age.map(Duration::from_secs),
                run_missed_between: window.map(|text| Window::parse(text, Tz::Asia__Kolkata).expect("a window")),
                overlap: Overlap::Allow,
            },
        )
    }

    proptest! {
        #[test]
        fn each_due_instant_has_one_fate_and_the_ledger_has_bounds(
            policy in policies(),
            start in 1_700_000_000i64..1_800_000_000,
            gaps in proptest::collection::vec(1i64..400_000, 0..600),
            delay in 0i64..200_000,
        ) {
            let mut at = DateTime::from_timestamp(start, 0).expect("an instant");
            let mut instants = Vec::new();
            for gap in gaps {
                at += TimeDelta::milliseconds(gap);
                instants.push(at);
            }
            let now = at + TimeDelta::milliseconds(delay);
            let decisions = policy.decide(&instants.iter().copied().map(due).collect::<Vec<_>>(), now);
            let running = decisions.iter().filter(|decision| runs(decision.fate)).count();
            prop_assert!(decisions.len() - running <= NAMED);
            prop_assert!(decisions.windows(2).all(|pair| pair[0].at < pair[1].at));
            prop_assert!(decisions.iter().all(|decision| instants.contains(&decision.at)));
            prop_assert_eq!(decisions.last().map(|decision| decision.at), instants.last().copied());
            prop_assert!(decisions.last().is_none_or(|decision| decision.fate != Coalesced));
            let punctual = |at: DateTime<Utc>| now - at <= GRACE;
            match policy.missed {
                Missed::All => {
                    let missed = decisions.iter().filter(|decision| runs(decision.fate) && !punctual(decision.at)).count();
                    prop_assert!(missed <= policy.missed_max);
                    prop_assert!(instants.iter().filter(|at| punctual(**at)).count() + missed == running);
                }
                _ => {
                    let in_grace = instants.iter().filter(|at| punctual(**at)).count();
                    prop_assert!(running == in_grace || (in_grace == 0 && running == 1), "{running} of {in_grace}");
                }
            }
        }
    }
}
