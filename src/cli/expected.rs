//! What is said of schedules besides their rows: successes that are expected, definitions that differ between the nodes or that
//! none has, and why one of the database is not in force.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    output::Printer,
    session::{OpenSession, with_advice},
};
use crate::domain::schedule::{definitions::DefinitionFault, overdue::ExpectedRun};

/// The schedules with `expect`, and those with whose definitions something is wrong, by name.
pub(super) struct ExpectedSchedules {
    runs: BTreeMap<String, ExpectedRun>,
    faults: BTreeMap<String, DefinitionFault>,
    /// Why schedules of the database are not in force, by their names.
    unused: BTreeMap<String, String>,
    /// The schedules whose tasks this configuration disables.
    silent: BTreeSet<String>,
    now: DateTime<Utc>,
}

impl ExpectedSchedules {
    /// Reads them. This configuration counts where it has the schedule, because no node may be running.
    pub(super) async fn load(open: &OpenSession) -> anyhow::Result<Self> {
        let now = open.store.now().await.map_err(with_advice)?;
        let mut runs = BTreeMap::new();
        for run in open.store.expected_runs(None).await.map_err(with_advice)? {
            let schedule = open.config.scheduled(&run.schedule).map(|task| &**task.schedule);
            let own = schedule.filter(|own| own.expect.is_some_and(|expect| expect.to_string() == run.expect));
            let current = match own {
                Some(own) => {
                    let period = own.period.as_ref().and_then(|name| open.config.periods.get(name));
                    let progress = run.progress_now();
                    let expected_by = own.expected_by(period.map(|period| &**period), progress);
                    ExpectedRun { progress, newer_success: None, expected_by, ..run }
                }
                None => run,
            };
            runs.insert(current.schedule.clone(), current);
        }
        let faults = open.store.definition_faults().await.map_err(with_advice)?.into_iter().collect();
        let unused = open.config.unused_schedules.iter();
        let unused = unused.map(|(name, unused)| (name.clone(), unused.why.clone())).collect();
        let of_disabled = open.config.scheduled_tasks().filter(|task| task.definition.disabled.is_some());
        let silent = of_disabled.map(|task| task.schedule.name.clone()).collect();
        Ok(Self { runs, faults, unused, silent, now })
    }

    /// The schedules that are overdue, and since when.
    pub(super) fn all_overdue(&self) -> impl Iterator<Item = (&str, DateTime<Utc>)> {
        self.runs.values().filter_map(|run| Some((run.schedule.as_str(), run.overdue_since(self.now)?)))
    }

    /// Since when a schedule is overdue.
    pub(super) fn overdue_since(&self, name: &str) -> Option<DateTime<Utc>> {
        self.runs.get(name)?.overdue_since(self.now)
    }

    /// The schedules with whose definitions something is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&str, &DefinitionFault)> {
        self.faults.iter().map(|(name, fault)| (name.as_str(), fault))
    }

    /// What is wrong with the definitions of a schedule.
    pub(super) fn fault(&self, output: Printer, name: &str) -> Option<String> {
        self.faults.get(name).map(|fault| output.sentence(&fault.sentence(name)))
    }

    /// `, overdue since 02:00`; empty if the schedule is not. A schedule that no node has, or that nodes define differently,
    /// is marked as well.
    pub(super) fn overdue(&self, output: Printer, name: &str) -> String {
        let overdue = self.overdue_since(name).map(|since| format!(", overdue since {}", output.time(since)));
        let fault = match self.faults.get(name) {
            Some(DefinitionFault::NotServed { .. }) => ", no running node has it",
            Some(DefinitionFault::Differs { .. }) => ", nodes define it differently",
            None => "",
        };
        let silent = if self.silent.contains(name) { ", its task is disabled: it does not fire" } else { "" };
        format!("{}{fault}{silent}", overdue.unwrap_or_default())
    }

    /// What is expected of a schedule, and whether it is overdue; `None` if nothing is expected.
    pub(super) fn sentence(&self, output: Printer, name: &str) -> Option<String> {
        let run = self.runs.get(name)?;
        let last = match run.progress_now().succeeded_at {
            Some(at) => format!("the latest was at {}", output.time(at)),
            None => "there was none yet".to_owned(),
        };
        let by = match (run.overdue_since(self.now), run.expected_by) {
            (Some(since), _) => format!("it is overdue since {}", output.time(since)),
            (None, Some(by)) => format!("the next is expected by {}", output.time(by)),
            (None, None) => "none is expected now".to_owned(),
        };
        Some(format!("a success is expected {}: {last}, {by}", run.expect))
    }

    /// A schedule as JSON, with what is known now.
    pub(super) fn complete(&self, mut object: Value, name: &str) -> Value {
        if let Some(run) = self.runs.get(name) {
            object["expected_by"] = json!(run.expected_by);
            object["succeeded_at"] = json!(run.progress_now().succeeded_at);
        }
        object["unused"] = json!(self.unused.get(name));
        object["disabled"] = json!(self.silent.contains(name));
        object["overdue_since"] = json!(self.overdue_since(name));
        object["definition_fault"] = json!(self.faults.get(name));
        object
    }
}
