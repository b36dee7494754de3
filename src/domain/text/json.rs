//! JSON that every database keeps.

use serde_json::Value;

use crate::domain::command::capture::without_nul;

/// MariaDB keeps no more than 32 levels, and one or two are ours.
pub const DEEPEST: usize = 30;

/// Whether a value is nested more deeply than can be kept.
pub fn is_too_deep(value: &Value) -> bool {
    fn reaches(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| reaches(item, left - 1)),
            Value::Object(map) => left == 0 || map.values().any(|item| reaches(item, left - 1)),
            _ => false,
        }
    }
    reaches(value, DEEPEST)
}

/// Whether any text of it holds NUL, which PostgreSQL's JSON cannot.
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || holds_nul(item)),
        _ => false,
    }
}

/// As [`without_nul`], for every text in it.
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
        assert!(!is_too_deep(&nested(DEEPEST)) && is_too_deep(&nested(DEEPEST + 1)));
    }

    #[test]
    fn nul_is_found_and_replaced() {
        let value = json!({"a\0": ["b\0"]});
        assert!(holds_nul(&value));
        assert_eq!(json_without_nul(value), json!({"a\u{fffd}": ["b\u{fffd}"]}));
    }
}
