//! The schedules of a configuration, wherever they stand.

use std::sync::Arc;

use sexton_entities::states::Origin;

use super::{schedule_table::ScheduledTask, tables::Config};
use crate::domain::{schedule::Schedule, task::definition::TaskDefinition};

/// One schedule, wherever it is written.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled<'a> {
    /// When it recurs.
    pub schedule: &'a Arc<Schedule>,
    /// The definition of its task.
    pub definition: &'a Arc<TaskDefinition>,
    /// Whether it stands in a file or in the database.
    pub origin: Origin,
}

impl Config {
    /// Every schedule: those of task definitions, of tables in files, and of the database.
    pub fn scheduled_tasks(&self) -> impl Iterator<Item = Scheduled<'_>> {
        self.tasks.values().filter_map(of_task).chain(self.schedule_tables.values().map(|table| of_table(table)))
    }

    /// The schedule of that name.
    pub fn scheduled(&self, name: &str) -> Option<Scheduled<'_>> {
        let table = || self.schedule_tables.get(name).map(|table| of_table(table));
        self.tasks.get(name).and_then(of_task).or_else(table)
    }

    /// When each schedule recurs.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.scheduled_tasks().map(|task| &**task.schedule)
    }

    /// When each schedule recurs whose task is not disabled: the others fire nothing.
    pub fn schedules_that_fire(&self) -> impl Iterator<Item = &Schedule> {
        self.scheduled_tasks().filter(|task| task.definition.disabled.is_none()).map(|task| &**task.schedule)
    }

    /// Whether the task of that schedule is disabled.
    pub fn is_silent(&self, schedule: &str) -> bool {
        self.scheduled(schedule).is_some_and(|task| task.definition.disabled.is_some())
    }

    /// The definition by which a task of that name runs, if that schedule has created it: with the settings of the schedule.
    pub fn definition_of_run(&self, task: &str, schedule: Option<&str>) -> Option<TaskDefinition> {
        let table = self.schedule_tables.get(schedule?)?;
        let definition = || TaskDefinition { schedule: Some(table.schedule.clone()), ..(*table.definition).clone() };
        (table.definition.name == task).then(definition)
    }
}

fn of_task(definition: &Arc<TaskDefinition>) -> Option<Scheduled<'_>> {
    let schedule = definition.schedule.as_ref()?;
    Some(Scheduled { schedule, definition, origin: Origin::Config })
}

fn of_table(table: &ScheduledTask) -> Scheduled<'_> {
    Scheduled { schedule: &table.schedule, definition: &table.definition, origin: table.origin }
}
