//! The JSON Schema that the payloads of a task definition fit: checked at the enqueue where the definition is known, and
//! before each attempt.

use std::{fmt, path::PathBuf};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use sexton_entities::json_text::JsonText;

use crate::domain::text::clean::shortened;

/// Maximum number of faults that are named.
const MAX_FAULTS: usize = 3;
/// Maximum length of a fault, in characters.
const MAX_FAULT: usize = 200;

/// A schema that was read. Nothing that it refers to is fetched: it stands for itself.
pub struct PayloadSchema {
    /// The schema as it was written.
    pub document: Value,
    /// The file that it stands in; none if it stands in the configuration.
    pub file: Option<PathBuf>,
    validator: Validator,
}

/// Why a schema is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenSchema {
    /// The keys on the way to the fault.
    pub path: Vec<String>,
    /// The fault, for people.
    pub problem: String,
}

impl PayloadSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// If it is no JSON Schema, or refers to another document.
    pub fn new(document: Value, file: Option<PathBuf>) -> Result<Self, BrokenSchema> {
        if !document.is_object() {
            let problem = "a schema is an object, such as { type = \"object\" }".to_owned();
            return Err(BrokenSchema { path: Vec::new(), problem });
        }
        // A payload comes from anywhere: the time of a pattern is linear to it.
        let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
        match options.build(&document) {
            Ok(validator) => Ok(Self { document, file, validator }),
            Err(error) => {
                let path = error.instance_path().as_str().split('/').skip(1).map(unescaped).collect();
                Err(BrokenSchema { path, problem: shortened(&error.to_string(), MAX_FAULT) })
            }
        }
    }

    /// Checks a payload; a task without one is checked as `null`. The error names no values: they may be confidential.
    ///
    /// # Errors
    /// What does not fit, for people.
    pub fn check(&self, payload: Option<&JsonText>) -> Result<(), String> {
        let value = match payload.map(JsonText::decode::<Value>).transpose() {
            Ok(value) => value.unwrap_or(Value::Null),
            Err(error) => return Err(format!("the payload cannot be read: {error}")),
        };
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        if payload.is_none() {
            let wanted = self.document.get("type").and_then(Value::as_str).and_then(with_article);
            let wanted = wanted.map_or_else(String::new, |wanted| format!("; its schema wants {wanted}"));
            return Err(format!("the payload does not fit `payload_schema`: the task has no payload{wanted}"));
        }
        let mut faults = self.validator.iter_errors(&value);
        let named: Vec<String> = faults
            .by_ref()
            .take(MAX_FAULTS)
            .map(|fault| {
                let place = fault.instance_path().as_str();
                let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
                shortened(&format!("{place}{}", fault.masked()), MAX_FAULT)
            })
            .collect();
        let more = if faults.next().is_some() { ", and more" } else { "" };
        Err(format!("the payload does not fit `payload_schema`: {}{more}", named.join(", ")))
    }
}

/// `an object` for a type of a schema.
fn with_article(word: &str) -> Option<&'static str> {
    Some(match word {
        "object" => "an object",
        "array" => "an array",
        "string" => "a string",
        "number" => "a number",
        "integer" => "an integer",
        "boolean" => "true or false",
        _ => return None,
    })
}

/// A part of a JSON pointer.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

impl PartialEq for PayloadSchema {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document && self.file == other.file
    }
}

impl fmt::Debug for PayloadSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadSchema").field("document", &self.document).field("file", &self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(payload: Value) -> Result<(), String> {
        let schema = json!({
            "type": "object",
            "required": ["order"],
            "properties": {"order": {"type": "integer", "minimum": 1}, "mail": {"pattern": "^[^@]+@shop$"}},
            "additionalProperties": false,
        });
        PayloadSchema::new(schema, None).expect("a schema").check(Some(&payload.into()))
    }

    #[test]
    fn what_does_not_fit_is_named_without_values() {
        assert_eq!(checked(json!({"order": 7, "mail": "me@shop"})), Ok(()));
        let faults = checked(json!({"order": "secret", "mail": "you@elsewhere", "more": 1})).expect_err("faults");
        assert!(faults.starts_with("the payload does not fit `payload_schema`: "), "{faults}");
        assert!(faults.contains("/order: ") && faults.contains("/mail: ") && !faults.contains("secret"), "{faults}");
        assert!(checked(Value::Null).is_err(), "null is a payload");
        let missing = PayloadSchema::new(json!({"type": "object"}), None).expect("a schema").check(None);
        let said = "the payload does not fit `payload_schema`: the task has no payload; its schema wants an object";
        assert_eq!(missing, Err(said.to_owned()));
    }

    #[test]
    fn a_schema_that_is_none_names_its_place() {
        let broken = |schema| PayloadSchema::new(schema, None).expect_err("no schema");
        let typo = broken(json!({"type": "object", "properties": {"order": {"type": "integre"}}}));
        assert_eq!(typo.path, ["properties", "order", "type"]);
        assert!(broken(json!({"$ref": "https://example.com/schema.json"})).problem.contains("example.com"));
        assert!(broken(json!({"$ref": "file:///etc/passwd"})).problem.contains("passwd"));
        assert!(broken(json!("object")).problem.contains("an object"));
        assert!(!broken(json!({"pattern": "(?=look)"})).problem.is_empty(), "what may take for ever is refused");
    }
}
