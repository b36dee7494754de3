//! What a daemon and a worker process say to each other: one JSON object on each line. docs/WORKERS.md is its description.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sexton_entities::json_text::JsonText;

use crate::domain::{
    command::answer::Progress,
    text::{
        clean::{one_line, shortened},
        duration, json,
    },
};

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;
/// The longest line of a worker process, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;
/// How much of a bad line an error quotes, in characters.
const MAX_QUOTE: usize = 120;

/// A message to a worker process.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker<'a> {
    /// Execute this task.
    Task(WorkerTask<'a>),
    /// Stop working on this task: a process that does not is killed after `grace_ms`.
    Cancel {
        /// The number of the task.
        id: i64,
        /// How long the process may take, in milliseconds.
        grace_ms: u64,
    },
    /// Are you there? The answer is `pong`.
    Ping,
}

/// A task for a worker process.
#[derive(Debug, Serialize)]
pub struct WorkerTask<'a> {
    /// The number of the task.
    pub id: i64,
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a RawValue,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// The number of the last attempt.
    pub max_attempts: i32,
    /// A number that rises with each claim of the task.
    pub fence: i64,
    /// The queue.
    pub queue: &'a str,
    /// The schedule that created it.
    pub schedule: Option<&'a str>,
    /// The instant of that schedule.
    pub due_at: Option<DateTime<Utc>>,
    /// The time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How the tasks ended for which it waited; absent if it waited for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a JsonText>,
}

/// A message of a worker process.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// The first message: the process is ready.
    Hello {
        /// The names of the tasks that it executes; empty for all.
        names: Vec<String>,
    },
    /// How far a task is.
    Progress(i64, Progress),
    /// A line for the log, which is kept with the attempt.
    Log(i64, String),
    /// The end of a task.
    End(i64, TaskAnswer),
    /// The answer to a ping.
    Pong,
}

/// How a worker process ended a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskAnswer {
    /// The work is done.
    Done(Option<JsonText>),
    /// The attempt failed.
    Failed {
        /// Why.
        error: String,
        /// Whether another attempt would fail as well.
        discard: bool,
    },
    /// The work is not done, and is to be tried again.
    Retry {
        /// After this time.
        after: Duration,
        /// Why.
        error: Option<String>,
        /// The payload of the next attempt, if it changes.
        payload: Option<JsonText>,
    },
}

/// A line as it comes. Fields that are not known are ignored, so that a later version may have more.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    protocol: Option<u32>,
    #[serde(default)]
    names: Vec<String>,
    id: Option<i64>,
    percent: Option<f64>,
    text: Option<String>,
    result: Option<JsonText>,
    error: Option<String>,
    #[serde(default)]
    discard: bool,
    after: Option<serde_json::Value>,
    payload: Option<JsonText>,
}

impl ToWorker<'_> {
    /// The line, with its end.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

impl FromWorker {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is no message, as the end of a sentence that begins with the process.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        let bad = |why: String| format!("{why}: {}", quoted(line));
        let read: Line =
            serde_json::from_slice(line).map_err(|error| bad(format!("sent what is no message ({error})")))?;
        let id = || read.id.ok_or_else(|| bad("sent a message without the number of its task".to_owned()));
        match read.kind.as_str() {
            "hello" => match read.protocol {
                Some(PROTOCOL) => Ok(Self::Hello { names: read.names }),
                _ => Err(bad(format!("speaks another protocol than {PROTOCOL}"))),
            },
            "pong" => Ok(Self::Pong),
            "progress" => {
                let percent = read.percent.filter(|percent| (0.0..=100.0).contains(percent));
                Ok(Self::Progress(id()?, Progress { percent, text: read.text }))
            }
            "log" => Ok(Self::Log(id()?, read.text.unwrap_or_default())),
            "result" => {
                if let Some(problem) = read.result.as_ref().and_then(|result| json::check(result.get()).err()) {
                    return Err(bad(format!("sent a result that cannot be kept ({problem})")));
                }
                Ok(Self::End(id()?, TaskAnswer::Done(read.result)))
            }
            "error" => {
                let error = read.error.clone().unwrap_or_else(|| "the worker gave no reason".to_owned());
                Ok(Self::End(id()?, TaskAnswer::Failed { error, discard: read.discard }))
            }
            "retry" => {
                let after = read.after.as_ref().and_then(delay);
                let after = after.ok_or_else(|| bad("sent a retry without a time in `after`".to_owned()))?;
                let retry = TaskAnswer::Retry { after, error: read.error.clone(), payload: read.payload.clone() };
                Ok(Self::End(id()?, retry))
            }
            _ => Err(bad("sent a message of an unknown type".to_owned())),
        }
    }
}

/// A number of seconds, or a duration such as `"10m"`.
fn delay(value: &serde_json::Value) -> Option<Duration> {
    match value {
        serde_json::Value::String(text) => duration::parse(text).ok(),
        value => Duration::try_from_secs_f64(value.as_f64()?).ok(),
    }
}

/// The beginning of a line, for an error.
pub fn quoted(line: &[u8]) -> String {
    let start = &line[..line.len().min(4 * MAX_QUOTE)];
    shortened(&one_line(String::from_utf8_lossy(start).trim_end()), MAX_QUOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<FromWorker, String> {
        FromWorker::read(line.as_bytes())
    }

    #[test]
    fn each_message_is_read() {
        let names = vec!["invoice".to_owned()];
        assert_eq!(read(r#"{"type":"hello","protocol":1,"names":["invoice"]}"#), Ok(FromWorker::Hello { names }));
        let progress = Progress { percent: Some(40.0), text: Some("page 2".to_owned()) };
        assert_eq!(
            read(r#"{"type":"progress","id":7,"percent":40,"text":"page 2"}"#),
            Ok(FromWorker::Progress(7, progress))
        );
        let done = TaskAnswer::Done(Some(r#"{"sent": 3}"#.parse().expect("JSON")));
        assert_eq!(read(r#"{"type":"result","id":7,"result":{"sent": 3}}"#), Ok(FromWorker::End(7, done)));
        assert_eq!(read(r#"{"type":"result","id":7,"later":1}"#), Ok(FromWorker::End(7, TaskAnswer::Done(None))));
        let failed = TaskAnswer::Failed { error: "gone".to_owned(), discard: true };
        assert_eq!(read(r#"{"type":"error","id":7,"error":"gone","discard":true}"#), Ok(FromWorker::End(7, failed)));
        for after in ["600", "600.0", "\"10m\""] {
            let retry = TaskAnswer::Retry { after: Duration::from_secs(600), error: None, payload: None };
            assert_eq!(read(&format!(r#"{{"type":"retry","id":7,"after":{after}}}"#)), Ok(FromWorker::End(7, retry)));
        }
        assert_eq!(read(r#"{"type":"pong"}"#), Ok(FromWorker::Pong));
        assert_eq!(read(r#"{"type":"log","id":7,"text":"x"}"#), Ok(FromWorker::Log(7, "x".to_owned())));
    }

    #[test]
    fn what_is_no_message_is_quoted() {
        for (line, expected) in [
            ("PHP Warning: x\u{1b}[0m", "sent what is no message ("),
            ("[]", "sent what is no message ("),
            (r#"{"type":"results","id":7}"#, "sent a message of an unknown type: {\"type\":\"results\""),
            (r#"{"type":"result"}"#, "sent a message without the number of its task"),
            (r#"{"type":"retry","id":7}"#, "sent a retry without a time in `after`"),
            (r#"{"type":"retry","id":7,"after":-1}"#, "sent a retry without a time in `after`"),
            (r#"{"type":"hello","protocol":2}"#, "speaks another protocol than 1"),
        ] {
            let told = read(line).expect_err(line);
            assert!(told.starts_with(expected) && !told.contains('\u{1b}'), "{told}");
        }
        assert!(read(&"x".repeat(100_000)).expect_err("no message").len() < 600);
    }

    #[test]
    fn a_message_is_one_line() {
        let payload = RawValue::from_string("{\"a\": \"b\\nc\"}".to_owned()).expect("JSON");
        let task = WorkerTask {
            id: 7,
            name: "invoice",
            payload: &payload,
            attempt: 1,
            max_attempts: 3,
            fence: 9,
            queue: "default",
            schedule: None,
            due_at: None,
            timeout_ms: Some(500),
            after: None,
        };
        let line = String::from_utf8(ToWorker::Task(task).line().expect("a line")).expect("text");
        let expected = "{\"type\":\"task\",\"id\":7,\"name\":\"invoice\",\"payload\":{\"a\": \"b\\nc\"},\"attempt\":1,\
                        \"max_attempts\":3,\"fence\":9,\"queue\":\"default\",\"schedule\":null,\"due_at\":null,\"timeout_ms\":500}\n";
        assert_eq!(line, expected);
        assert_eq!(ToWorker::Ping.line().expect("a line"), b"{\"type\":\"ping\"}\n");
    }
}
