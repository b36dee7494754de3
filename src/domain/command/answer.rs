//! The answers of a command: lines of JSON that it writes to a descriptor of its own while it runs.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sexton_entities::json_text::JsonText;

use crate::domain::text::{
    duration,
    json::{self, json_without_nul},
};

/// The maximum length of a line, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// The progress of a running attempt, as it reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// A percentage from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// A description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a command has answered so far. Later lines replace earlier ones, key by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The result that the history keeps.
    pub result: Option<JsonText>,
    /// The progress.
    pub progress: Option<Progress>,
    /// The work is not done, and is to be tried again after this delay.
    pub retry_after: Option<Duration>,
    /// The payload of the next attempt.
    pub payload: Option<JsonText>,
    /// The work will never be done, and the reason.
    pub discard: Option<String>,
    /// The first part of the answer that is invalid.
    pub problem: Option<String>,
    /// A `retry_after` or `discard` was invalid, and no valid one came after it.
    #[serde(default)]
    pub has_bad_wish: bool,
}

impl Answer {
    /// Reads one line. An invalid part is noted, and the rest of the line counts.
    pub fn read(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if line.len() > MAX_LINE {
            return self.note(format!("a line of {} bytes is longer than {MAX_LINE}", line.len()));
        }
        match serde_json::from_slice::<&RawValue>(line).map(RawValue::get) {
            Ok(text) if text.starts_with('{') => match serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text) {
                Ok(settings) => {
                    for (key, value) in settings {
                        self.set(&key, json_without_nul(value.into()));
                    }
                }
                Err(error) => self.note(format!("not JSON: {error}: {text}")),
            },
            Ok(other) => self.note(format!("expected a JSON object, found {other}")),
            Err(error) => self.note(format!("not JSON: {error}: {}", String::from_utf8_lossy(line).trim_end())),
        }
    }

    fn set(&mut self, key: &str, json: JsonText) {
        if let Err(problem) = json::check(json.get()) {
            return self.note(format!("{key}: {problem}"));
        }
        match key {
            "result" => return self.result = Some(json),
            "payload" => return self.payload = Some(json),
            _ => {}
        }
        let Ok(value) = json.decode::<Value>() else {
            return self.note(format!("{key} {json}: the number is too large"));
        };
        match (key, value) {
            ("progress", value) => match progress(&value) {
                Some(progress) => self.progress = Some(progress),
                None => self.note(format!("progress {value}: expected a percentage, or percent and text")),
            },
            ("retry_after", value) => match delay(&value) {
                Some(delay) => (self.retry_after, self.has_bad_wish) = (Some(delay), false),
                None => {
                    self.has_bad_wish = true;
                    self.note(format!("retry_after {value}: expected seconds, or a duration such as \"10m\""));
                }
            },
            ("discard", Value::Bool(wanted)) => {
                self.discard = wanted.then(|| "the command discarded the task".to_owned());
                self.has_bad_wish = false;
            }
            ("discard", Value::String(why)) => (self.discard, self.has_bad_wish) = (Some(why), false),
            ("discard", value) => {
                self.has_bad_wish = true;
                self.note(format!("discard {value}: expected true, or the reason"));
            }
            (key, _) => {
                self.note(format!("`{key}` is not known: expected result, progress, retry_after, payload or discard"));
            }
        }
    }

    /// Keeps the first problem only.
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

fn progress(value: &Value) -> Option<Progress> {
    let progress = match value {
        Value::Number(percent) => Progress { percent: percent.as_f64(), text: None },
        Value::String(text) => Progress { percent: None, text: Some(text.clone()) },
        other => serde_json::from_value(other.clone()).ok()?,
    };
    let is_percentage = progress.percent.is_none_or(|percent| (0.0..=100.0).contains(&percent));
    is_percentage.then_some(progress)
}

fn delay(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => Duration::try_from_secs_f64(seconds.as_f64()?).ok(),
        Value::String(text) => duration::parse(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};
    use serde_json::json;

    use super::*;

    fn read(lines: &[&str]) -> Answer {
        let mut answer = Answer::default();
        for line in lines {
            answer.read(line.as_bytes());
        }
        answer
    }

    #[test]
    fn keys_are_read_from_every_line() {
        let answer = read(&[
            r#"{"progress": 10}"#,
            "",
            r#"{"progress": {"percent": 50, "text": "half"}, "result": {"rows": 3}}"#,
            r#"{"retry_after": "10m", "payload": {"page": 2}}"#,
        ]);
        assert_eq!(answer.progress, Some(Progress { percent: Some(50.0), text: Some("half".to_owned()) }));
        assert!(answer.result.is_some_and(|kept| kept == json!({"rows": 3})));
        assert_eq!(
            (answer.retry_after, answer.payload),
            (Some(Duration::from_secs(600)), Some(r#"{"page": 2}"#.parse().unwrap()))
        );
        assert_eq!(answer.problem, None);
        assert_eq!(read(&[r#"{"discard": "no such order"}"#]).discard.as_deref(), Some("no such order"));
        let answer = read(&[r#"{"progress": "a\u0000b", "result": {"k\u0000": ["\u0000"]}}"#]);
        assert_eq!(answer.progress.and_then(|progress| progress.text).as_deref(), Some("a\u{fffd}b"));
        assert!(answer.result.is_some_and(|kept| kept == json!({"k\u{fffd}": ["\u{fffd}"]})), "no database refuses it");
        assert_eq!(read(&[r#"{"retry_after": 1.5}"#]).retry_after, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn invalid_parts_are_reported() {
        for (line, expected) in [
            ("done", "not JSON"),
            ("[1]", "expected a JSON object, found [1]"),
            (r#"{"progess": 1}"#, "`progess` is not known"),
            (r#"{"progress": 101}"#, "expected a percentage"),
            (r#"{"retry_after": "soon"}"#, "expected seconds"),
            (r#"{"discard": 1}"#, "expected true"),
        ] {
            let problem = read(&[line]).problem.unwrap_or_default();
            assert!(problem.contains(expected), "{line}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(line in prop::collection::vec(any::<u8>(), 0..200)) {
            Answer::default().read(&line);
        }
    }
}
