//! A sweep as TOML, without the address of its database.

use toml::{Table, Value};

use super::tables::Config;
use crate::domain::{event::mapping::PayloadMapping, task::definition::TaskDefinition, text::redact};

/// The settings of a sweep, beside those of every task definition; none for a task of another kind.
pub(super) fn sweep(config: &Config, definition: &TaskDefinition, of_task: Table) -> Option<Table> {
    let sweep = definition.sweep.as_ref()?;
    let mut shown = of_task;
    for implied in ["kind", "max_parallel"] {
        shown.remove(implied);
    }
    let mapping = |mapping: &PayloadMapping| Value::try_from(mapping.written()).ok();
    let on = config.triggers.get(&definition.name).map(|trigger| trigger.on.iter().map(ToString::to_string));
    let settings = [
        ("select", Some(sweep.select.written().into())),
        ("task", Some(sweep.task.clone().into())),
        ("key", Some(sweep.key.clone().into())),
        ("limit", Some(Value::from(sweep.limit as i64))),
        ("payload", Some(sweep.payload.as_ref().and_then(mapping).unwrap_or_else(|| "row".into()))),
        ("batch", sweep.batch.map(|rows| Value::from(rows as i64))),
        ("bind", sweep.bind.0.as_ref().and_then(mapping)),
        ("url", sweep.url.as_ref().map(|url| redact::redacted(&url.0).into())),
        ("on_event", on.map(|names| names.collect::<Vec<_>>().into())),
    ];
    shown.extend(settings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Some(shown)
}
