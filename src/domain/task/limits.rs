//! Limits in the whole cluster: the `limit` of a queue, the `max_parallel` of a task, and schedules whose runs wait for
//! each other.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::definition::TaskDefinition;
use crate::domain::{identity::QueueName, schedule::missed_policy::Overlap};

/// The limits of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    queues: HashMap<QueueName, usize>,
    tasks: HashMap<String, usize>,
    ordered: HashSet<String>,
}

/// A task that can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The number of the task.
    pub id: i64,
    /// The task definition.
    pub name: &'a str,
    /// The schedule that created it.
    pub schedule: Option<&'a str>,
}

/// What a claim knows about the cluster when it chooses among its candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// The number of running tasks by name, for names with a limit.
    pub running: HashMap<String, usize>,
    /// The oldest unfinished task of each schedule whose runs wait for each other.
    pub first: HashMap<String, i64>,
}

/// What a claim skips.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusions {
    /// Names whose limit is reached.
    pub tasks: BTreeSet<String>,
    /// Schedules of which only the first unfinished run may be claimed.
    pub schedules: BTreeSet<String>,
    /// These first runs.
    pub first_runs: BTreeSet<i64>,
}

impl Exclusions {
    /// Excludes all runs of a schedule except this one.
    pub fn exclude_all_but(&mut self, schedule: &str, first: i64) {
        self.schedules.insert(schedule.to_owned());
        self.first_runs.insert(first);
    }
}

impl ConcurrencyLimits {
    /// The limits of these queues and definitions.
    pub fn new<'a>(
        queue_limits: impl IntoIterator<Item = (&'a QueueName, usize)>,
        definitions: impl IntoIterator<Item = &'a TaskDefinition>,
    ) -> Self {
        let mut limits = Self::default();
        limits.queues.extend(queue_limits.into_iter().map(|(queue, limit)| (queue.clone(), limit)));
        for definition in definitions {
            limits.tasks.extend(definition.max_parallel.map(|limit| (definition.name.clone(), limit)));
            let ordered = definition.schedule.iter().filter(|schedule| schedule.policy.overlap == Overlap::Queue);
            limits.ordered.extend(ordered.map(|schedule| schedule.name.clone()));
        }
        limits
    }

    /// Whether tasks of that queue can be claimed without checking any limit.
    pub fn is_unlimited(&self, queue: &QueueName) -> bool {
        self.tasks.is_empty() && self.ordered.is_empty() && !self.queues.contains_key(queue)
    }

    /// The maximum number of running tasks of a queue.
    pub fn queue_limit(&self, queue: &QueueName) -> Option<usize> {
        self.queues.get(queue).copied()
    }

    /// The maximum number of running tasks of a name.
    pub fn max_parallel(&self, task: &str) -> Option<usize> {
        self.tasks.get(task).copied()
    }

    /// Whether the runs of a schedule wait for each other.
    pub fn is_ordered(&self, schedule: &str) -> bool {
        self.ordered.contains(schedule)
    }

    /// Whether the end of such a task may let another one begin.
    pub fn applies_to(&self, queue: &QueueName, task: &str, schedule: Option<&str>) -> bool {
        self.queues.contains_key(queue)
            || self.tasks.contains_key(task)
            || schedule.is_some_and(|schedule| self.is_ordered(schedule))
    }

    /// Whether there are schedules whose runs wait for each other.
    pub fn has_ordered_schedules(&self) -> bool {
        !self.ordered.is_empty()
    }

    /// Whether there are tasks with a limit.
    pub fn has_task_limits(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The names whose limit is reached.
    pub fn tasks_at_limit(&self, running: &HashMap<String, usize>) -> BTreeSet<String> {
        let is_full = |(task, count): &(&String, &usize)| self.max_parallel(task).is_some_and(|limit| **count >= limit);
        running.iter().filter(is_full).map(|(task, _)| task.clone()).collect()
    }

    /// The candidates that may run, in their order. The others are added to `excluded`, and `cluster` is updated.
    pub fn admit(
        &self,
        candidates: &[Candidate<'_>],
        cluster: &mut ClusterState,
        excluded: &mut Exclusions,
    ) -> Vec<i64> {
        let mut admitted = Vec::new();
        for candidate in candidates {
            let schedule = candidate.schedule.filter(|schedule| self.is_ordered(schedule));
            if let Some(schedule) = schedule
                && let Some(first) = cluster.first.get(schedule).filter(|first| **first != candidate.id)
            {
                excluded.exclude_all_but(schedule, *first);
                continue;
            }
            if let Some(limit) = self.max_parallel(candidate.name) {
                let running = cluster.running.entry(candidate.name.to_owned()).or_default();
                if *running >= limit {
                    excluded.tasks.insert(candidate.name.to_owned());
                    continue;
                }
                *running += 1;
            }
            admitted.push(candidate.id);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        schedule::{Schedule, missed_policy::Policy, recurrence::Recurrence},
        task::definition::NOOP,
    };

    fn limits() -> ConcurrencyLimits {
        let limited = TaskDefinition { max_parallel: Some(2), ..TaskDefinition::new("limited", NOOP) };
        let every = Recurrence::Every(std::time::Duration::from_secs(60));
        let schedule = Schedule::new("in-order", vec![every]);
        let policy = Policy { overlap: Overlap::Queue, ..Policy::default() };
        let in_order = TaskDefinition {
            schedule: Some(Schedule { policy, ..schedule }.into()),
            ..TaskDefinition::new("in-order", NOOP)
        };
        ConcurrencyLimits::new([(&"reports".into(), 4)], &[limited, in_order, TaskDefinition::new("free", NOOP)])
    }

    fn candidate(id: i64, name: &str) -> Candidate<'_> {
        Candidate { id, name, schedule: Some(name) }
    }

    #[test]
    fn a_task_runs_up_to_its_limit() {
        let candidates = [1, 2, 3].map(|id| candidate(id, "limited"));
        let mut excluded = Exclusions::default();
        let mut cluster = ClusterState { running: [("limited".to_owned(), 1)].into(), ..ClusterState::default() };
        assert_eq!(limits().admit(&candidates, &mut cluster, &mut excluded), [1]);
        assert_eq!(excluded.tasks.iter().collect::<Vec<_>>(), ["limited"]);
        assert_eq!(cluster.running["limited"], 2);
    }

    #[test]
    fn runs_in_order_wait_for_the_first() {
        let candidates = [candidate(5, "in-order"), candidate(6, "free"), candidate(7, "in-order")];
        let mut excluded = Exclusions::default();
        let mut cluster = ClusterState { first: [("in-order".to_owned(), 5)].into(), ..ClusterState::default() };
        assert_eq!(limits().admit(&candidates, &mut cluster, &mut excluded), [5, 6]);
        assert_eq!(
            (excluded.schedules, excluded.first_runs),
            (["in-order".to_owned()].into(), [5].into()),
            "the first run can still be claimed"
        );
        let mut excluded = Exclusions::default();
        let manual = Candidate { schedule: None, ..candidate(8, "in-order") };
        assert_eq!(
            limits().admit(&[manual], &mut cluster, &mut excluded),
            [8],
            "a manual run does not belong to the schedule"
        );
    }

    #[test]
    fn a_task_is_at_its_limit_when_that_many_run() {
        let running = |count| [("limited".to_owned(), count), ("free".to_owned(), 9)].into();
        assert_eq!(limits().tasks_at_limit(&running(2)), ["limited".to_owned()].into());
        assert!(limits().tasks_at_limit(&running(1)).is_empty());
    }

    #[test]
    fn only_tasks_with_a_limit_are_checked() {
        assert!(ConcurrencyLimits::default().is_unlimited(&"reports".into()));
        let only_queue = ConcurrencyLimits::new([(&"reports".into(), 4)], []);
        assert!(only_queue.is_unlimited(&"default".into()) && !only_queue.is_unlimited(&"reports".into()));
        assert!(!limits().is_unlimited(&"default".into()));
        let applies_to = |queue: &str, task, schedule| limits().applies_to(&queue.into(), task, schedule);
        assert!(applies_to("reports", "free", None) && applies_to("default", "limited", None));
        assert!(applies_to("default", "in-order", Some("in-order")) && !applies_to("default", "free", None));
    }
}
