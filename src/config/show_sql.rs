//! The statements of kind `sql` as TOML, without the address of their database.

use toml::{Table, Value};

use super::toml_values::table;
use crate::domain::{sql_task::SqlSpec, text::redact};

/// The settings of the statements.
pub(super) fn statements(spec: &SqlSpec) -> Table {
    let written = spec.statements.iter().map(|statement| statement.written().into()).collect::<Vec<Value>>();
    let mut shown = table([("statements", written.into()), ("max_rows", (spec.max_rows as i64).into())]);
    let rare = [
        ("bind", spec.bind.0.as_ref().and_then(|mapping| Value::try_from(mapping.written()).ok())),
        ("url", spec.url.as_ref().map(|url| redact::redacted(&url.0).into())),
    ];
    shown.extend(rare.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    shown
}
