//! Values as TOML that can be read back.

use std::time::Duration;

use toml::{Table, Value};

pub(super) fn length(length: Duration) -> Value {
    humantime::format_duration(length).to_string().into()
}

/// The largest unit that divides the number, so that the value reads back exactly.
pub(super) fn bytes(bytes: u64) -> Value {
    match bytes {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => Value::from(format!("{}MiB", bytes >> 20)),
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => Value::from(format!("{}KiB", bytes >> 10)),
        bytes => Value::from(bytes as i64),
    }
}

pub(super) fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
