//! Places in the payload of an event: `$.order.items[0].sku`, or `$` for all of it.

use std::fmt;

use serde_json::{Value, value::RawValue};
use sexton_entities::json_text::JsonText;

/// A place in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadPath {
    text: String,
    /// The same as a JSON pointer.
    pointer: String,
}

impl PayloadPath {
    /// Reads the path with which `text` begins, and says how many bytes it has.
    ///
    /// # Errors
    /// If it is not complete: how many bytes are sound, and what is missing behind them.
    pub fn beginning_of(text: &str) -> Result<(Self, usize), (usize, String)> {
        let mut pointer = String::new();
        if !text.starts_with('$') {
            return Err((0, "expected a place in the payload, such as `$.order.id`".to_owned()));
        }
        let mut at = 1;
        loop {
            let rest = &text[at..];
            if let Some(rest) = rest.strip_prefix('.') {
                let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
                let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
                if length == 0 {
                    return Err((at + 1, "expected the name of a field behind the dot".to_owned()));
                }
                push(&mut pointer, &rest[..length]);
                at += 1 + length;
            } else if let Some(rest) = rest.strip_prefix('[') {
                let close = rest.find(']').ok_or((at, "the bracket is not closed".to_owned()))?;
                let inside = &rest[..close];
                let quoted = inside.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                match quoted {
                    Some(name) => push(&mut pointer, name),
                    None if !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_digit()) => {
                        push(&mut pointer, inside);
                    }
                    None => {
                        return Err((at + 1, "expected a number, or the name of a field in double quotes".to_owned()));
                    }
                }
                at += close + 2;
            } else {
                return Ok((Self { text: text[..at].to_owned(), pointer }, at));
            }
        }
    }

    /// Reads a text that is one path.
    ///
    /// # Errors
    /// If it is something else; in words, with the place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let place = |at: usize| text[..at].chars().count() + 1;
        match Self::beginning_of(text) {
            Ok((path, length)) if length == text.len() => Ok(path),
            Ok((_, length)) => Err(format!("`{text}`: unexpected text at character {}", place(length))),
            Err((at, problem)) => Err(format!("`{text}`: {problem}, at character {}", place(at))),
        }
    }

    /// The JSON text at this place; none if the payload has nothing there.
    pub fn find<'a>(&self, payload: Option<&'a JsonText>) -> Option<&'a RawValue> {
        payload?.pointer(&self.pointer)
    }

    /// The value at this place. What is nested too deeply to be read counts as missing.
    pub fn value(&self, payload: Option<&JsonText>) -> Option<Value> {
        serde_json::from_str(self.find(payload)?.get()).ok()
    }
}

fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

impl fmt::Display for PayloadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_and_items_are_found() {
        let payload = JsonText::from(json!({ "a": { "b-c": [1, { "d/e": "x" }] } }));
        let found = |text: &str| PayloadPath::parse(text).expect(text).value(Some(&payload));
        assert_eq!(found("$.a.b-c[0]"), Some(json!(1)));
        assert_eq!(found("$.a.b-c[1][\"d/e\"]"), Some(json!("x")));
        assert_eq!(found("$.a.x"), None);
        assert_eq!(found("$"), Some(json!({ "a": { "b-c": [1, { "d/e": "x" }] } })));
    }

    #[test]
    fn long_numbers_are_not_rounded() {
        let payload: JsonText = "{\"id\": 123456789012345678901234567890}".parse().expect("JSON");
        let path = PayloadPath::parse("$.id").expect("a path");
        assert_eq!(path.find(Some(&payload)).map(RawValue::get), Some("123456789012345678901234567890"));
    }

    #[test]
    fn a_mistake_has_its_place() {
        let mistake = |text: &str| PayloadPath::parse(text).expect_err(text);
        assert_eq!(mistake("$.ü."), "`$.ü.`: expected the name of a field behind the dot, at character 5");
        assert_eq!(mistake("$.a b"), "`$.a b`: unexpected text at character 4");
        assert_eq!(
            mistake("$.a[x]"),
            "`$.a[x]`: expected a number, or the name of a field in double quotes, at character 5"
        );
        assert_eq!(mistake("$.a[1"), "`$.a[1`: the bracket is not closed, at character 4");
    }
}
