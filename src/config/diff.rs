//! What a reload changes.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use sexton_entities::states::Origin;

use super::tables::Config;
use crate::domain::schedule::Schedule;

/// Names that were added, changed and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that only the new configuration has.
    pub added: Vec<String>,
    /// Names with other settings.
    pub changed: Vec<String>,
    /// Names that only the old configuration has.
    pub removed: Vec<String>,
}

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// Task definitions.
    pub tasks: Changes,
    /// Schedules, which have the names of their tasks.
    pub schedules: Changes,
    /// Periods. A period that includes or excludes a changed one has changed as well.
    pub periods: Changes,
    /// Queues.
    pub queues: Changes,
    /// Channels of notices.
    pub channels: Changes,
    /// Worker programs.
    pub workers: Changes,
    /// Triggers.
    pub triggers: Changes,
    /// Daemon modules, built-in ones and process modules.
    pub modules: Changes,
    /// The numbers of the deployed versions before and afterwards, if they differ.
    pub deployed: Option<[Option<i64>; 2]>,
    /// Settings that take effect at the next start only.
    pub needs_restart: Vec<&'static str>,
}

impl Changes {
    fn between<K, T>(old: &BTreeMap<K, T>, new: &BTreeMap<K, T>) -> Self
    where
        K: Borrow<str> + Ord,
        T: PartialEq,
    {
        let names = |map: &BTreeMap<K, T>, keep: &dyn Fn(&str, &T) -> bool| {
            let names = map.iter().map(|(name, value)| (name.borrow(), value));
            names.filter(|(name, value)| keep(name, value)).map(|(name, _)| name.to_owned()).collect()
        };
        Self {
            added: names(new, &|name, _| !old.contains_key(name)),
            changed: names(new, &|name, value| old.get(name).is_some_and(|before| before != value)),
            removed: names(old, &|name, _| !new.contains_key(name)),
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl ConfigDiff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The changes from `old` to `new`.
    pub fn between(old: &Config, new: &Config) -> Self {
        let schedules = |config: &Config| -> BTreeMap<String, _> {
            let spec = |schedule: &Schedule| (schedule.spec(), schedule.period.clone(), schedule.outside_period);
            let of_files = config.scheduled_tasks().filter(|task| task.origin == Origin::Config);
            let own = |name: &str| {
                config.schedule_tables.get(name).map(|table| (table.definition.clone(), table.schedule.clone()))
            };
            of_files.map(|task| (task.schedule.name.clone(), (spec(task.schedule), own(&task.schedule.name)))).collect()
        };
        let number = |config: &Config| config.deployed.as_ref().map(|version| version.manifest.number);
        let deployed = Some([number(old), number(new)]).filter(|[before, after]| before != after);
        let needs_restart = [
            ("[database]", old.database != new.database),
            (
                "[daemon] name, state_dir, run_dir, log_dir",
                old.daemon.name != new.daemon.name
                    || old.daemon.state_dir != new.daemon.state_dir
                    || old.daemon.run_dir != new.daemon.run_dir
                    || old.daemon.log_dir != new.daemon.log_dir,
            ),
            ("[log]", old.log != new.log),
            ("[trace]", old.trace != new.trace),
            ("[supervisor]", old.supervisor != new.supervisor),
        ];
        Self {
            tasks: Changes::between(&old.tasks, &new.tasks),
            schedules: Changes::between(&schedules(old), &schedules(new)),
            periods: Changes::between(&old.periods.0, &new.periods.0),
            queues: Changes::between(&old.queues, &new.queues),
            channels: Changes::between(&old.channels, &new.channels),
            workers: Changes::between(&old.worker_programs, &new.worker_programs),
            triggers: Changes::between(&old.triggers, &new.triggers),
            modules: Changes::between(&old.modules, &new.modules),
            deployed,
            needs_restart: needs_restart.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect(),
        }
    }
}

impl fmt::Display for ConfigDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let all = [
            ("tasks", &self.tasks),
            ("schedules", &self.schedules),
            ("periods", &self.periods),
            ("queues", &self.queues),
            ("channels", &self.channels),
            ("workers", &self.workers),
            ("triggers", &self.triggers),
            ("modules", &self.modules),
        ];
        for (what, changes) in all {
            for (verb, names) in
                [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)]
            {
                if !names.is_empty() {
                    parts.push(format!("{what} {verb}: {}", names.join(", ")));
                }
            }
        }
        if let Some([before, after]) = self.deployed {
            let number = |number: Option<i64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
            parts.push(format!("deployed version: {} instead of {}", number(after), number(before)));
        }
        if parts.is_empty() {
            parts.push("no task, schedule, queue or module changed".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}
