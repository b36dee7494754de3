//! Schedules and periods by their names, and the messages for unknown ones.

use anyhow::Context as _;

use crate::{
    config::Config,
    domain::{period::Period, schedule::Schedule, text::suggest},
};

/// The schedule of that name that is in force.
pub(super) fn schedule<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Schedule> {
    let found = config.scheduled(name).map(|task| &**task.schedule);
    if let (None, Some(unused)) = (found, config.unused_schedules.get(name)) {
        anyhow::bail!("schedule {name} of the database is not in force: {}", unused.why);
    }
    found.with_context(|| unknown_schedule(name, config.schedules().map(|schedule| schedule.name.as_str())))
}

/// The message that none of the known schedules has that name.
pub(super) fn unknown_schedule<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("there is no schedule `{name}`{}", suggest::hint(name, known))
}

/// The period of that name in the configuration.
pub(super) fn period<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Period> {
    config.periods.get(name).map(AsRef::as_ref).ok_or_else(|| anyhow::anyhow!(config.periods.unknown(name)))
}

/// The message that no task has that id.
pub(super) fn unknown_task(id: i64) -> String {
    format!("there is no task {id}, neither unfinished nor in the history")
}
