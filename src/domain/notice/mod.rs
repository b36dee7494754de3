//! Notices: whom to tell of a problem, when, and in which words.

mod block;
pub mod channel;
pub mod digest;
pub mod html;
pub mod output;
mod page;
pub mod rule;
pub mod text;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sexton_entities::{
    problem,
    states::{NoticeAbout, Outcome, ProblemKind, ProblemState},
};

pub use self::{
    digest::{Digest, ListedProblem},
    rule::{Escalation, MailOutput, NoticeEvent, NoticeRule},
};
use super::{
    problem::SETTLING,
    text::{duration, instant},
};

/// The times after which a problem that lasts is reminded of; the last one again and again.
const REMINDERS: [TimeDelta; 3] = [TimeDelta::hours(1), TimeDelta::hours(4), TimeDelta::hours(24)];
/// For how long a notice is tried that cannot be sent.
pub const KEPT_FOR: Duration = Duration::from_secs(86_400);
/// For how long after the end of a problem somebody who was told of it hears that it is over.
pub const TOLD_WITHIN: Duration = Duration::from_secs(2 * 86_400);
/// For how long after the end of a problem somebody hears that it was there.
pub const TOLD_LATE_WITHIN: Duration = Duration::from_secs(3_600);
/// The shortest and the longest time between two tries of a notice.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(900));

/// The notice that a problem needs now; none if it needs none.
pub fn due(problem: &problem::Model, rule: &NoticeRule, now: DateTime<Utc>) -> Option<NoticeAbout> {
    let first = || rule.concerns(problem).then_some(NoticeAbout::Opened);
    if problem.muted_until.is_some_and(|until| now < until) {
        return None;
    }
    match (problem.state, problem.notices) {
        (ProblemState::Muted, _) => None,
        (ProblemState::Closed, _) if problem.end_noticed => None,
        // It was over before anybody was told: one notice says both.
        (ProblemState::Closed, 0) if problem.escalated_episode != problem.episode => {
            let is_fresh = now - problem.closed_at? < TimeDelta::from_std(TOLD_LATE_WITHIN).ok()?;
            first().filter(|_| is_fresh)
        }
        (ProblemState::Closed, _) => {
            let settled = problem.closed_at? + TimeDelta::from_std(SETTLING).ok()?;
            (now >= settled && rule.tells(NoticeEvent::Recovered)).then_some(NoticeAbout::Recovered)
        }
        (ProblemState::Acknowledged, _) => None,
        (ProblemState::Open, 0) => first(),
        (ProblemState::Open, notices) => {
            let step = REMINDERS[(notices.unsigned_abs() as usize - 1).min(REMINDERS.len() - 1)];
            (now >= problem.noticed_at? + step).then_some(NoticeAbout::Reminder)
        }
    }
}

/// The delay before a notice is tried again that could not be sent `attempts` times.
pub fn retry_delay(attempts: u32) -> Duration {
    let (least, most) = RETRY_DELAYS;
    least.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(16))).min(most)
}

/// What is known of a problem when a notice is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The number of the problem; none if the notice is about several.
    pub problem: Option<i64>,
    /// What kind of thing it is of.
    pub kind: Option<ProblemKind>,
    /// The name of that thing.
    pub name: String,
    /// How the attempts ended.
    pub outcome: Option<Outcome>,
    /// What happened last.
    pub what: String,
    /// How often it occurred.
    pub times: i64,
    /// How many of these occurrences ended their task.
    pub discarded: i64,
    /// When it began.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it occurred last.
    pub seen_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub closed_at: Option<DateTime<Utc>>,
    /// The schedule of the last task.
    pub schedule: Option<String>,
    /// The queue of the last task.
    pub queue: Option<String>,
    /// The node on which it occurred last.
    pub node: Option<String>,
    /// The last task.
    pub task_id: Option<i64>,
    /// The exit code of the last attempt.
    pub exit_code: Option<i32>,
    /// The next attempt, or the next instant of the schedule.
    pub next_at: Option<DateTime<Utc>>,
    /// The last lines of the standard output.
    pub stdout: Vec<String>,
    /// The last lines of the standard error.
    pub stderr: Vec<String>,
    /// Further problems, each in a line.
    pub more: Vec<String>,
    /// How many further problems there are.
    pub more_count: usize,
    /// The problems of a digest.
    pub listed: Vec<ListedProblem>,
    /// The notice to which this one belongs, by its key.
    pub thread: Option<String>,
    /// What an attempt has executed, if the notice has its output.
    pub command: Option<String>,
}

impl Facts {
    /// What a problem says of itself.
    pub fn of(problem: &problem::Model) -> Self {
        let is_over = problem.state == ProblemState::Closed;
        Self {
            problem: Some(problem.id),
            kind: Some(problem.kind),
            name: problem.name.clone(),
            outcome: problem.outcome,
            what: problem.what.clone(),
            times: problem.times,
            discarded: problem.discarded,
            opened_at: Some(problem.opened_at),
            seen_at: Some(problem.seen_at),
            closed_at: problem.closed_at.filter(|_| is_over),
            schedule: problem.schedule.clone(),
            queue: problem.queue.clone(),
            node: problem.node.clone(),
            task_id: problem.task_id,
            exit_code: problem.exit_code,
            next_at: problem.next_at,
            ..Self::default()
        }
    }

    /// The same with the instants in its texts as the clocks of a zone show them. What a task has printed stays as it is.
    #[must_use]
    pub fn in_zone(mut self, zone: Tz) -> Self {
        let shown = |text: &str| instant::replaced(text, |at| time(at, zone));
        if self.kind.is_some_and(|kind| kind != ProblemKind::Task) {
            self.what = shown(&self.what);
        }
        for listed in self.listed.iter_mut().filter(|listed| listed.kind != ProblemKind::Task) {
            listed.what = shown(&listed.what);
        }
        self
    }
}

/// An instant in a notice.
pub(super) fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// How long a problem lasted.
pub(super) fn length(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    match u64::try_from((to - from).num_seconds()) {
        Ok(0) | Err(_) => "less than a second".to_owned(),
        Ok(seconds) => duration::text(Duration::from_secs(seconds)),
    }
}

/// The key of a notice: the same each time it is sent. `number` counts the notices of an episode.
pub fn key(database: &str, of: &problem::Model, number: i32, channel: &str) -> String {
    format!("{}.{}.{number}.{channel}.{database}", of.id, of.episode)
}

/// The key of the notice that escalates an episode.
pub fn escalation_key(database: &str, of: &problem::Model, channel: &str) -> String {
    format!("{}.{}.escalated.{channel}.{database}", of.id, of.episode)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::domain::notice) fn at(seconds: i64) -> DateTime<Utc> {
        "2026-11-22T04:00:00Z".parse::<DateTime<Utc>>().expect("an instant") + TimeDelta::seconds(seconds)
    }

    pub(in crate::domain::notice) fn problem() -> problem::Model {
        problem::Model {
            id: 17,
            problem_key: "k".to_owned(),
            kind: ProblemKind::Task,
            name: "import".to_owned(),
            outcome: Some(Outcome::Failed),
            fingerprint: String::new(),
            what: "exit code 3: no disk".to_owned(),
            state: ProblemState::Open,
            times: 1,
            discarded: 1,
            episode: 1,
            opened_at: at(0),
            seen_at: at(0),
            closed_at: None,
            task: Some("import".to_owned()),
            schedule: None,
            queue: Some("default".to_owned()),
            node: Some("shop01-1".to_owned()),
            task_id: Some(4_711),
            fence: Some(1),
            exit_code: Some(3),
            next_at: None,
            changed_by: None,
            changed_host: None,
            change_reason: None,
            muted_until: None,
            notices: 0,
            noticed_at: None,
            end_noticed: false,
            escalated_episode: 0,
        }
    }

    #[test]
    fn what_is_read_is_in_one_zone_and_without_microseconds() {
        let overdue = problem::Model {
            kind: ProblemKind::Overdue,
            what: "a success was expected by 2026-11-22T04:00:00.123456Z".to_owned(),
            ..problem()
        };
        let shown = |of: &problem::Model| Facts::of(of).in_zone(Tz::Europe__Berlin).what;
        assert_eq!(shown(&overdue), "a success was expected by 2026-11-22 05:00:00 CET");
        let printed = problem::Model { kind: ProblemKind::Task, ..overdue };
        assert_eq!(shown(&printed), printed.what, "it is what the task has printed");
        assert_eq!(length(at(0), at(0) + TimeDelta::milliseconds(4)), "less than a second");
        assert_eq!(length(at(0), at(61) + TimeDelta::milliseconds(4)), "1m 1s");
    }

    #[test]
    fn a_problem_is_told_of_once_then_reminded_of_ever_more_rarely() {
        let rule = NoticeRule::default();
        let mut open = problem();
        assert_eq!(due(&open, &rule, at(1)), Some(NoticeAbout::Opened));
        (open.notices, open.noticed_at) = (1, Some(at(0)));
        open.times = 10_000;
        assert_eq!(due(&open, &rule, at(3_599)), None);
        assert_eq!(due(&open, &rule, at(3_600)), Some(NoticeAbout::Reminder));
        open.notices = 2;
        assert_eq!(due(&open, &rule, at(3_600)), None);
        assert_eq!(due(&open, &rule, at(4 * 3_600)), Some(NoticeAbout::Reminder));
        open.notices = 9;
        assert_eq!(due(&open, &rule, at(23 * 3_600)), None);
        assert_eq!(due(&open, &rule, at(24 * 3_600)), Some(NoticeAbout::Reminder));
        assert_eq!(due(&problem::Model { muted_until: Some(at(999_999)), ..open.clone() }, &rule, at(99_999)), None);
        for state in [ProblemState::Acknowledged, ProblemState::Muted] {
            assert_eq!(due(&problem::Model { state, ..open.clone() }, &rule, at(99_999_999)), None);
        }
    }

    #[test]
    fn the_end_is_told_once_it_is_settled() {
        let rule = NoticeRule::default();
        let closed = problem::Model { state: ProblemState::Closed, closed_at: Some(at(10)), ..problem() };
        assert_eq!(due(&closed, &rule, at(11)), Some(NoticeAbout::Opened), "nobody was told that it began");
        let told = problem::Model { notices: 1, noticed_at: Some(at(1)), ..closed };
        assert_eq!(due(&told, &rule, at(11)), None, "it may come back");
        assert_eq!(due(&told, &rule, at(10 + 300)), Some(NoticeAbout::Recovered));
        assert_eq!(due(&problem::Model { end_noticed: true, ..told.clone() }, &rule, at(9_999)), None);
        let escalated = problem::Model { notices: 0, escalated_episode: 1, ..told.clone() };
        assert_eq!(due(&escalated, &rule, at(10 + 300)), Some(NoticeAbout::Recovered), "further channels were told");
        let silent = NoticeRule { on: Some(vec![NoticeEvent::Discarded]), ..rule };
        assert_eq!(due(&told, &silent, at(9_999)), None);
    }

    #[test]
    fn what_is_tried_again_is_told_only_where_that_is_wanted() {
        let retried = problem::Model { discarded: 0, times: 2, ..problem() };
        assert_eq!(due(&retried, &NoticeRule::default(), at(1)), None);
        let each = NoticeRule { on: Some(vec![NoticeEvent::Failed]), after: Some(3), ..NoticeRule::default() };
        assert_eq!(due(&retried, &each, at(1)), None, "not often enough");
        assert_eq!(due(&problem::Model { times: 3, ..retried }, &each, at(1)), Some(NoticeAbout::Opened));
        let queue = problem::Model { kind: ProblemKind::Queue, ..problem() };
        assert_eq!(due(&queue, &each, at(1)), None);
        assert_eq!(due(&queue, &NoticeRule::default(), at(1)), Some(NoticeAbout::Opened));
    }

    #[test]
    fn the_nearest_rule_counts() {
        let of_task = NoticeRule { after: Some(3), ..NoticeRule::default() };
        let of_daemon =
            NoticeRule { channels: Some(vec!["admins".to_owned()]), after: Some(1), ..NoticeRule::default() };
        let joined = of_task.or(&of_daemon);
        assert_eq!((joined.after, joined.channels), (Some(3), Some(vec!["admins".to_owned()])));
    }

    #[test]
    fn what_nobody_takes_note_of_is_escalated_once_an_episode() {
        let escalation = Escalation { after: Duration::from_secs(3_600), to: vec!["boss".to_owned()] };
        let rule = NoticeRule { escalation: Some(escalation), ..NoticeRule::default() };
        let open = problem();
        assert!(!rule.must_escalate(&open, at(3_599)));
        assert!(rule.must_escalate(&open, at(3_600)));
        let told = problem::Model { escalated_episode: 1, ..open.clone() };
        assert!(!rule.must_escalate(&told, at(9_999)), "it was told");
        assert!(rule.must_escalate(&problem::Model { episode: 2, ..told }, at(9_999)), "it has come back");
        assert!(!rule.must_escalate(&problem::Model { muted_until: Some(at(10_000)), ..open.clone() }, at(9_999)));
        assert!(!rule.must_escalate(&problem::Model { discarded: 0, ..open.clone() }, at(9_999)), "it is tried again");
        for state in [ProblemState::Acknowledged, ProblemState::Muted, ProblemState::Closed] {
            assert!(!rule.must_escalate(&problem::Model { state, ..open.clone() }, at(9_999)));
        }
        let nobody = Escalation { after: Duration::ZERO, to: Vec::new() };
        assert!(!NoticeRule { escalation: Some(nobody), ..NoticeRule::default() }.must_escalate(&open, at(9_999)));
    }

    #[test]
    fn tries_become_rarer() {
        assert_eq!([1, 2, 3, 99].map(|attempts| retry_delay(attempts).as_secs()), [15, 30, 60, 900]);
    }
}
