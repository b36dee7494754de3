//! A task to be enqueued, and what every database accepts of it.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Serialize;
use serde_json::Value;
use sexton_entities::{json_text::JsonText, states::Required};

use super::{
    identity::QueueName,
    json::{self, BadJson},
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
    /// To which trace it belongs: the `traceparent` of the W3C's trace context.
    pub traceparent: Option<String>,
    /// The `tracestate` that belongs to the `traceparent`.
    pub tracestate: Option<String>,
    /// The group to which it belongs.
    pub group: Option<String>,
    /// The tasks for whose end it waits.
    pub after: Vec<i64>,
    /// The groups for whose last member it waits.
    pub after_groups: Vec<String>,
    /// Which end of them lets it begin; their success if absent.
    pub when: Option<Required>,
    /// Whether the first of them that ends so is enough.
    pub any: bool,
    /// Why the payload of a typed task could not be written.
    #[doc(hidden)]
    pub unwritable: Option<String>,
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
    /// The name of a group is invalid.
    #[error("group name: {0}")]
    Group(String),
    /// It would wait for the group to which it belongs.
    #[error("the task belongs to group {0}, and waits for its end: it would wait for itself")]
    OwnGroup(String),
    /// A task for which it waits is neither unfinished nor in the history.
    #[error(
        "there is no task {0}: it is neither unfinished nor in the history (it never was, or its history is pruned)"
    )]
    NoPredecessor(i64),
    /// A group for which it waits has no task.
    #[error("there is no group {0}: no task of it is unfinished or in the history (enqueue its members first)")]
    NoGroup(String),
    /// The unique key is too long for the index.
    #[error("the unique key has {0} bytes, at most 190 are allowed")]
    UniqueKey(usize),
    /// One of the supported databases does not keep the payload.
    #[error("the payload cannot be kept: {0}")]
    Payload(BadJson),
    /// The payload of a typed task cannot be written as JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Unwritable(String),
    /// The payload is larger than `max_payload` allows.
    #[error("the payload has {bytes} bytes, and daemon.max_payload allows {max}")]
    LargePayload {
        /// The size of the payload.
        bytes: u64,
        /// The setting.
        max: u64,
    },
    /// Its definition is disabled and refuses tasks, or the payload does not fit its schema.
    #[error("{0}")]
    NotWanted(String),
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

    /// Sets the payload to a value of one of the application's types. A value that cannot be written as JSON is an error of
    /// the enqueue.
    pub fn payload_of(mut self, payload: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(payload) {
            Ok(text) => self.payload = Some(text.into()),
            Err(error) => self.unwritable = Some(error.to_string()),
        }
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

    /// Sets the trace to which the task belongs: a `traceparent` of the [W3C's trace context][1], as a tracing library writes
    /// it into the headers of a request. The command gets it as its environment variable `TRACEPARENT`, the daemon's log
    /// names the trace, and each retry belongs to the same trace. A value that is not valid is ignored, and the attempt's
    /// record says why; the enqueue does not fail.
    ///
    /// [1]: https://www.w3.org/TR/trace-context/
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// Sets the `tracestate` that belongs to the `traceparent`. Of more than 512 characters, the first entries are kept.
    pub fn tracestate(mut self, tracestate: impl Into<String>) -> Self {
        self.tracestate = Some(tracestate.into());
        self
    }

    /// Puts the task into a group: a name that tasks share, for one task after all of them, and to count and cancel them.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Lets the task wait for the end of these tasks. They are unfinished, or in the history. Without
    /// [`NewTask::when`] it begins after their success, and ends as skipped if one of them ends otherwise.
    pub fn after(mut self, tasks: impl IntoIterator<Item = i64>) -> Self {
        self.after.extend(tasks);
        self
    }

    /// Lets the task wait until no task of the group is unfinished. The group has members already.
    pub fn after_group(mut self, group: impl Into<String>) -> Self {
        self.after_groups.push(group.into());
        self
    }

    /// Sets which end of the tasks for which it waits lets it begin.
    pub fn when(mut self, required: Required) -> Self {
        self.when = Some(required);
        self
    }

    /// Lets the task begin after the first of the tasks for which it waits that ends as required.
    pub fn any(mut self) -> Self {
        self.any = true;
        self
    }

    /// Whether it waits for others.
    pub fn waits(&self) -> bool {
        !self.after.is_empty() || !self.after_groups.is_empty()
    }

    /// Checks the task, because one database would refuse what another one accepts.
    ///
    /// # Errors
    /// If a name, the key, the payload or the number of attempts is invalid.
    pub fn check(&self) -> Result<(), InvalidTask> {
        check_name(&self.name).map_err(InvalidTask::Name)?;
        if let Some(why) = &self.unwritable {
            return Err(InvalidTask::Unwritable(why.clone()));
        }
        if let Some(queue) = &self.queue {
            check_name(queue).map_err(InvalidTask::Queue)?;
        }
        for group in self.group.iter().chain(&self.after_groups) {
            check_name(group).map_err(InvalidTask::Group)?;
        }
        if let Some(group) = self.group.as_ref().filter(|group| self.after_groups.contains(group)) {
            return Err(InvalidTask::OwnGroup(group.clone()));
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

/// Checks the name of a task, a queue or a schedule: it is shown in tables, and typed into shells.
///
/// # Errors
/// If the name is empty, too long, or has a character that is not allowed; in words for people.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    match name.chars().find(|c| !allowed(*c)) {
        _ if name.is_empty() => Err("a name must not be empty".to_owned()),
        _ if name.len() > 100 => Err(format!("`{name}` is longer than 100 bytes")),
        Some(found) => Err(format!("`{name}` contains {found:?}: names are letters, digits and - _ . : /")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_an_error_of_the_enqueue() {
        let by_pair = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(
            NewTask::new("a").payload_of(&by_pair).check(),
            Err(InvalidTask::Unwritable("key must be a string".to_owned()))
        );
    }

    #[test]
    fn what_one_database_would_refuse_is_refused_everywhere() {
        assert_eq!(NewTask::new("a").payload(json!({"x": ["a\0b"]})).check(), Err(InvalidTask::Payload(BadJson::Nul)));
        assert!(matches!(NewTask::new("").check(), Err(InvalidTask::Name(_))));
        assert!(matches!(NewTask::new("rm -rf").check(), Err(InvalidTask::Name(_))));
        assert_eq!(NewTask::new("a").unique_key("k".repeat(191)).check(), Err(InvalidTask::UniqueKey(191)));
        assert!(matches!(NewTask::new("a").group("b c").check(), Err(InvalidTask::Group(_))));
        assert!(matches!(NewTask::new("a").group("g").after_group("g").check(), Err(InvalidTask::OwnGroup(_))));
        assert_eq!(NewTask::new("aufräumen-2").payload(json!({"a": 1})).check(), Ok(()));
    }
}
