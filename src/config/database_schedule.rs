//! Schedules of the database, read as tables `[schedule.NAME]` are, and written as such.

use serde_json::Value;
use sexton_entities::states::Origin;

use super::{
    follow,
    mistake::{Findings, Mistake},
    payload_schema,
    schedule_table::{Place, ScheduledTask, SharedDefinitions, read_rest},
    section::Section,
    tables::Config,
    tree::TreeNode,
    unused_schedule::{Unused, UnusedSchedule},
};
use crate::domain::{schedule::ScheduleDefinition, task::definition::TaskDefinition, text::suggest};

/// What a schedule of the database is called where a file would be.
const DATABASE: &str = "the database";
/// Reads a schedule of the database.
fn read_row(
    row: &ScheduleDefinition,
    place: &Place<'_>,
    config: &Config,
    shared: &mut SharedDefinitions,
) -> Result<ScheduledTask, UnusedSchedule> {
    let unused = |cause, why| UnusedSchedule { task: row.task.clone(), cause, why };
    let mistake = |why| unused(Unused::Mistake, why);
    row.check().map_err(|invalid| mistake(invalid.to_string()))?;
    let written = document(row).map_err(mistake)?;
    let mut settings = written.clone();
    // A payload may have what TOML does not have.
    let _ = settings.remove("payload");
    let Some(node) = TreeNode::from_json(&Value::Object(settings), DATABASE) else {
        return Err(mistake("it has no settings".to_owned()));
    };
    let mut findings = Findings::default();
    let prefix = format!("schedule.{}", row.name);
    let mut section = Section::new(&prefix, &node, &mut findings);
    let read = read_rest(&row.name, &mut section, place);
    let queue = section.word("queue");
    if let Some(queue) = queue.filter(|queue| !config.queues.contains_key(*queue)) {
        let hint = suggest::hint_or_list(queue, config.queues.keys().map(|known| known.as_str()));
        section.refuse("queue", format!("there is no queue `{queue}` in the configuration{hint}"));
    }
    section.finish();
    let payload = row.payload_value().unwrap_or_default();
    if let Some(bytes) = row.payload.as_ref().map(String::len).filter(|bytes| *bytes as u64 > place.max_payload) {
        let max = place.max_payload;
        section.refuse("payload", format!("it has {bytes} bytes, and daemon.max_payload allows {max}"));
    }
    if let Some((definition, _)) = &read {
        let payload = payload.as_ref().or(definition.payload.as_ref());
        payload_schema::check(&mut section, definition.payload_schema.as_ref(), payload);
    }
    let found = findings.mistakes.sorted().0;
    match read {
        Some(_) if !config.may_be_scheduled(&row.task, place) => {
            let task = &row.task;
            Err(mistake(format!(
                "task: [task.{task}] has `schedulable = false`: no schedule in the database may start it"
            )))
        }
        Some((definition, schedule)) if found.is_empty() => {
            let definition = TaskDefinition { payload: payload.or(definition.payload.clone()), ..definition };
            let (definition, written) = (shared.share(definition), Value::Object(written));
            Ok(ScheduledTask { schedule, definition, origin: Origin::Database, written: written.to_string().into() })
        }
        _ => {
            let is_unknown = place.definition(&row.task).is_none();
            let cause = if is_unknown && found.len() == 1 { Unused::UnknownTask } else { Unused::Mistake };
            Err(unused(cause, in_words(&found, &prefix)))
        }
    }
}

/// The mistakes in one line.
fn in_words(mistakes: &[Mistake], prefix: &str) -> String {
    let one = |mistake: &Mistake| {
        let setting = mistake.setting.strip_prefix(prefix).unwrap_or(&mistake.setting).trim_start_matches('.');
        match setting {
            "" => mistake.problem.clone(),
            setting => format!("{setting}: {}", mistake.problem),
        }
    };
    mistakes.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A schedule of the database in the shape of a table: its columns, and its further settings.
fn document(row: &ScheduleDefinition) -> Result<serde_json::Map<String, Value>, String> {
    let mut document = row.settings().map_err(|invalid| invalid.to_string())?;
    let payload = row.payload_value().map_err(|invalid| invalid.to_string())?;
    let text = |text: &Option<String>| text.clone().map(Value::String);
    let columns = [
        ("task", Some(Value::String(row.task.clone()))),
        ("cron", text(&row.cron)),
        ("timezone", text(&row.timezone)),
        ("payload", payload),
    ];
    for (column, value) in columns {
        if document.contains_key(column) {
            return Err(format!("settings: `{column}` has a column of its own: write it there"));
        }
        document.extend(value.map(|value| (column.to_owned(), value)));
    }
    Ok(document)
}

impl Config {
    /// The same configuration with these schedules of the database, in the place of those that it has. One with a mistake
    /// is left out, and so is one of whose name a file defines a schedule. `registered` is what handlers define themselves.
    #[must_use]
    pub fn with_database_schedules(&self, rows: &[ScheduleDefinition], registered: &[TaskDefinition]) -> Self {
        let mut config = self.clone();
        config.schedule_tables.retain(|_, table| table.origin == Origin::Config);
        config.unused_schedules.clear();
        let place = Place {
            zone: self.daemon.zone(),
            max_payload: self.daemon.max_payload,
            periods: &self.periods,
            tasks: &self.tasks,
            registered,
        };
        let mut shared = SharedDefinitions::default();
        for row in rows {
            let of_file = self.scheduled(&row.name).is_some_and(|known| known.origin == Origin::Config);
            let read = match of_file {
                true => Err(UnusedSchedule {
                    task: row.task.clone(),
                    cause: Unused::Shadowed,
                    why: format!("a configuration file defines schedule {}, and that one is in force", row.name),
                }),
                false => read_row(row, &place, self, &mut shared),
            };
            match read {
                Ok(table) => drop(config.schedule_tables.insert(row.name.clone(), table.into())),
                Err(unused) => drop(config.unused_schedules.insert(row.name.clone(), unused)),
            }
        }
        config.leave_out_circles();
        config
    }

    /// Leaves out the schedules of the database that would run after themselves. Those of files do not follow them.
    fn leave_out_circles(&mut self) {
        let tables = self.schedule_tables.values();
        let of_database = tables.filter(|table| table.origin == Origin::Database).map(|table| &*table.schedule);
        for (name, why) in follow::circles(of_database) {
            if let Some(table) = self.schedule_tables.remove(&name) {
                let task = table.definition.name.clone();
                let unused = UnusedSchedule { task, cause: Unused::Mistake, why: format!("after: {why}") };
                self.unused_schedules.insert(name, unused);
            }
        }
    }

    /// Reads a schedule for the database as nodes do, beside `others` of the database. Returns the mistakes in words.
    ///
    /// # Errors
    /// If it could not be in force with this configuration.
    pub fn check_database_schedule(
        &self,
        row: &ScheduleDefinition,
        others: &[ScheduleDefinition],
        registered: &[TaskDefinition],
    ) -> Result<ScheduledTask, String> {
        let others = others.iter().filter(|other| other.name != row.name);
        let rows: Vec<ScheduleDefinition> = others.chain([row]).cloned().collect();
        let checked = self.with_database_schedules(&rows, registered);
        match (checked.schedule_tables.get(&row.name), checked.unused_schedules.get(&row.name)) {
            (_, Some(unused)) => Err(unused.why.clone()),
            (Some(table), None) => Ok((**table).clone()),
            (None, None) => Err("it was not read".to_owned()),
        }
    }

    fn may_be_scheduled(&self, task: &str, place: &Place<'_>) -> bool {
        place.definition(task).is_none_or(|definition| definition.is_schedulable)
    }
}

/// The table of a schedule in the database, as TOML for a configuration file.
///
/// # Errors
/// If its settings are no JSON, or have a value that TOML cannot express.
pub fn schedule_toml(rows: &[ScheduleDefinition]) -> Result<String, String> {
    let mut tables = toml::Table::new();
    for row in rows {
        let written = document(row).map_err(|why| format!("schedule {}: {why}", row.name))?;
        let table = toml::Value::try_from(&written);
        let table = table.map_err(|error| format!("schedule {}: TOML cannot express it: {error}", row.name))?;
        tables.insert(row.name.clone(), table);
    }
    let mut top = toml::Table::new();
    top.insert("schedule".to_owned(), tables.into());
    Ok(if rows.is_empty() { String::new() } else { top.to_string() })
}

/// Reads the tables `[schedule.NAME]` of a TOML text as schedules for the database.
///
/// # Errors
/// If it is no TOML, or has anything else.
pub fn schedules_of_toml(text: &str) -> Result<Vec<ScheduleDefinition>, String> {
    let mut top: toml::Table = text.parse().map_err(|error| format!("invalid TOML: {error}"))?;
    let tables = top.remove("schedule");
    if let Some(other) = top.keys().next() {
        return Err(format!(
            "[{other}] is not imported: only tables [schedule.NAME] are, and what they start stays in files"
        ));
    }
    let Some(toml::Value::Table(tables)) = tables else { return Err("there is no table [schedule.NAME]".to_owned()) };
    tables.into_iter().map(|(name, table)| of_toml(&name, table)).collect()
}

fn of_toml(name: &str, table: toml::Value) -> Result<ScheduleDefinition, String> {
    let Ok(Value::Object(mut settings)) = serde_json::to_value(plain(table)) else {
        return Err(format!("schedule.{name}: expected a table [schedule.NAME]"));
    };
    let mut text = |key: &str| match settings.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("schedule.{name}.{key}: expected text")),
    };
    let (task, cron, timezone) = (text("task")?, text("cron")?, text("timezone")?);
    let payload = settings.remove("payload").map(|payload| payload.to_string());
    let settings = (!settings.is_empty()).then(|| Value::Object(settings).to_string());
    let task = task
        .ok_or_else(|| format!("schedule.{name}: `task` is missing: the name of the task definition that it starts"))?;
    Ok(ScheduleDefinition { name: name.to_owned(), task, cron, timezone, payload, settings })
}

/// A date as text, as the other settings are read.
fn plain(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Datetime(at) => toml::Value::String(at.to_string()),
        toml::Value::Array(items) => toml::Value::Array(items.into_iter().map(plain).collect()),
        toml::Value::Table(entries) => {
            toml::Value::Table(entries.into_iter().map(|(key, value)| (key, plain(value))).collect())
        }
        other => other,
    }
}
