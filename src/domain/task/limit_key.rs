//! Limit keys: the value in a payload by which tasks are limited, or take turns.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// The longest key in letters; `sexton_task.limit_key` has room for it and a checksum.
const LONGEST: usize = 120;

/// Where the key is in a payload: `$.customer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    members: Vec<String>,
}

impl KeyPath {
    /// The key of a task with that payload. Without such a value it is empty.
    pub fn key(&self, payload: Option<&Value>) -> String {
        let mut value = payload;
        for member in &self.members {
            value = value.and_then(|value| value.get(member));
        }
        let text = match value {
            None | Some(Value::Null) => return String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        // No database has a zero in a text, and two of them compare texts without the spaces at their end.
        let text = text.replace('\0', " ");
        let text = text.trim_end();
        match text.char_indices().nth(LONGEST) {
            None => text.to_owned(),
            Some((end, _)) => format!("{}~{:016x}", &text[..end], checksum(text)),
        }
    }

    /// What the key is of, in words: the last part of the path.
    pub fn label(&self) -> &str {
        self.members.last().map_or("", String::as_str)
    }
}

/// FNV-1a: the same on all nodes and in all versions.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl FromStr for KeyPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('$').unwrap_or(text).trim_start_matches(['.', '/']);
        let members: Vec<String> = text.strip_prefix("$.").unwrap_or_default().split('.').map(str::to_owned).collect();
        let is_plain = |member: &String| !member.is_empty() && !member.contains(['[', ']', '*', '$', ' ', '\'', '"']);
        if members.iter().all(is_plain) {
            return Ok(Self { members });
        }
        let example = if bare.is_empty() || bare.contains(['[', '*', ' ']) { "customer" } else { bare };
        Err(format!("`{text}` is no place in a payload: write \"$.{}\"", example.replace('/', ".")))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$.{}", self.members.join("."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(path: &str, payload: Value) -> String {
        path.parse::<KeyPath>().expect("a path").key(Some(&payload))
    }

    #[test]
    fn a_key_is_the_text_of_a_value() {
        assert_eq!(key("$.customer", json!({"customer": "acme "})), "acme");
        assert_eq!(key("$.order.customer", json!({"order": {"customer": 17}})), "17");
        assert_eq!(key("$.customer", json!({"customer": true})), "true");
        assert_eq!([key("$.customer", json!({"customer": null})), key("$.customer", json!(7))], ["", ""]);
        assert_eq!("$.customer".parse::<KeyPath>().expect("a path").key(None), "");
    }

    #[test]
    fn long_keys_stay_different() {
        let long = |end: &str| key("$.k", json!({"k": format!("{}{end}", "é".repeat(200))}));
        assert!(long("a") != long("b") && long("a").chars().count() <= 150);
    }

    #[test]
    fn a_bad_path_says_how_to_write_it() {
        let wrong = |text: &str| text.parse::<KeyPath>().expect_err("no path");
        assert_eq!(wrong("customer"), "`customer` is no place in a payload: write \"$.customer\"");
        assert_eq!(wrong("/order/id"), "`/order/id` is no place in a payload: write \"$.order.id\"");
        assert_eq!(wrong("$."), "`$.` is no place in a payload: write \"$.customer\"");
        assert!("$.a.b".parse::<KeyPath>().is_ok_and(|path| path.to_string() == "$.a.b" && path.label() == "b"));
    }
}
