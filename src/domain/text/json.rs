//! JSON that every supported database can store.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::{Value, value::RawValue};

use crate::domain::command::capture::without_nul;

/// The deepest nesting of a value. MariaDB allows 32 levels; one or two are Sexton's own.
pub const MAX_DEPTH: usize = 30;

/// Whether a value is nested more than [`MAX_DEPTH`] levels deep.
pub fn is_too_deep(value: &Value) -> bool {
    fn reaches(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| reaches(item, left - 1)),
            Value::Object(map) => left == 0 || map.values().any(|item| reaches(item, left - 1)),
            _ => false,
        }
    }
    reaches(value, MAX_DEPTH)
}

/// Whether a key or a text in the value contains NUL, which PostgreSQL's JSON cannot store.
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || holds_nul(item)),
        _ => false,
    }
}

/// Reads a value inside a larger document as deep as if it stood alone: the parser counts the levels around it otherwise,
/// and refuses the whole document.
///
/// # Errors
/// If the value is no JSON, or is nested more deeply than the parser allows.
pub fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let text = Option::<Box<RawValue>>::deserialize(deserializer)?;
    text.map(|text| serde_json::from_str(text.get()).map_err(D::Error::custom)).transpose()
}

/// The value with each NUL replaced, as by [`without_nul`].
pub fn json_without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => items.into_iter().map(json_without_nul).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (without_nul(key), json_without_nul(item))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_is_counted() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(!is_too_deep(&nested(MAX_DEPTH)) && is_too_deep(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn nul_is_found_and_replaced() {
        let value = json!({"a\0": ["b\0"]});
        assert!(holds_nul(&value));
        assert_eq!(json_without_nul(value), json!({"a\u{fffd}": ["b\u{fffd}"]}));
    }
}
