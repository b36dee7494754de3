//! Tasks: to be enqueued, claimed, finished.

pub mod claim;
pub mod definition;
pub mod expiry;
pub mod lease_loss;
pub mod limits;
pub mod names;
pub mod pickups;
pub mod prefetch_count;
pub mod retry;
pub mod snooze;
pub mod time_limit;
pub mod verdict;
pub mod waiting;

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::Value;
use sexton_entities::{
    json_text::JsonText,
    states::{Outcome, Verdict},
};

use self::{
    claim::{Claim, ClaimIdentity},
    definition::check_name,
};
use super::{
    command::{Usage, capture::Kept},
    identity::{NodeId, QueueName},
    text::json::{self, BadJson},
};

/// The largest payload by default, in bytes.
pub const DEFAULT_MAX_PAYLOAD: u64 = 1 << 20;

/// A task to be enqueued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewTask {
    /// The name of the task definition.
    pub name: String,
    /// The payload.
    pub payload: Option<JsonText>,
    /// The queue; the one of the definition if absent.
    pub queue: Option<QueueName>,
    /// The priority; lower goes first. The one of the definition if absent.
    pub priority: Option<i32>,
    /// The earliest start.
    pub run_at: Option<DateTime<Utc>>,
    /// The earliest start as a delay after the enqueue, by the database's clock; instead of `run_at`.
    pub delay: Option<Duration>,
    /// A key that only one unfinished task may have.
    pub unique_key: Option<String>,
    /// The maximum number of attempts; the one of the definition if absent.
    pub max_attempts: Option<i32>,
    /// When it expires: no attempt begins from then on, unless one has begun before.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it expires, as a time after its earliest start; instead of `expires_at`. The one of the definition if absent.
    pub expires: Option<Duration>,
}

/// Why a task cannot be enqueued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTask {
    /// The name of the definition is invalid.
    #[error("task name: {0}")]
    Name(String),
    /// The name of the queue is invalid.
    #[error("queue name: {0}")]
    Queue(String),
    /// The unique key is too long for the index.
    #[error("the unique key has {0} bytes, at most 190 are allowed")]
    UniqueKey(usize),
    /// One of the supported databases does not keep the payload.
    #[error("the payload cannot be kept: {0}")]
    Payload(BadJson),
    /// The payload is larger than `max_payload` allows.
    #[error("the payload has {bytes} bytes, and daemon.max_payload allows {max}")]
    LargePayload {
        /// The size of the payload.
        bytes: u64,
        /// The setting.
        max: u64,
    },
    /// The limit allows no attempt.
    #[error("max_attempts is {0}, at least 1 is needed")]
    MaxAttempts(i32),
    /// It could never begin.
    #[error("the task expires at {0}, which is not after its earliest start {1}")]
    ExpiresBeforeStart(DateTime<Utc>, DateTime<Utc>),
    /// The instant is beyond the calendars of the databases.
    #[error("the task expires at {0}: only the years 1000 to 9998 can be stored")]
    ExpiryBeyondCalendar(DateTime<Utc>),
}

impl NewTask {
    /// A task of that name, to be run as soon as possible.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the payload.
    pub fn payload(mut self, payload: impl Into<Value>) -> Self {
        self.payload = Some(payload.into().into());
        self
    }

    /// Sets the payload to a JSON text, which reaches a command as it is: numbers of any length are not rounded.
    pub fn payload_text(mut self, payload: JsonText) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Sets the queue.
    pub fn queue(mut self, queue: impl Into<QueueName>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets the priority; lower goes first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the earliest start.
    pub fn run_at(mut self, at: DateTime<Utc>) -> Self {
        self.run_at = Some(at);
        self
    }

    /// Sets the earliest start as a delay after the enqueue.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets when it expires: no attempt begins from then on, and the task ends as skipped.
    pub fn expires_at(mut self, at: DateTime<Utc>) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Sets when it expires, as a time after its earliest start.
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// Sets a key that only one unfinished task may have.
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// Checks the task, because one database would refuse what another one accepts.
    ///
    /// # Errors
    /// If a name, the key, the payload or the number of attempts is invalid.
    pub fn check(&self) -> Result<(), InvalidTask> {
        check_name(&self.name).map_err(InvalidTask::Name)?;
        if let Some(queue) = &self.queue {
            check_name(queue).map_err(InvalidTask::Queue)?;
        }
        if let Some(key) = self.unique_key.as_ref().filter(|key| key.len() > 190) {
            return Err(InvalidTask::UniqueKey(key.len()));
        }
        if let Some(limit) = self.max_attempts.filter(|limit| *limit < 1) {
            return Err(InvalidTask::MaxAttempts(limit));
        }
        if let Some(expiry) = self.expires_at {
            if !(1_000..=9_998).contains(&expiry.year()) {
                return Err(InvalidTask::ExpiryBeyondCalendar(expiry));
            }
            if let Some(start) = self.run_at.filter(|start| *start >= expiry) {
                return Err(InvalidTask::ExpiresBeforeStart(expiry, start));
            }
        }
        self.payload.as_ref().map_or(Ok(()), |payload| json::check(payload.get())).map_err(InvalidTask::Payload)
    }

    /// Checks that the payload has at most `max` bytes.
    ///
    /// # Errors
    /// If it has more.
    pub fn check_size(&self, max: u64) -> Result<(), InvalidTask> {
        let bytes = self.payload.as_ref().map_or(0, |payload| payload.get().len() as u64);
        if bytes > max { Err(InvalidTask::LargePayload { bytes, max }) } else { Ok(()) }
    }
}

/// The earliest start of a task on hold.
pub const NEVER: DateTime<Utc> = match NaiveDate::from_ymd_opt(9_999, 12, 31) {
    Some(day) => day.and_time(NaiveTime::MIN).and_utc(),
    None => DateTime::<Utc>::MAX_UTC,
};

/// Whether a task with this earliest start is on hold: that instant is never meant to come.
pub fn is_on_hold(run_at: DateTime<Utc>) -> bool {
    run_at.year() >= 9_999
}

/// A task that this node has claimed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClaimedTask {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// The name of the task definition.
    pub name: String,
    /// The queue from which it was claimed.
    pub queue: QueueName,
    /// The payload.
    #[serde(default)]
    pub payload: Option<JsonText>,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// The maximum number of attempts, if the task has its own.
    pub max_attempts: Option<i32>,
    /// The number of attempts in a row, up to the one before this, during which their node died.
    #[serde(default)]
    pub pickups: i32,
    /// The schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// When it was claimed, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Why the payload cannot be read: a database may accept JSON that this program does not.
    pub unreadable: Option<String>,
    /// How often it was snoozed.
    #[serde(default)]
    pub snoozes: i32,
}

impl ClaimedTask {
    /// What distinguishes this claim from every other one.
    pub fn identity(&self) -> ClaimIdentity {
        ClaimIdentity { claim: self.claim, enqueued_at: self.enqueued_at, claimed_at: Some(self.started_at) }
    }

    /// The end of an attempt that the daemon could not complete, after `took`. The attempt is not counted, and the task
    /// is released: it is available again at once. `kind` is absent where the definition is not known.
    pub fn interrupted(
        &self,
        node: &NodeId,
        kind: Option<String>,
        why: &str,
        now: DateTime<Utc>,
        took: Duration,
    ) -> FinishedAttempt {
        FinishedAttempt {
            claim: self.claim,
            name: self.name.clone(),
            kind,
            queue: self.queue.clone(),
            schedule: self.schedule.clone(),
            due_at: self.due_at,
            enqueued_at: self.enqueued_at,
            claimed_at: Some(self.started_at),
            started_at: now - TimeDelta::from_std(took).unwrap_or_default(),
            finished_at: now,
            duration_ms: took.as_millis() as i64,
            node: node.clone(),
            attempt: self.attempt,
            outcome: Outcome::Interrupted,
            verdict: Some(Verdict::Released),
            retry_ms: 0,
            error: Some(why.to_owned()),
            payload: self.payload.clone(),
            report: Report::default(),
        }
    }

    /// The record of a claim under which this node has an attempt already: the database had lost that claim. Nothing was
    /// executed for this one.
    pub fn claimed_again(&self, node: &NodeId) -> FinishedAttempt {
        let why = "the node had this claim already, and the database had lost it: the attempt that ran went on";
        FinishedAttempt {
            outcome: Outcome::Superseded,
            verdict: None,
            ..self.interrupted(node, None, why, self.started_at, Duration::ZERO)
        }
    }
}

/// What an attempt reports besides its outcome.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The exit code of a command.
    pub exit_code: Option<i32>,
    /// The signal that killed a command.
    pub signal: Option<i32>,
    /// Whether a command left a core dump; unknown for other kinds.
    pub core_dumped: Option<bool>,
    /// The resource usage of a command; unknown for other kinds.
    pub usage: Option<Usage>,
    /// The duration, if it was measured more exactly than by the worker.
    #[serde(skip)]
    pub took: Option<Duration>,
    /// The result that the history keeps.
    #[serde(default)]
    pub result: Option<JsonText>,
    /// The captured standard output.
    pub stdout: Kept,
    /// The captured standard error.
    pub stderr: Kept,
    /// The payload of the next attempt, if it changes.
    #[serde(default)]
    pub next_payload: Option<JsonText>,
    /// Whether the node died during the attempt: such an attempt counts toward `max_pickups`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub node_died: bool,
    /// The number of processes that a command left behind and that were ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<i32>,
    /// The attempt directory, which is removed once the attempt is recorded.
    #[serde(skip)]
    pub attempt_dir: Option<PathBuf>,
}

/// An attempt that has ended and is to be recorded. It has everything that its row of the history needs, because the
/// row of the task may belong to another claim by then.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FinishedAttempt {
    /// The claim that ends.
    #[serde(flatten)]
    pub claim: Claim,
    /// The name of the task definition.
    pub name: String,
    /// The kind by which it was executed; unknown if the definition is.
    pub kind: Option<String>,
    /// The queue from which it was claimed.
    pub queue: QueueName,
    /// The schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// When the task was claimed, by the database's clock. Earlier versions did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<DateTime<Utc>>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The node that ran it.
    pub node: NodeId,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// What happened.
    pub outcome: Outcome,
    /// What becomes of the task; none if the attempt had lost its task.
    pub verdict: Option<Verdict>,
    /// For a retry: the delay before the next attempt, in milliseconds.
    pub retry_ms: u64,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// The payload of the attempt.
    #[serde(default)]
    pub payload: Option<JsonText>,
    /// What the attempt reported.
    pub report: Report,
}

impl FinishedAttempt {
    /// What distinguishes the claim that ends from every other one.
    pub fn identity(&self) -> ClaimIdentity {
        ClaimIdentity { claim: self.claim, enqueued_at: self.enqueued_at, claimed_at: self.claimed_at }
    }
}

#[cfg(test)]
impl ClaimedTask {
    /// The first attempt of task `id`, for tests.
    pub(crate) fn sample(id: i64) -> Self {
        Self {
            claim: Claim::new(id, 1),
            name: "it".to_owned(),
            queue: "q".into(),
            payload: None,
            attempt: 1,
            max_attempts: None,
            pickups: 0,
            schedule: None,
            due_at: None,
            enqueued_at: DateTime::UNIX_EPOCH,
            started_at: DateTime::UNIX_EPOCH,
            unreadable: None,
            snoozes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_database_would_refuse_is_refused_everywhere() {
        assert_eq!(NewTask::new("a").payload(json!({"x": ["a\0b"]})).check(), Err(InvalidTask::Payload(BadJson::Nul)));
        assert!(matches!(NewTask::new("").check(), Err(InvalidTask::Name(_))));
        assert!(matches!(NewTask::new("rm -rf").check(), Err(InvalidTask::Name(_))));
        assert_eq!(NewTask::new("a").unique_key("k".repeat(191)).check(), Err(InvalidTask::UniqueKey(191)));
        assert_eq!(NewTask::new("aufräumen-2").payload(json!({"a": 1})).check(), Ok(()));
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn claimed() -> ClaimedTask {
        ClaimedTask {
            claim: Claim::new(4711, 3),
            name: "report".to_owned(),
            queue: "default".into(),
            payload: Some(json!({"page": 18_446_744_073_709_551_615_u64}).into()),
            enqueued_at: at("2026-11-21T10:00:00Z"),
            started_at: at("2026-11-21T10:00:01.5Z"),
            ..ClaimedTask::sample(4711)
        }
    }

    #[test]
    fn a_claimed_task_is_read_as_earlier_versions_wrote_it() {
        // The manifest of a command that runs through an upgrade of the daemon.
        let text = r#"{"id":4711,"name":"report","queue":"default","payload":{"page":18446744073709551615},
            "attempt":1,"max_attempts":null,"fence":3,"schedule":null,"due_at":null,
            "enqueued_at":"2026-11-21T10:00:00Z","started_at":"2026-11-21T10:00:01.500Z","unreadable":null}"#;
        assert_eq!(serde_json::from_str::<ClaimedTask>(text).expect("the old form"), claimed());
        let again = ClaimedTask { pickups: 2, ..claimed() };
        let written = serde_json::to_string(&again).expect("written");
        assert_eq!(serde_json::from_str::<ClaimedTask>(&written).expect("the new form"), again);
    }

    #[test]
    fn a_payload_may_be_of_any_depth_and_its_numbers_of_any_length() {
        let text = format!("{}123456789012345678901234567890{}", "[".repeat(5_000), "]".repeat(5_000));
        let payload: JsonText = text.parse().expect("JSON");
        let task = ClaimedTask { payload: Some(payload.clone()), ..claimed() };
        let text = serde_json::to_string(&task).expect("written");
        assert_eq!(serde_json::from_str::<ClaimedTask>(&text).expect("read"), task);
        let (end, took) = (at("2026-11-21T10:00:02.5Z"), Duration::from_secs(1));
        let mut finished = task.interrupted(&"n".into(), None, "it was lost", end, took);
        finished.report.next_payload = Some(payload);
        let text = serde_json::to_string(&[&finished]).expect("written");
        assert_eq!(serde_json::from_str::<Vec<FinishedAttempt>>(&text).expect("read"), [finished]);
    }

    #[test]
    fn a_spooled_attempt_is_read_as_earlier_versions_wrote_it() {
        let text = r#"{"task_id":4711,"fence":3,"name":"report","kind":"command","queue":"default","schedule":null,
            "due_at":null,"enqueued_at":"2026-11-21T10:00:00Z","started_at":"2026-11-21T10:00:01.500Z",
            "finished_at":"2026-11-21T10:00:02.500Z","duration_ms":1000,"node":"o'brien-0123456789ab","attempt":1,
            "outcome":"interrupted","verdict":"released","retry_ms":0,"error":"the worker was lost",
            "payload":{"page":18446744073709551615},"report":{"exit_code":null,"signal":null,"core_dumped":null,
            "usage":null,"result":null,"stdout":{"text":"","truncated":false,"stamps":[]},
            "stderr":{"text":"","truncated":false,"stamps":[]},"next_payload":null}}"#;
        let (node, kind) = ("o'brien-0123456789ab".into(), Some("command".to_owned()));
        let (end, took) = (at("2026-11-21T10:00:02.5Z"), Duration::from_secs(1));
        let finished = claimed().interrupted(&node, kind, "the worker was lost", end, took);
        let old = FinishedAttempt { claimed_at: None, ..finished.clone() };
        assert_eq!(serde_json::from_str::<FinishedAttempt>(text).expect("the old form"), old);
        let mut written = serde_json::to_value(&finished).expect("written");
        assert_eq!(serde_json::from_value::<FinishedAttempt>(written.clone()).expect("the new form"), finished);
        assert_eq!(written["claimed_at"], "2026-11-21T10:00:01.500Z");
        written.as_object_mut().expect("an object").remove("claimed_at");
        assert_eq!(written, serde_json::from_str::<Value>(text).expect("JSON"), "an older daemon can read it as well");
    }
}
