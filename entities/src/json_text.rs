//! JSON as the text in which it came: payloads and results.
//!
//! A parsed value would round numbers of more than 17 digits, and a parser gives up at some depth. The text passes
//! unchanged from the enqueue to the command.

use std::{borrow::Cow, collections::HashMap, fmt, str::FromStr, sync::Arc};

use sea_orm::{
    TryGetableFromJson,
    sea_query::{ArrayType, ColumnType, Nullable, Value as SqlValue, ValueType, ValueTypeErr},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

/// A JSON text. Its syntax is valid; nothing more was read. Clones share it.
#[derive(Clone)]
pub struct JsonText(Arc<RawValue>);

impl JsonText {
    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Decodes the text.
    ///
    /// # Errors
    /// If it does not fit the type, or is nested more deeply than the type's decoder allows.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// The value that a JSON pointer (RFC 6901) finds. The values around it are not decoded.
    pub fn pointer(&self, pointer: &str) -> Option<&RawValue> {
        let mut found: &RawValue = &self.0;
        if pointer.is_empty() {
            return Some(found);
        }
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            found = match found.get().as_bytes().first()? {
                b'{' => serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(found.get()).ok()?.remove(&*token)?,
                b'[' => {
                    let is_index = token == "0" || !token.starts_with(['0', '+']);
                    let index: usize = token.parse().ok().filter(|_| is_index)?;
                    serde_json::from_str::<Vec<&RawValue>>(found.get()).ok()?.get(index).copied()?
                }
                _ => return None,
            };
        }
        Some(found)
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        // Only a key that is no text cannot be written, and a value has none.
        let text = RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self(text.into())
    }
}

impl From<Box<RawValue>> for JsonText {
    fn from(text: Box<RawValue>) -> Self {
        Self(text.into())
    }
}

impl FromStr for JsonText {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

/// Compares the texts: `1.0` and `1` differ.
impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for JsonText {}

/// Compares with the value that the text has.
impl PartialEq<Value> for JsonText {
    fn eq(&self, other: &Value) -> bool {
        self.decode::<Value>().is_ok_and(|value| value == *other)
    }
}

/// Writes the text on one line: files of several values have one on each line.
impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A text inside JSON has no line break, so that each one is between values.
        match self.get().contains(['\n', '\r']) {
            false => self.0.serialize(serializer),
            true => RawValue::from_string(self.get().replace(['\n', '\r'], " "))
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

impl TryGetableFromJson for JsonText {}

/// For active models. The store binds the text itself.
impl From<JsonText> for SqlValue {
    fn from(text: JsonText) -> Self {
        Self::Json(text.decode().ok())
    }
}

impl ValueType for JsonText {
    fn try_from(value: SqlValue) -> Result<Self, ValueTypeErr> {
        match value {
            SqlValue::Json(Some(value)) => Ok((*value).into()),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "JsonText".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::Json
    }

    fn column_type() -> ColumnType {
        ColumnType::Json
    }
}

impl Nullable for JsonText {
    fn null() -> SqlValue {
        SqlValue::Json(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> JsonText {
        text.parse().expect("JSON")
    }

    #[test]
    fn numbers_and_depth_pass_unchanged() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for came in ["123456789012345678901234567890", "0.1000000000000000055511151231257827", "1e400", "1.10", &deep] {
            let wrapped = serde_json::to_string(&[text(came)]).expect("written");
            assert_eq!(wrapped, format!("[{came}]"));
            let [read] = serde_json::from_str::<[JsonText; 1]>(&wrapped).expect("read");
            assert_eq!(read.get(), came);
        }
        assert!("{no json".parse::<JsonText>().is_err());
    }

    #[test]
    fn it_is_written_on_one_line() {
        let written = serde_json::to_string(&text("{\n \"a\\n\": 1,\r\n \"b\": 2\n}")).expect("written");
        assert_eq!(written, "{  \"a\\n\": 1,   \"b\": 2 }");
    }

    #[test]
    fn pointers_find_what_they_find_in_values() {
        let order = r#"{"id": 123456789012345678901234567890, "a/b": [10, {"~": "x"}], "": null}"#;
        let (found, value) = (text(order), serde_json::from_str::<Value>(order).expect("JSON"));
        assert_eq!(found.pointer("/id").map(RawValue::get), Some("123456789012345678901234567890"));
        for pointer in
            ["", "/", "/a~1b", "/a~1b/0", "/a~1b/00", "/a~1b/+1", "/a~1b/1/~0", "/a~1b/2", "/x", "a", "/id/0"]
        {
            let raw = found.pointer(pointer).map(|raw| raw.get().parse::<JsonText>().expect("JSON"));
            assert_eq!(raw.is_some(), value.pointer(pointer).is_some(), "{pointer}");
            if let Some(expected) = value.pointer(pointer).filter(|_| !pointer.is_empty()) {
                assert!(raw.is_some_and(|raw| raw == *expected), "{pointer}");
            }
        }
    }

    #[test]
    fn a_value_becomes_its_text() {
        assert_eq!(JsonText::from(json!({"a": [1, "b"]})).get(), r#"{"a":[1,"b"]}"#);
        assert!(JsonText::from(Value::Null).is_null());
    }
}
