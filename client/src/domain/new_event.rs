//! An event to be sent, and what every database accepts of it.

use serde::Serialize;
use serde_json::Value;
use sexton_entities::json_text::JsonText;

use super::{
    json::{self, BadJson},
    new_task::check_name,
};

/// Maximum number of bytes of an event key.
const MAX_KEY: usize = 190;

/// An event to be sent. The triggers of the configuration make tasks of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewEvent {
    /// Its name, by which triggers select it.
    pub name: String,
    /// What it is about.
    pub payload: Option<JsonText>,
    /// A key of the sender: what is sent again with the same key is one event.
    pub key: Option<String>,
    /// Why the payload could not be written.
    #[doc(hidden)]
    pub unwritable: Option<String>,
}

/// Why an event cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// The name is invalid.
    #[error("event name: {0}")]
    Name(String),
    /// The key is too long for the index.
    #[error("the event key has {0} bytes, at most {MAX_KEY} are allowed")]
    Key(usize),
    /// One of the supported databases does not keep the payload.
    #[error("the payload cannot be kept: {0}")]
    Payload(BadJson),
    /// The payload cannot be written as JSON.
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
}

impl NewEvent {
    /// An event of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Value>) -> Self {
        self.payload = Some(payload.into().into());
        self
    }

    /// Sets the payload to a value of one of the application's types. A value that cannot be written as JSON is an error
    /// when the event is sent.
    #[must_use]
    pub fn payload_of(mut self, payload: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(payload) {
            Ok(text) => self.payload = Some(text.into()),
            Err(error) => self.unwritable = Some(error.to_string()),
        }
        self
    }

    /// Sets the key: what is sent again with the same key is one event, while that is kept.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Checks the event, because one database would refuse what another one accepts. `max_payload` is in bytes.
    ///
    /// # Errors
    /// If the name, the key or the payload is invalid.
    pub fn check(&self, max_payload: u64) -> Result<(), InvalidEvent> {
        check_name(&self.name).map_err(InvalidEvent::Name)?;
        if let Some(why) = &self.unwritable {
            return Err(InvalidEvent::Unwritable(why.clone()));
        }
        if let Some(key) = self.key.as_ref().filter(|key| key.len() > MAX_KEY) {
            return Err(InvalidEvent::Key(key.len()));
        }
        let Some(payload) = &self.payload else { return Ok(()) };
        json::check(payload.get()).map_err(InvalidEvent::Payload)?;
        let bytes = payload.get().len() as u64;
        if bytes > max_payload { Err(InvalidEvent::LargePayload { bytes, max: max_payload }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_database_would_refuse_is_refused_everywhere() {
        let check = |event: NewEvent| event.check(100);
        assert_eq!(check(NewEvent::new("order.paid").payload(json!({ "id": 1 })).key("k")), Ok(()));
        assert!(matches!(check(NewEvent::new("order paid")), Err(InvalidEvent::Name(_))));
        assert_eq!(check(NewEvent::new("a").key("k".repeat(191))), Err(InvalidEvent::Key(191)));
        assert_eq!(check(NewEvent::new("a").payload("a\0b")), Err(InvalidEvent::Payload(BadJson::Nul)));
        let large = NewEvent::new("a").payload("x".repeat(200));
        assert_eq!(check(large), Err(InvalidEvent::LargePayload { bytes: 202, max: 100 }));
    }
}
