//! What may run beside what, in the whole cluster: a queue's `limit`, a task's `max_parallel`, and schedules whose runs
//! wait for one another.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::definition::TaskDefinition;
use crate::domain::{identity::QueueName, schedule::policy::Overlap};

/// The bounds of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    queues: HashMap<QueueName, usize>,
    tasks: HashMap<String, usize>,
    in_order: HashSet<String>,
}

/// A task that could be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The task.
    pub id: i64,
    /// Its definition.
    pub name: &'a str,
    /// The schedule that created it.
    pub schedule: Option<&'a str>,
}

/// What is known of the cluster when a claim chooses among its candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// How many tasks of each bounded name run.
    pub running: HashMap<String, usize>,
    /// The oldest unfinished task of each schedule whose runs wait for one another.
    pub first: HashMap<String, i64>,
}

/// Whose tasks a claim leaves where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningShare {
    /// Tasks of which as many run as may.
    pub tasks: BTreeSet<String>,
    /// Schedules of which only the first unfinished run may be looked at.
    pub schedules: BTreeSet<String>,
    /// Those runs.
    pub firsts: BTreeSet<i64>,
}

impl RunningShare {
    /// Leaves out all runs of a schedule but this one.
    pub fn behind(&mut self, schedule: &str, first: i64) {
        self.schedules.insert(schedule.to_owned());
        self.firsts.insert(first);
    }
}

impl ConcurrencyLimits {
    /// Those of these queues and definitions.
    pub fn new<'a>(
        limits: impl IntoIterator<Item = (&'a QueueName, usize)>,
        definitions: impl IntoIterator<Item = &'a TaskDefinition>,
    ) -> Self {
        let mut bounds = Self::default();
        bounds.queues.extend(limits.into_iter().map(|(queue, limit)| (queue.clone(), limit)));
        for definition in definitions {
            bounds.tasks.extend(definition.max_parallel.map(|most| (definition.name.clone(), most)));
            let in_order = definition.schedule.iter().filter(|schedule| schedule.policy.overlap == Overlap::Queue);
            bounds.in_order.extend(in_order.map(|schedule| schedule.name.clone()));
        }
        bounds
    }

    /// Whether nothing has to be looked at before tasks of that queue are claimed.
    pub fn leaves_free(&self, queue: &QueueName) -> bool {
        self.tasks.is_empty() && self.in_order.is_empty() && !self.queues.contains_key(queue)
    }

    /// How many tasks of a queue may run at once.
    pub fn limit(&self, queue: &QueueName) -> Option<usize> {
        self.queues.get(queue).copied()
    }

    /// How many tasks of a name may run at once.
    pub fn most(&self, task: &str) -> Option<usize> {
        self.tasks.get(task).copied()
    }

    /// Whether the runs of a schedule wait for one another.
    pub fn is_in_order(&self, schedule: &str) -> bool {
        self.in_order.contains(schedule)
    }

    /// Whether the end of such a task may let another begin.
    pub fn concern(&self, queue: &QueueName, task: &str, schedule: Option<&str>) -> bool {
        self.queues.contains_key(queue)
            || self.tasks.contains_key(task)
            || schedule.is_some_and(|schedule| self.is_in_order(schedule))
    }

    /// Whether there are schedules whose runs wait for one another.
    pub fn have_order(&self) -> bool {
        !self.in_order.is_empty()
    }

    /// Whether there are tasks of which only so many may run.
    pub fn have_limits(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The tasks of which as many run as may.
    pub fn full(&self, running: &HashMap<String, usize>) -> BTreeSet<String> {
        let is_full = |(task, count): &(&String, &usize)| self.most(task).is_some_and(|most| **count >= most);
        running.iter().filter(is_full).map(|(task, _)| task.clone()).collect()
    }

    /// Which of the candidates may run, in their order; whoever may not is added to `held`. `standing` is brought up to
    /// date.
    pub fn admit(
        &self,
        candidates: &[Candidate<'_>],
        standing: &mut ClusterState,
        held: &mut RunningShare,
    ) -> Vec<i64> {
        let mut admitted = Vec::new();
        for candidate in candidates {
            let schedule = candidate.schedule.filter(|schedule| self.is_in_order(schedule));
            if let Some(schedule) = schedule
                && let Some(first) = standing.first.get(schedule).filter(|first| **first != candidate.id)
            {
                held.behind(schedule, *first);
                continue;
            }
            if let Some(most) = self.most(candidate.name) {
                let running = standing.running.entry(candidate.name.to_owned()).or_default();
                if *running >= most {
                    held.tasks.insert(candidate.name.to_owned());
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
        schedule::{Schedule, policy::Policy, recurrence::Recurrence},
        task::definition::NOOP,
    };

    fn bounds() -> ConcurrencyLimits {
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
    fn as_many_run_as_may() {
        let candidates = [1, 2, 3].map(|id| candidate(id, "limited"));
        let mut held = RunningShare::default();
        let mut standing = ClusterState { running: [("limited".to_owned(), 1)].into(), ..ClusterState::default() };
        assert_eq!(bounds().admit(&candidates, &mut standing, &mut held), [1]);
        assert_eq!(held.tasks.iter().collect::<Vec<_>>(), ["limited"]);
        assert_eq!(standing.running["limited"], 2);
    }

    #[test]
    fn runs_in_order_wait_for_the_first() {
        let candidates = [candidate(5, "in-order"), candidate(6, "free"), candidate(7, "in-order")];
        let mut held = RunningShare::default();
        let mut standing = ClusterState { first: [("in-order".to_owned(), 5)].into(), ..ClusterState::default() };
        assert_eq!(bounds().admit(&candidates, &mut standing, &mut held), [5, 6]);
        assert_eq!(
            (held.schedules, held.firsts),
            (["in-order".to_owned()].into(), [5].into()),
            "the first stays in sight"
        );
        let mut held = RunningShare::default();
        let by_hand = Candidate { schedule: None, ..candidate(8, "in-order") };
        assert_eq!(
            bounds().admit(&[by_hand], &mut standing, &mut held),
            [8],
            "a run by hand is none of the schedule's"
        );
    }

    #[test]
    fn a_task_is_full_when_as_many_run_as_may() {
        let running = |count| [("limited".to_owned(), count), ("free".to_owned(), 9)].into();
        assert_eq!(bounds().full(&running(2)), ["limited".to_owned()].into());
        assert!(bounds().full(&running(1)).is_empty());
    }

    #[test]
    fn only_what_has_a_bound_is_looked_at() {
        assert!(ConcurrencyLimits::default().leaves_free(&"reports".into()));
        let only_queue = ConcurrencyLimits::new([(&"reports".into(), 4)], []);
        assert!(only_queue.leaves_free(&"default".into()) && !only_queue.leaves_free(&"reports".into()));
        assert!(!bounds().leaves_free(&"default".into()));
        let concern = |queue: &str, task, schedule| bounds().concern(&queue.into(), task, schedule);
        assert!(concern("reports", "free", None) && concern("default", "limited", None));
        assert!(concern("default", "in-order", Some("in-order")) && !concern("default", "free", None));
    }
}
