//! `[schedule.NAME]`: a schedule of a task that is defined elsewhere. It stands in a file, or in the database: both are read
//! by the same rules.
//!
//! It names the task. What is executed comes from the definition of that task, which only the configuration has.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono_tz::Tz;
use sexton_entities::states::Origin;

use super::{
    expectation, missed_policy, payload_schema, schedule, schedule_period,
    section::{Section, as_json},
    task,
};
use crate::domain::{period::Periods, schedule::Schedule, task::definition::TaskDefinition, text::suggest};

/// Settings of a task that a schedule cannot have.
const OF_TASK: [&str; 18] = [
    "command",
    "kind",
    "env",
    "pass_env",
    "dir",
    "user",
    "group",
    "umask",
    "nice",
    "ping_url",
    "max_parallel",
    "max_parallel_by",
    "rate",
    "burst",
    "warn_after",
    "enabled",
    "when_disabled",
    "payload_schema",
];

/// A schedule of a task that is defined elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledTask {
    /// When it recurs.
    pub schedule: Arc<Schedule>,
    /// The definition of its task, with the settings that the schedule has of its own, but without the schedule. Schedules
    /// with the same settings share it.
    pub definition: Arc<TaskDefinition>,
    /// Whether it stands in a file or in the database.
    pub origin: Origin,
    /// The settings as they were written, as JSON: the text of a table is a tenth of its tree.
    pub(super) written: Box<str>,
}

/// What a schedule may refer to.
pub(super) struct Place<'a> {
    pub(super) zone: Tz,
    pub(super) max_payload: u64,
    pub(super) periods: &'a Periods,
    pub(super) tasks: &'a BTreeMap<String, Arc<TaskDefinition>>,
    pub(super) registered: &'a [TaskDefinition],
}

/// The definitions of schedules that were read before. A hundred thousand schedules of one task would have a copy each.
#[derive(Default)]
pub(super) struct SharedDefinitions(HashMap<String, Vec<Arc<TaskDefinition>>>);

/// How many different definitions of one task are compared with a further one.
const MAX_COMPARED: usize = 8;

impl SharedDefinitions {
    /// The definition that was read before, if it is the same.
    pub(super) fn share(&mut self, definition: TaskDefinition) -> Arc<TaskDefinition> {
        let known = self.0.entry(definition.name.clone()).or_default();
        if let Some(same) = known.iter().find(|known| ***known == definition) {
            return same.clone();
        }
        let definition = Arc::new(definition);
        if known.len() < MAX_COMPARED {
            known.push(definition.clone());
        }
        definition
    }
}

impl Place<'_> {
    pub(super) fn definition(&self, name: &str) -> Option<TaskDefinition> {
        let registered = || self.registered.iter().find(|known| known.name == name);
        self.tasks.get(name).map(|known| &**known).or_else(registered).cloned()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str).chain(self.registered.iter().map(|known| known.name.as_str()))
    }
}

impl ScheduledTask {
    /// The table as TOML; `None` if it has a value that TOML cannot express.
    pub(super) fn as_toml(&self) -> Option<toml::Value> {
        serde_json::from_str::<toml::Value>(&self.written).ok()
    }
}

/// Reads the table of a file.
pub(super) fn read(
    name: &str,
    section: &mut Section<'_>,
    place: &Place<'_>,
    shared: &mut SharedDefinitions,
) -> Option<ScheduledTask> {
    let payload = section.json("payload", place.max_payload);
    if place.tasks.get(name).is_some_and(|task| task.schedule.is_some()) {
        section.refuse("", format!("[task.{name}] has a `schedule` of the same name: keep one of them"));
    }
    let (definition, schedule) = read_rest(name, section, place)?;
    let definition = TaskDefinition { payload: payload.or(definition.payload.clone()), ..definition };
    payload_schema::check(section, definition.payload_schema.as_ref(), definition.payload.as_ref());
    Some(ScheduledTask {
        schedule,
        definition: shared.share(definition),
        origin: Origin::Config,
        written: as_json(section.whole()).to_string().into(),
    })
}

/// Reads everything but the payload.
pub(super) fn read_rest(
    name: &str,
    section: &mut Section<'_>,
    place: &Place<'_>,
) -> Option<(TaskDefinition, Arc<Schedule>)> {
    let definition = definition(section, place);
    let own_zone = section.zone("timezone");
    let zone = own_zone.unwrap_or(place.zone);
    let mut read = match section.node("schedule") {
        Some(node) => {
            if schedule::has_recurrence(section) {
                section.refuse("schedule", "the table has another recurrence as well: keep one of them");
            }
            let path = format!("schedule.{name}.schedule");
            schedule::read(name, &path, node, zone, section.findings)
        }
        None => {
            let mut read = Schedule::new(name, Vec::new());
            schedule::add_table(&mut read, section, place.zone);
            read
        }
    };
    (read.period, read.outside_period) = schedule_period::read(section, place.periods, true);
    read.expect = expectation::read(section, true);
    let schedule = missed_policy::read(section, zone, Some(read))?;
    section.refuse_each(&OF_TASK, "a schedule cannot set this: it comes from the definition of its task");
    let schedule = Arc::new(schedule);
    // Without a definition, the settings are read for their mistakes.
    let base = definition.clone().unwrap_or_else(|| TaskDefinition::new(name, ""));
    let read = task::of_runs(section, base);
    definition?;
    let is_whole = !schedule.recurrences.is_empty();
    is_whole.then(|| (TaskDefinition { schedule: None, ping_url: None, ..read }, schedule))
}

/// The definition of the task that the table names.
fn definition(section: &mut Section<'_>, place: &Place<'_>) -> Option<TaskDefinition> {
    let Some(task) = section.text("task") else {
        if section.node("task").is_none() {
            section.refuse("", "`task` is missing: the name of the task definition that it starts");
        }
        return None;
    };
    let found = place.definition(&task);
    if found.is_none() {
        section.refuse("task", unknown_task(&task, place));
    }
    found
}

pub(super) fn unknown_task(task: &str, place: &Place<'_>) -> String {
    format!("there is no task definition `{task}`{}", suggest::hint(task, place.names()))
}
