//! What becomes of the due instants of a schedule: which run, which are coalesced, which are skipped, and why.
//!
//! An instant is missed when nobody entered it within a grace; a policy is about missed ones. The ledger does not
//! grow with the downtime: of those that do not run the latest are named, the others are counted (see `due`).

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sexton_entities::states::Fate;

use crate::domain::text::duration;

/// A due instant older than this is late.
const PUNCTUAL: TimeDelta = TimeDelta::seconds(10);
/// A due instant older than this is missed.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);
/// How many instants that do not run are named one by one; of more, the latest.
pub const NAMED: usize = 100;
/// Nothing recurs so often that more instants than this fall into the grace, but a list of intervals below a second.
const IN_GRACE: usize = 1_000;
/// How the reason of an instant begins to tell of those before it, and how it ends.
const SUM: (&str, &str) = ("; and ", " before it");

/// What a task's configuration says of the instants of its schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Which missed instants run after all.
    pub missed: Missed,
    /// Of [`Missed::All`], the latest so many.
    pub missed_max: usize,
    /// Missed instants older than this do not run.
    pub missed_age: Option<Duration>,
    /// Missed instants run only in these hours.
    pub missed_window: Option<Window>,
    /// What becomes of an instant while an earlier run is not finished.
    pub overlap: Overlap,
}

/// Which missed instants run after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// None.
    Skip,
    /// The last; it stands for those before it.
    Last,
    /// Each.
    All,
}

/// What becomes of an instant while an earlier run is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It runs all the same.
    Allow,
    /// It is skipped.
    Skip,
    /// It waits until every earlier run has ended.
    Queue,
}

/// Hours of the day on the wall clocks of a zone; they may go over midnight. The end does not belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

/// What is to become of one due instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The instant.
    pub at: DateTime<Utc>,
    /// What is to become of it.
    pub fate: Fate,
    /// Why, where it does not start on time.
    pub reason: Option<String>,
    /// How many instants before it have no place in the ledger, in words.
    pub sum: Option<String>,
    /// When its task is to begin, where it is held.
    pub held_until: Option<DateTime<Utc>>,
}

impl Decision {
    /// An instant that runs on time.
    pub fn on_time(at: DateTime<Utc>) -> Self {
        Self { at, fate: Fate::Fired, reason: None, sum: None, held_until: None }
    }

    /// Lets it tell also of instants before it that have no place in the ledger: so many, or more.
    pub fn sum_up(&mut self, count: usize, is_more: bool) {
        let more = if is_more { "more than " } else { "" };
        self.sum = Some(format!("{}{more}{count}{}", SUM.0, SUM.1));
    }
}

/// The reason of an instant as the ledger has it, the sum of those before it included.
pub fn in_full(reason: Option<&str>, sum: Option<&str>) -> Option<String> {
    sum.map(|sum| format!("{}{sum}", reason.unwrap_or("on time"))).or_else(|| reason.map(str::to_owned))
}

/// An instant that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Since when it may run: an instant that is held counts from then on.
    pub since: DateTime<Utc>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { missed: Missed::Last, missed_max: 100, missed_age: None, missed_window: None, overlap: Overlap::Allow }
    }
}

impl Policy {
    /// How many due instants, the latest, [`Policy::decide`] has use for.
    pub fn most(&self) -> usize {
        match self.missed {
            Missed::All => self.missed_max.saturating_add(IN_GRACE + NAMED),
            Missed::Skip | Missed::Last => 1 + NAMED,
        }
    }

    /// What becomes of each of the instants that are `due` at `now`, the oldest first. Of those that do not run, only the
    /// latest have a place in the ledger, and the others are left out.
    pub fn decide(&self, due: &[Due], now: DateTime<Utc>) -> Vec<Decision> {
        let refused: Vec<Option<String>> = due.iter().map(|due| self.refusal(due.since, now)).collect();
        let mut candidates = due.iter().zip(&refused).filter(|(_, refused)| refused.is_none()).map(|(due, _)| *due);
        let last = candidates.clone().next_back().map(|last| last.at);
        let missed = candidates.clone().filter(|due| is_missed(due.since, now)).count();
        // The first missed instant that is among the latest so many.
        let first = candidates.nth(missed.saturating_sub(self.missed_max)).map(|first| first.at);
        let mut decisions: Vec<Decision> = Vec::with_capacity(due.len());
        for (Due { at, since }, refused) in due.iter().copied().zip(refused) {
            let (fate, reason) = match (refused, last) {
                (Some(reason), _) => (Fate::Skipped, Some(reason)),
                (None, _) if self.missed == Missed::All && first.is_some_and(|first| at < first) => {
                    (Fate::Skipped, Some(format!("missed, and only the latest {} are made up for", self.missed_max)))
                }
                (None, Some(last)) if self.missed != Missed::All && at < last => {
                    (Fate::Coalesced, Some(coalesced(last)))
                }
                _ => punctuality(since, now),
            };
            decisions.push(Decision { at, fate, reason, sum: None, held_until: None });
        }
        let mut unnamed = decisions.iter().filter(|decision| !runs(decision.fate)).count().saturating_sub(NAMED);
        decisions.retain(|decision| {
            let is_named = runs(decision.fate) || unnamed == 0;
            unnamed -= usize::from(!is_named);
            is_named
        });
        decisions
    }

    /// Why an instant must not run, if it is missed.
    fn refusal(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
        if !is_missed(at, now) {
            return None;
        }
        let age = (now - at).to_std().unwrap_or_default();
        match (self.missed, self.missed_age, self.missed_window) {
            (Missed::Skip, ..) => Some("missed: no node entered it in time, and missed runs are skipped".to_owned()),
            (_, Some(most), _) if age > most => {
                Some(format!("missed too old: by {}, at most {} is allowed", whole(age), duration::text(most)))
            }
            (.., Some(window)) if !window.contains(now) => Some(format!(
                "missed, and {} is outside the window {window} {}",
                now.with_timezone(&window.zone).format("%H:%M"),
                window.zone
            )),
            _ => None,
        }
    }
}

impl Window {
    /// Reads `01:00-05:00`.
    ///
    /// # Errors
    /// If it is no such text, or no time at all.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let time = |text: &str| match text.trim() {
            "24:00" => Some(NaiveTime::MIN),
            text => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        };
        match text.split_once('-').map(|(from, to)| (time(from), time(to))) {
            Some((Some(from), Some(to))) if from != to => Ok(Self { from, to, zone }),
            Some((Some(_), Some(_))) => Err(format!("`{text}` ends where it begins: leave it out for the whole day")),
            _ => Err(format!("`{text}` is not a window: write two times of the day, such as 01:00-05:00")),
        }
    }

    /// Whether an instant is inside.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        let time = at.with_timezone(&self.zone).time();
        if self.from < self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// Why an instant is skipped while the run of another is not finished.
pub fn overlaps(unfinished: DateTime<Utc>) -> String {
    format!("the run of {} is not finished", unfinished.to_rfc3339())
}

/// Why an instant that is due does not start on time, then.
pub fn queues_up(unfinished: DateTime<Utc>) -> String {
    format!("queued: {}", overlaps(unfinished))
}

/// Why an instant does not run itself, if a later one runs in its place.
pub fn coalesced(into: DateTime<Utc>) -> String {
    format!("coalesced into the run of {}", into.to_rfc3339())
}

/// Whether the reason of an instant in the ledger stands for instants before it, too.
pub fn sums_up(reason: &str) -> bool {
    reason.contains(SUM.0) && reason.ends_with(SUM.1)
}

/// Whether a task is enqueued.
pub fn runs(fate: Fate) -> bool {
    matches!(fate, Fate::Fired | Fate::Late)
}

fn is_missed(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at > GRACE
}

fn punctuality(at: DateTime<Utc>, now: DateTime<Utc>) -> (Fate, Option<String>) {
    let by = now - at;
    if by <= PUNCTUAL {
        return (Fate::Fired, None);
    }
    let why = if by > GRACE { ": no node entered it in time" } else { "" };
    (Fate::Late, Some(format!("late by {}{why}", whole(by.to_std().unwrap_or_default()))))
}

fn whole(length: Duration) -> String {
    duration::text(Duration::from_secs(length.as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    /// Instants so many minutes before `now`.
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
    fn what_is_missed_is_up_to_the_policy() {
        let with = |missed| Policy { missed, ..Policy::default() };
        assert_eq!(fates(&with(Missed::Last), &[3, 2, 1]), [Coalesced, Coalesced, Late]);
        assert_eq!(fates(&with(Missed::Skip), &[3, 2]), [Skipped, Skipped]);
        assert_eq!(fates(&with(Missed::Skip), &[3, 2, 0]), [Skipped, Skipped, Fired]);
        assert_eq!(fates(&with(Missed::All), &[3, 2, 0]), [Late, Late, Fired]);
        let few = Policy { missed_max: 1, ..with(Missed::All) };
        assert_eq!(fates(&few, &[4, 3, 2, 1, 0]), [Skipped, Skipped, Late, Late, Fired], "the grace is not missed");
        assert_eq!(fates(&few, &[1, 0]), [Late, Fired]);
    }

    #[test]
    fn what_is_too_old_does_not_run() {
        let policy = Policy { missed_age: Some(Duration::from_secs(150)), ..Policy::default() };
        assert_eq!(fates(&policy, &[4, 3, 2]), [Skipped, Skipped, Late]);
        assert_eq!(fates(&policy, &[4, 3]), [Skipped, Skipped]);
        let now = at("2026-11-21T03:00:00Z");
        let decisions = policy.decide(&minutes_ago(now, &[4]), now);
        assert_eq!(decisions[0].reason.as_deref(), Some("missed too old: by 4m, at most 2m 30s is allowed"));
    }

    #[test]
    fn what_is_missed_runs_in_its_window_only() {
        let zone = Tz::Europe__Berlin;
        let window = |text| Some(Window::parse(text, zone).expect("a window"));
        let with = |text| Policy { missed_window: window(text), ..Policy::default() };
        // It is 04:00 in Berlin.
        assert_eq!(fates(&with("01:00-05:00"), &[2]), [Late]);
        assert_eq!(fates(&with("01:00-04:00"), &[2]), [Skipped]);
        assert_eq!(fates(&with("22:00-04:01"), &[3, 2]), [Coalesced, Late]);
        assert_eq!(fates(&with("05:00-06:00"), &[2, 0]), [Skipped, Fired], "what is on time may start");
        let now = at("2026-11-21T03:00:00Z");
        let decisions = with("05:00-06:00").decide(&minutes_ago(now, &[4]), now);
        let expected = "missed, and 04:00 is outside the window 05:00-06:00 Europe/Berlin";
        assert_eq!(decisions[0].reason.as_deref(), Some(expected));
        assert!(Window::parse("20:00-24:00", zone).expect("a window").contains(at("2026-11-21T22:59:00Z")));
        for wrong in ["1-5", "01:00", "05:00-05:00", "25:00-26:00", ""] {
            assert!(Window::parse(wrong, zone).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_latest_are_named_and_what_was_held_is_not_missed() {
        let now = at("2026-11-21T03:00:00Z");
        let many: Vec<i64> = (2..=201).rev().collect();
        let policy = Policy { missed: Missed::Skip, ..Policy::default() };
        let decisions = policy.decide(&minutes_ago(now, &many), now);
        assert_eq!((decisions.len(), decisions[0].at), (NAMED, now - TimeDelta::minutes(101)));
        let held = [Due { at: now - TimeDelta::days(2), since: now - TimeDelta::seconds(30) }];
        let decision = policy.decide(&held, now).remove(0);
        assert_eq!((decision.fate, decision.reason.as_deref()), (Late, Some("late by 30s")));
    }

    #[test]
    fn a_sum_is_recognised() {
        let mut decision = Decision::on_time(at("2026-11-21T03:00:00Z"));
        decision.sum_up(7, true);
        let told = |reason| in_full(reason, decision.sum.as_deref());
        assert_eq!(told(None).as_deref(), Some("on time; and more than 7 before it"));
        assert!(told(Some("late by 1m")).as_deref().is_some_and(sums_up) && !sums_up("on time"));
        assert_eq!((in_full(None, None), in_full(Some("late"), None).as_deref()), (None, Some("late")));
    }

    fn policies() -> impl Strategy<Value = Policy> {
        let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Last), Just(Missed::All)];
        let window = proptest::option::of(prop_oneof![Just("01:00-05:00"), Just("22:00-03:00")]);
        (missed, 1usize..200, proptest::option::of(60u64..100_000), window).prop_map(
            |(missed, missed_max, age, window)| Policy {
                missed,
                missed_max,
                missed_age: age.map(Duration::from_secs),
                missed_window: window.map(|text| Window::parse(text, Tz::Asia__Kolkata).expect("a window")),
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
                _ => prop_assert!(running <= 1),
            }
        }
    }
}
