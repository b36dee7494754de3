//! Which tasks stop when their node cannot keep its lease: a setting of definitions, queues and nodes, with a default that
//! follows from the limits.

use std::collections::{HashMap, HashSet};

use super::definition::TaskDefinition;
use crate::domain::{
    daemon::lease::OnLeaseLost,
    identity::QueueName,
    schedule::{Schedule, missed_policy::Overlap},
};

/// The settings and limits of a configuration from which [`OnLeaseLost`] follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseLossRules {
    default: Option<OnLeaseLost>,
    queues: HashMap<QueueName, OnLeaseLost>,
    tasks: HashMap<String, OnLeaseLost>,
    limited_queues: HashSet<QueueName>,
    limited_tasks: HashSet<String>,
    /// Schedules whose runs must not overlap.
    exclusive_schedules: HashSet<String>,
}

impl LeaseLossRules {
    /// The rules of a node with that `default`. Each queue has its own setting, and whether it has a limit.
    pub fn new<'a>(
        default: Option<OnLeaseLost>,
        queues: impl IntoIterator<Item = (&'a QueueName, Option<OnLeaseLost>, bool)>,
        definitions: impl IntoIterator<Item = &'a TaskDefinition>,
    ) -> Self {
        let mut rules = Self { default, ..Self::default() };
        for (queue, setting, has_limit) in queues {
            rules.queues.extend(setting.map(|setting| (queue.clone(), setting)));
            rules.limited_queues.extend(has_limit.then(|| queue.clone()));
        }
        for definition in definitions {
            let name = &definition.name;
            rules.tasks.extend(definition.on_lease_lost.map(|setting| (name.clone(), setting)));
            rules.limited_tasks.extend(definition.max_parallel.map(|_| name.clone()));
        }
        rules
    }

    /// The same, with these schedules.
    #[must_use]
    pub fn with_schedules<'a>(mut self, schedules: impl IntoIterator<Item = &'a Schedule>) -> Self {
        let exclusive = schedules.into_iter().filter(|schedule| schedule.policy.overlap != Overlap::Allow);
        self.exclusive_schedules.extend(exclusive.map(|schedule| schedule.name.clone()));
        self
    }

    /// What happens to an attempt of that task. The setting of the definition goes first, then that of the queue, then
    /// that of the node. Without a setting, work with a limit stops.
    pub fn of(&self, queue: &QueueName, task: &str, schedule: Option<&str>) -> OnLeaseLost {
        let setting = self.tasks.get(task).or_else(|| self.queues.get(queue)).copied().or(self.default);
        let is_limited = || {
            self.limited_queues.contains(queue)
                || self.limited_tasks.contains(task)
                || schedule.is_some_and(|schedule| self.exclusive_schedules.contains(schedule))
        };
        setting.unwrap_or_else(|| if is_limited() { OnLeaseLost::Stop } else { OnLeaseLost::Finish })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        schedule::{missed_policy::Policy, recurrence::Recurrence},
        task::definition::NOOP,
    };

    fn definition(name: &str, overlap: Option<Overlap>) -> TaskDefinition {
        let every = Recurrence::Every(std::time::Duration::from_secs(60));
        let schedule = overlap.map(|overlap| {
            let policy = Policy { overlap, ..Policy::default() };
            Schedule { policy, ..Schedule::new(name, vec![every]) }.into()
        });
        TaskDefinition { schedule, ..TaskDefinition::new(name, NOOP) }
    }

    #[test]
    fn work_with_a_limit_stops_and_the_rest_finishes() {
        let limited = TaskDefinition { max_parallel: Some(2), ..definition("limited", None) };
        let definitions = [
            limited,
            definition("free", Some(Overlap::Allow)),
            definition("skips", Some(Overlap::Skip)),
            definition("queues", Some(Overlap::Queue)),
        ];
        let (serial, open) = (QueueName::from("serial"), QueueName::from("open"));
        let rules = LeaseLossRules::new(None, [(&serial, None, true), (&open, None, false)], &definitions);
        let rules = rules.with_schedules(definitions.iter().filter_map(|definition| definition.schedule.as_deref()));
        assert_eq!(rules.of(&serial, "free", None), OnLeaseLost::Stop);
        assert_eq!(rules.of(&open, "limited", None), OnLeaseLost::Stop);
        assert_eq!(rules.of(&open, "free", Some("free")), OnLeaseLost::Finish);
        for name in ["skips", "queues"] {
            assert_eq!(rules.of(&open, name, Some(name)), OnLeaseLost::Stop);
            assert_eq!(rules.of(&open, name, None), OnLeaseLost::Finish, "a manual run is no run of the schedule");
        }
    }

    #[test]
    fn the_nearest_setting_counts() {
        let own = TaskDefinition { on_lease_lost: Some(OnLeaseLost::Finish), ..definition("own", None) };
        let (stops, plain) = (QueueName::from("stops"), QueueName::from("plain"));
        let queues = [(&stops, Some(OnLeaseLost::Stop), false), (&plain, None, true)];
        let rules = LeaseLossRules::new(Some(OnLeaseLost::Finish), queues, &[own]);
        assert_eq!(rules.of(&stops, "own", None), OnLeaseLost::Finish);
        assert_eq!(rules.of(&stops, "other", None), OnLeaseLost::Stop);
        assert_eq!(rules.of(&plain, "other", None), OnLeaseLost::Finish, "said for the whole node");
    }
}
