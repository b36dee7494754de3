//! Texts with placeholders: `{/order/id}` is the value of a payload at that JSON pointer.

use std::fmt;

use sexton_entities::json_text::JsonText;

/// A text with placeholders.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// One part of a template.
#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A JSON pointer.
    Value(String),
}

/// Why a template cannot be filled from a payload: it would fail every time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnfilledTemplate(pub String);

impl Template {
    /// Reads a text. A brace that no pointer follows is a plain letter.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{/") {
            let Some(length) = rest[start..].find('}') else { break };
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            parts.push(Part::Value(rest[start + 1..start + length].to_owned()));
            rest = &rest[start + length + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self { parts }
    }

    /// The text with `value` in place of each placeholder.
    pub fn with(&self, value: &str) -> String {
        let part = |part: &Part| if let Part::Text(text) = part { text.clone() } else { value.to_owned() };
        self.parts.iter().map(part).collect()
    }

    /// The text up to the first placeholder.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether it has a placeholder.
    pub fn has_placeholders(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// The text as it was written.
    pub fn source(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(pointer) => format!("{{{pointer}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// The text with the values of a payload, each of them passed through `encode`.
    ///
    /// # Errors
    /// If the payload has no text, number, `true` or `false` at a pointer.
    pub fn fill(&self, payload: &JsonText, encode: impl Fn(&str) -> String) -> Result<String, UnfilledTemplate> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled += text,
                Part::Value(pointer) => filled += &encode(&scalar(payload, pointer)?),
            }
        }
        Ok(filled)
    }
}

impl fmt::Debug for Template {
    /// It may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The value at a pointer as text.
fn scalar(payload: &JsonText, pointer: &str) -> Result<String, UnfilledTemplate> {
    let problem = |what: &str| Err(UnfilledTemplate(format!("the payload has {what} at {pointer}")));
    match payload.pointer(pointer).map(|value| value.get()) {
        None | Some("null") => problem("no value"),
        Some(text) if text.starts_with('"') => {
            serde_json::from_str(text).or_else(|_| problem("a text that cannot be read"))
        }
        Some(text) if text.starts_with(['{', '[']) => problem("an object or a list, and a text or a number is needed,"),
        Some(text) => Ok(text.to_owned()),
    }
}

/// Encodes a value for the path or the query of a URL: only letters, digits and `-._~` stay as they are.
pub fn percent_encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// Whether the path of a URL has a segment `.` or `..`, also if it is encoded: what follows would be another path.
pub fn has_dot_segment(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    path.split(['/', '\\']).any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: &str) -> JsonText {
        text.parse().expect("JSON")
    }

    #[test]
    fn values_are_encoded_and_cannot_change_the_url() {
        let template = Template::new("https://h/orders/{/id}/x?name={/who/name}&{y}");
        let filled = template.fill(&payload(r#"{"id": "a/../b?c#d", "who": {"name": "ä&b=c d"}}"#), percent_encoded);
        assert_eq!(filled.as_deref(), Ok("https://h/orders/a%2F..%2Fb%3Fc%23d/x?name=%C3%A4%26b%3Dc%20d&{y}"));
        let number = template.fill(&payload(r#"{"id": 12345678901234567890, "who": {"name": true}}"#), percent_encoded);
        assert_eq!(number.as_deref(), Ok("https://h/orders/12345678901234567890/x?name=true&{y}"));
        assert_eq!((template.beginning(), template.has_placeholders()), ("https://h/orders/", true));
        assert_eq!(template.source(), "https://h/orders/{/id}/x?name={/who/name}&{y}");
    }

    #[test]
    fn a_value_that_is_not_there_is_named() {
        let template = Template::new("{/order/id}");
        for (text, expected) in [
            ("null", "the payload has no value at /order/id"),
            (r#"{"order": {"id": null}}"#, "the payload has no value at /order/id"),
            (
                r#"{"order": {"id": [1]}}"#,
                "the payload has an object or a list, and a text or a number is needed, at /order/id",
            ),
        ] {
            let error = template.fill(&payload(text), str::to_owned).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for url in ["https://h/a/../b", "https://h/a/.", "https://h/%2e%2E/b", "https://h/.%2e?x", "https://h\\..\\b"] {
            assert!(has_dot_segment(url), "{url}");
        }
        for url in ["https://h/a..b/c", "https://h/a?x=/../", "https://h/...", "https://h.example/x#/.."] {
            assert!(!has_dot_segment(url), "{url}");
        }
    }
}
