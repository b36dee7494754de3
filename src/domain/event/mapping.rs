//! What a trigger makes of the payload of an event: the payload of a task, and texts for keys.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};
use sexton_entities::json_text::JsonText;

use super::{facts::EventFacts, path::PayloadPath};

/// A place in an event: in its payload, or something about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EventSource {
    Payload(PayloadPath),
    Name,
    Id,
    CreatedAt,
}

/// What else an event has beside its payload.
const ABOUT: [(&str, EventSource); 3] =
    [("$event.name", EventSource::Name), ("$event.id", EventSource::Id), ("$event.created_at", EventSource::CreatedAt)];

/// The payload of a task, with places that are filled from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadMapping {
    written: Value,
    root: MappedPart,
}

#[derive(Clone, Debug, PartialEq)]
enum MappedPart {
    Value(Value),
    From(EventSource),
    List(Vec<MappedPart>),
    Table(BTreeMap<String, MappedPart>),
}

impl EventSource {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, about)) = ABOUT.iter().find(|(word, _)| *word == text) {
            return Ok(about.clone());
        }
        if text.starts_with("$event") {
            return Err(format!("`{text}` is not known: an event has $event.name, $event.id and $event.created_at"));
        }
        PayloadPath::parse(text).map(Self::Payload)
    }

    /// Its JSON text; none if the payload does not have it.
    fn find(&self, event: &EventFacts) -> Option<String> {
        match self {
            Self::Payload(path) => path.find(event.payload.as_ref()).map(|found| found.get().to_owned()),
            Self::Name => Some(Value::from(event.name.as_str()).to_string()),
            Self::Id => Some(event.id.to_string()),
            Self::CreatedAt => Some(Value::from(event.created_at.to_rfc3339()).to_string()),
        }
    }
}

impl PayloadMapping {
    /// Reads a mapping: texts that begin with `$.` are places in the payload, `$$` stands for a single `$`.
    ///
    /// # Errors
    /// If a place cannot be read; with the text.
    pub fn read(written: Value) -> Result<Self, String> {
        Ok(Self { root: part(&written)?, written })
    }

    /// The mapping as it was written.
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// The payload of the task. What the event does not have is null.
    ///
    /// # Errors
    /// If the result is no JSON, which cannot happen unless the payload is damaged.
    pub fn fill(&self, event: &EventFacts) -> Result<JsonText, String> {
        let mut text = String::new();
        self.root.write(event, &mut text);
        RawValue::from_string(text).map(JsonText::from).map_err(|error| error.to_string())
    }

    /// The first place that the payload of the event does not have, as it was written.
    pub fn missing(&self, event: &EventFacts) -> Option<String> {
        self.root.missing(event)
    }
}

fn part(written: &Value) -> Result<MappedPart, String> {
    Ok(match written {
        Value::String(text)
            if text == "$" || text.starts_with("$.") || text.starts_with("$[") || text.starts_with("$event") =>
        {
            MappedPart::From(EventSource::parse(text)?)
        }
        Value::String(text) => {
            MappedPart::Value(text.strip_prefix('$').filter(|rest| rest.starts_with('$')).unwrap_or(text).into())
        }
        Value::Array(items) => MappedPart::List(items.iter().map(part).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), part(value)?)));
            MappedPart::Table(fields.collect::<Result<_, String>>()?)
        }
        other => MappedPart::Value(other.clone()),
    })
}

impl MappedPart {
    fn missing(&self, event: &EventFacts) -> Option<String> {
        match self {
            Self::From(EventSource::Payload(path)) if path.find(event.payload.as_ref()).is_none() => {
                Some(path.to_string())
            }
            Self::Value(_) | Self::From(_) => None,
            Self::List(items) => items.iter().find_map(|item| item.missing(event)),
            Self::Table(fields) => fields.values().find_map(|field| field.missing(event)),
        }
    }

    /// Writes it as JSON. Values of the payload stay as they came.
    fn write(&self, event: &EventFacts, text: &mut String) {
        match self {
            Self::Value(value) => text.push_str(&value.to_string()),
            Self::From(source) => text.push_str(source.find(event).as_deref().unwrap_or("null")),
            Self::List(items) => {
                text.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    item.write(event, text);
                }
                text.push(']');
            }
            Self::Table(fields) => {
                text.push('{');
                for (number, (name, field)) in fields.iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    text.push_str(&Value::from(name.as_str()).to_string());
                    text.push(':');
                    field.write(event, text);
                }
                text.push('}');
            }
        }
    }
}

/// A text with places such as `{$.order.id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    parts: Vec<KeyPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyPart {
    Text(String),
    From(EventSource, String),
}

impl std::str::FromStr for KeyTemplate {
    type Err = String;

    /// A text that is a place as a whole, such as `$.customer`, needs no braces.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the key is empty".to_owned());
        }
        let from = |place: &str| EventSource::parse(place).map(|source| KeyPart::From(source, place.to_owned()));
        let mut parts = Vec::new();
        if text.starts_with('$') && !text.contains('{') {
            parts.push(from(text)?);
            return Ok(Self { text: text.to_owned(), parts });
        }
        let mut rest = text;
        while let Some(start) = rest.find("{$") {
            let Some(length) = rest[start..].find('}') else {
                return Err(format!("`{text}`: the brace at `{}` is not closed", &rest[start..]));
            };
            parts.push(KeyPart::Text(rest[..start].to_owned()));
            parts.push(from(&rest[start + 1..start + length])?);
            rest = &rest[start + length + 1..];
        }
        parts.push(KeyPart::Text(rest.to_owned()));
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl std::fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl KeyTemplate {
    /// The key for an event.
    ///
    /// # Errors
    /// If the event has no text, number, `true` or `false` at a place: events without it would share one key.
    pub fn fill(&self, event: &EventFacts) -> Result<String, String> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                KeyPart::Text(text) => key.push_str(text),
                KeyPart::From(source, place) => {
                    let found = source.find(event).and_then(|text| serde_json::from_str(&text).ok());
                    match found {
                        Some(Value::String(text)) => key.push_str(&text),
                        Some(value @ (Value::Number(_) | Value::Bool(_))) => key.push_str(&value.to_string()),
                        _ => return Err(format!("key `{}`: the event has no text or number at {place}", self.text)),
                    }
                }
            }
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(payload: &str) -> EventFacts {
        EventFacts {
            id: 7,
            name: "order.paid".to_owned(),
            payload: Some(payload.parse().expect("JSON")),
            created_at: "2026-11-22T10:00:00Z".parse().expect("an instant"),
        }
    }

    #[test]
    fn places_are_filled_and_nothing_is_rounded() {
        let mapping = PayloadMapping::read(json!({
            "id": "$.order.id", "of": ["$.who", "$$.who", "plain", 3], "event": "$event.name", "number": "$event.id", "none": "$.x"
        }))
        .expect("a mapping");
        let event = event("{\"order\": {\"id\": 123456789012345678901234567890}, \"who\": \"a\\\"b\"}");
        let filled = mapping.fill(&event).expect("JSON");
        assert_eq!(
            filled.get(),
            "{\"event\":\"order.paid\",\"id\":123456789012345678901234567890,\"none\":null,\"number\":7,\
             \"of\":[\"a\\\"b\",\"$.who\",\"plain\",3]}"
        );
        assert!(PayloadMapping::read(json!({ "a": ["$.b c"] })).expect_err("no path").contains("at character 4"));
        assert!(PayloadMapping::read(json!("$event.x")).is_err());
    }

    #[test]
    fn keys_are_texts_with_places() {
        let key =
            |text: &str| text.parse::<KeyTemplate>().expect(text).fill(&event("{\"id\": 5, \"of\": {\"x\": \"y\"}}"));
        assert_eq!(key("order-{$.id}-{$.of.x}!"), Ok("order-5-y!".to_owned()));
        assert_eq!(key("$.id"), Ok("5".to_owned()));
        assert_eq!(key("{$event.name}"), Ok("order.paid".to_owned()));
        assert_eq!(key("plain"), Ok("plain".to_owned()));
        assert_eq!(key("a{$.none}"), Err("key `a{$.none}`: the event has no text or number at $.none".to_owned()));
        assert!(key("{$.of}").is_err());
        assert!("{$.a".parse::<KeyTemplate>().is_err() && "".parse::<KeyTemplate>().is_err());
    }
}
