//! Whether a schedule is overdue: no run has succeeded by the time at which a success was expected.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    PeriodPlace, Schedule, TICK,
    expectation::{Expectation, GRACE},
};
use crate::domain::period::Period;

/// Maximum number of instants that are looked at to find one that runs.
const MAX_STEPS: usize = 1_000;

/// What has become of a schedule so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleProgress {
    /// When a node first entered it.
    pub created_at: DateTime<Utc>,
    /// The end of its latest success.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// No success is expected of instants up to this one.
    pub excused_until: Option<DateTime<Utc>>,
}

impl Schedule {
    /// When it is overdue, unless a run succeeds before. `None` if nothing is expected of it, or no further instant runs.
    pub fn expected_by(&self, period: Option<&Period>, progress: ScheduleProgress) -> Option<DateTime<Utc>> {
        let begin = progress.succeeded_at.map_or(progress.created_at, |at| at.max(progress.created_at));
        let excused = progress.excused_until.filter(|until| *until > begin);
        match self.expect? {
            Expectation::EachInstant(grace) => later(self.next_run(period, excused.unwrap_or(begin))?, grace),
            Expectation::Every(time) => {
                let by_success = later(begin, time)?;
                // After a pause, its next run has the usual time.
                let excused = excused.and_then(|until| later(self.next_run(period, until).unwrap_or(until), GRACE));
                Some(excused.map_or(by_success, |excused| excused.max(by_success)))
            }
        }
    }

    /// When the first of its instants after `after` starts that is not skipped because of its period.
    fn next_run(&self, period: Option<&Period>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = after;
        for _ in 0..MAX_STEPS {
            let at = self.next_after(from)?;
            from = match self.place(at, period) {
                PeriodPlace::Inside => return Some(at),
                PeriodPlace::Held(begin) => return Some(begin),
                PeriodPlace::Coalesced(into) => into - TICK,
                PeriodPlace::Skipped => (period?.next_inside(at)? - TICK).max(at),
            };
        }
        None
    }
}

fn later(at: DateTime<Utc>, time: Duration) -> Option<DateTime<Utc>> {
    at.checked_add_signed(TimeDelta::from_std(time).ok()?)
}

/// What the tables say of a schedule of which a success is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedRun {
    /// Name of the schedule.
    pub schedule: String,
    /// Name of its task definition.
    pub task: String,
    /// The setting `expect` in words.
    pub expect: String,
    /// Whether it is paused.
    pub paused: bool,
    /// What was known of it when `expected_by` was calculated; the excuse is as it is now.
    pub progress: ScheduleProgress,
    /// When it is overdue, as a node with its configuration has calculated.
    pub expected_by: Option<DateTime<Utc>>,
    /// The end of a success since then.
    pub newer_success: Option<DateTime<Utc>>,
}

impl ExpectedRun {
    /// What is known of it now.
    pub fn progress_now(&self) -> ScheduleProgress {
        ScheduleProgress { succeeded_at: self.newer_success.max(self.progress.succeeded_at), ..self.progress }
    }

    /// When it is overdue unless it succeeds before.
    ///
    /// A node that does not have the schedule knows the instant of the last calculation only. After a newer success it
    /// allows as much time as that calculation did.
    pub fn overdue_at(&self) -> Option<DateTime<Utc>> {
        let begin = |at: Option<DateTime<Utc>>| at.unwrap_or(self.progress.created_at).max(self.progress.created_at);
        let calculated = self.expected_by?;
        let by = match self.newer_success {
            None => calculated,
            Some(newer) => {
                calculated.checked_add_signed((newer - begin(self.progress.succeeded_at)).max(TimeDelta::zero()))?
            }
        };
        Some(self.progress.excused_until.map_or(by, |until| by.max(until)))
    }

    /// The instant since which it has been overdue at `now`; `None` if it is not.
    pub fn overdue_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.overdue_at().filter(|by| *by <= now)
    }

    /// The instant since which it was overdue when its newer success came; `None` if that came in time.
    pub fn was_overdue_since(&self) -> Option<DateTime<Utc>> {
        let success = self.newer_success?;
        Self { newer_success: None, ..self.clone() }.overdue_since(success)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{cron::CronExpr, schedule::recurrence::Recurrence};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn schedule(cron: &str, expect: Expectation) -> Schedule {
        let expr = CronExpr::parse(cron, "s").expect("an expression");
        Schedule { expect: Some(expect), ..Schedule::new("s", vec![Recurrence::cron(expr, chrono_tz::Tz::UTC)]) }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    fn progress(created: &str, succeeded: Option<&str>, excused: Option<&str>) -> ScheduleProgress {
        ScheduleProgress { created_at: at(created), succeeded_at: succeeded.map(at), excused_until: excused.map(at) }
    }

    #[test]
    fn a_success_is_expected_in_time() {
        let nightly = schedule("0 2 * * *", Expectation::Every(hours(26)));
        let by = |known| nightly.expected_by(None, known).map(|at| at.to_rfc3339());
        let new = progress("2026-11-20T10:00:00Z", None, None);
        assert_eq!(by(new).as_deref(), Some("2026-11-21T12:00:00+00:00"), "it counts from its creation");
        let run = progress("2026-11-20T10:00:00Z", Some("2026-11-21T02:10:00Z"), None);
        assert_eq!(by(run).as_deref(), Some("2026-11-22T04:10:00+00:00"));
        let paused = ScheduleProgress { excused_until: Some(at("2026-11-25T10:00:00Z")), ..run };
        assert_eq!(by(paused).as_deref(), Some("2026-11-26T03:00:00+00:00"), "the first run after the pause");
        assert_eq!(Schedule { expect: None, ..nightly.clone() }.expected_by(None, run), None);
    }

    #[test]
    fn a_success_of_each_instant_is_expected() {
        let working_days = schedule("0 2 * * mon-fri", Expectation::EachInstant(hours(1)));
        let by = |known| working_days.expected_by(None, known).map(|at| at.to_rfc3339());
        let friday = progress("2026-11-02T10:00:00Z", Some("2026-11-20T02:05:00Z"), None);
        assert_eq!(by(friday).as_deref(), Some("2026-11-23T03:00:00+00:00"), "nothing is expected at the weekend");
        let late = progress("2026-11-02T10:00:00Z", Some("2026-11-20T02:00:00Z"), None);
        assert_eq!(by(late).as_deref(), Some("2026-11-23T03:00:00+00:00"), "the instant itself is done");
        let edited = ScheduleProgress { excused_until: Some(at("2026-11-24T09:00:00Z")), ..friday };
        assert_eq!(by(edited).as_deref(), Some("2026-11-25T03:00:00+00:00"));
        let over = Schedule {
            recurrences: vec![Recurrence::cron(
                CronExpr::parse("@reboot", "s").expect("an expression"),
                chrono_tz::Tz::UTC,
            )],
            ..working_days.clone()
        };
        assert_eq!(over.expected_by(None, friday), None, "it has no instant");
    }

    fn run(expected_by: &str, succeeded: Option<&str>, newer: Option<&str>, excused: Option<&str>) -> ExpectedRun {
        ExpectedRun {
            schedule: "s".to_owned(),
            task: "s".to_owned(),
            expect: "every 26h".to_owned(),
            paused: false,
            progress: progress("2026-11-01T00:00:00Z", succeeded, excused),
            expected_by: Some(at(expected_by)),
            newer_success: newer.map(at),
        }
    }

    #[test]
    fn a_node_without_the_schedule_sees_that_it_is_overdue() {
        let late = run("2026-11-21T04:00:00Z", Some("2026-11-20T02:00:00Z"), None, None);
        assert_eq!(late.overdue_since(at("2026-11-21T03:59:59Z")), None);
        assert_eq!(late.overdue_since(at("2026-11-21T04:00:00Z")), Some(at("2026-11-21T04:00:00Z")));
        let since = run("2026-11-21T04:00:00Z", Some("2026-11-20T02:00:00Z"), Some("2026-11-21T02:30:00Z"), None);
        assert_eq!(since.overdue_since(at("2026-11-22T04:29:59Z")), None, "as much time after that success");
        assert_eq!(since.overdue_since(at("2026-11-22T04:30:00Z")), Some(at("2026-11-22T04:30:00Z")));
        let paused = run("2026-11-21T04:00:00Z", None, None, Some("2026-11-23T00:00:00Z"));
        assert_eq!(paused.overdue_since(at("2026-11-22T00:00:00Z")), None);
        assert_eq!(paused.overdue_since(at("2026-11-23T00:00:00Z")), Some(at("2026-11-23T00:00:00Z")));
    }

    #[test]
    fn a_success_that_came_too_late_is_known() {
        let by = "2026-11-21T04:00:00Z";
        assert_eq!(run(by, None, Some("2026-11-21T03:00:00Z"), None).was_overdue_since(), None);
        assert_eq!(run(by, None, Some("2026-11-21T09:00:00Z"), None).was_overdue_since(), Some(at(by)));
        let excused = run(by, None, Some("2026-11-21T09:00:00Z"), Some("2026-11-21T10:00:00Z"));
        assert_eq!(excused.was_overdue_since(), None);
    }

    proptest! {
        /// Whatever the schedule, a success never brings the end of the time nearer, and that end is in its future.
        #[test]
        fn a_later_success_allows_more_time(
            minute in 0_u32..60, hour in 0_u32..24, first in 0_i64..10_000_000, more in 0_i64..10_000_000,
            each in any::<bool>(), time in 60_u64..1_000_000,
        ) {
            let time = Duration::from_secs(time);
            let expect = if each { Expectation::EachInstant(time) } else { Expectation::Every(time) };
            let schedule = schedule(&format!("{minute} {hour} * * *"), expect);
            let begin = at("2026-01-01T00:00:00Z");
            let by = |seconds| {
                let succeeded_at = Some(begin + TimeDelta::seconds(seconds));
                schedule.expected_by(None, ScheduleProgress { created_at: begin, succeeded_at, excused_until: None })
            };
            let (one, other) = (by(first).expect("an end"), by(first + more).expect("an end"));
            prop_assert!(one <= other);
            prop_assert!(one > begin + TimeDelta::seconds(first));
        }
    }
}
