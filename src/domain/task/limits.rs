//! Limits in the whole cluster: the `limit` of a queue, the `max_parallel` of a task, the `rate` of both, and schedules whose
//! runs wait for each other.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    definition::TaskDefinition,
    key_rules::KeyRules,
    limit_key::KeyPath,
    rate::{BucketName, RateLimit},
};
use crate::domain::{
    identity::QueueName,
    schedule::{Schedule, missed_policy::Overlap},
};

/// The limits of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    queues: HashMap<QueueName, usize>,
    tasks: HashMap<String, usize>,
    ordered: HashSet<String>,
    queue_rates: HashMap<QueueName, RateLimit>,
    task_rates: HashMap<String, RateLimit>,
    keys: KeyRules,
    aging: HashMap<QueueName, Duration>,
}

/// The priority of a task that has waited since then: one less, which is more urgent, for each `aging` that has passed.
pub fn aged(priority: i32, since: DateTime<Utc>, now: DateTime<Utc>, aging: Duration) -> i64 {
    let waited = (now - since).to_std().unwrap_or_default().as_millis();
    let steps = waited.checked_div(aging.as_millis()).unwrap_or_default();
    i64::from(priority).saturating_sub(i64::try_from(steps).unwrap_or(i64::MAX))
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
    /// Its limit key, if it has one.
    pub key: Option<&'a str>,
}

/// What a claim knows about the cluster when it chooses among its candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// The number of running tasks by name, for names with a limit.
    pub running: HashMap<String, usize>,
    /// The number of running tasks by name and limit key.
    pub running_keys: HashMap<(String, String), usize>,
    /// The number of tokens by name, for names with a rate.
    pub tokens: HashMap<String, usize>,
    /// The oldest unfinished task of each schedule whose runs wait for each other.
    pub first: HashMap<String, i64>,
}

/// What a claim skips.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusions {
    /// Names whose limit is reached.
    pub tasks: BTreeSet<String>,
    /// Names with a limit key whose limit is reached.
    pub keys: BTreeSet<(String, String)>,
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

    /// Excludes the names whose bucket is empty.
    pub fn exclude_without_tokens(&mut self, cluster: &ClusterState) {
        let empty = cluster.tokens.iter().filter(|(_, left)| **left == 0);
        self.tasks.extend(empty.map(|(name, _)| name.clone()));
    }
}

impl ConcurrencyLimits {
    /// The limits of these queues and definitions.
    pub fn new<'a>(
        queue_limits: impl IntoIterator<Item = (&'a QueueName, usize)>,
        definitions: impl IntoIterator<Item = &'a TaskDefinition>,
    ) -> Self {
        let definitions: Vec<&TaskDefinition> = definitions.into_iter().collect();
        let mut limits = Self { keys: KeyRules::new(definitions.iter().copied()), ..Self::default() };
        limits.queues.extend(queue_limits.into_iter().map(|(queue, limit)| (queue.clone(), limit)));
        for definition in definitions {
            let max_parallel = definition.max_parallel.filter(|_| definition.max_parallel_by.is_none());
            limits.tasks.extend(max_parallel.map(|limit| (definition.name.clone(), limit)));
            limits.task_rates.extend(definition.rate.map(|rate| (definition.name.clone(), rate)));
        }
        limits
    }

    /// The same, with these schedules, of which some have their runs one after the other.
    #[must_use]
    pub fn with_schedules<'a>(mut self, schedules: impl IntoIterator<Item = &'a Schedule>) -> Self {
        let ordered = schedules.into_iter().filter(|schedule| schedule.policy.overlap == Overlap::Queue);
        self.ordered.extend(ordered.map(|schedule| schedule.name.clone()));
        self
    }

    /// The same, with the rates of these queues.
    #[must_use]
    pub fn with_rates<'a>(mut self, queues: impl IntoIterator<Item = (&'a QueueName, RateLimit)>) -> Self {
        self.queue_rates.extend(queues.into_iter().map(|(queue, rate)| (queue.clone(), rate)));
        self
    }

    /// The same, with these queues in which keys take turns.
    #[must_use]
    pub fn with_fair_queues<'a>(mut self, queues: impl IntoIterator<Item = (&'a QueueName, &'a KeyPath)>) -> Self {
        self.keys.add_fair_queues(queues);
        self
    }

    /// The same, with the times in which the priorities of these queues rise by one.
    #[must_use]
    pub fn with_aging<'a>(mut self, queues: impl IntoIterator<Item = (&'a QueueName, Duration)>) -> Self {
        self.aging.extend(queues.into_iter().map(|(queue, aging)| (queue.clone(), aging)));
        self
    }

    /// The time in which the priority of a waiting task rises by one.
    pub fn aging(&self, queue: &QueueName) -> Option<Duration> {
        self.aging.get(queue).copied()
    }

    /// Which tasks have a limit key.
    pub fn keys(&self) -> &KeyRules {
        &self.keys
    }

    /// Whether tasks of that queue can be claimed without checking any limit.
    pub fn is_unlimited(&self, queue: &QueueName) -> bool {
        self.tasks.is_empty()
            && self.ordered.is_empty()
            && self.task_rates.is_empty()
            && !self.keys.apply_to(queue)
            && !self.aging.contains_key(queue)
            && !self.queues.contains_key(queue)
            && !self.queue_rates.contains_key(queue)
    }

    /// Whether that queue has a rate.
    pub fn has_queue_rate(&self, queue: &QueueName) -> bool {
        self.queue_rates.contains_key(queue)
    }

    /// Whether the tasks of a name have a rate.
    pub fn has_task_rate(&self, task: &str) -> bool {
        self.task_rates.contains_key(task)
    }

    /// The rates that a claim from that queue has to keep.
    pub fn rates(&self, queue: &QueueName) -> Vec<(BucketName, RateLimit)> {
        let of_queue = self.queue_rates.get(queue).map(|rate| (BucketName::Queue(queue.to_string()), *rate));
        let of_tasks = self.task_rates.iter().map(|(name, rate)| (BucketName::Task(name.clone()), *rate));
        of_queue.into_iter().chain(of_tasks).collect()
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
            || self.keys.max_parallel(task).is_some()
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
            if self.has_task_rate(candidate.name) && cluster.tokens.get(candidate.name).is_none_or(|left| *left == 0) {
                excluded.tasks.insert(candidate.name.to_owned());
                continue;
            }
            if let Some(limit) = self.keys.max_parallel(candidate.name) {
                // It gets its key before it is claimed.
                let Some(key) = candidate.key else { continue };
                let name_and_key = (candidate.name.to_owned(), key.to_owned());
                let running = cluster.running_keys.entry(name_and_key.clone()).or_default();
                if *running >= limit {
                    excluded.keys.insert(name_and_key);
                    continue;
                }
                *running += 1;
            }
            if let Some(limit) = self.max_parallel(candidate.name) {
                let running = cluster.running.entry(candidate.name.to_owned()).or_default();
                if *running >= limit {
                    excluded.tasks.insert(candidate.name.to_owned());
                    continue;
                }
                *running += 1;
            }
            if let Some(left) = cluster.tokens.get_mut(candidate.name) {
                *left = left.saturating_sub(1);
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
        schedule::{missed_policy::Policy, recurrence::Recurrence},
        task::definition::NOOP,
    };

    fn limits() -> ConcurrencyLimits {
        let limited = TaskDefinition { max_parallel: Some(2), ..TaskDefinition::new("limited", NOOP) };
        let every = Recurrence::Every(Duration::from_secs(60));
        let schedule = Schedule::new("in-order", vec![every]);
        let policy = Policy { overlap: Overlap::Queue, ..Policy::default() };
        ConcurrencyLimits::new([(&"reports".into(), 4)], &[limited, TaskDefinition::new("free", NOOP)])
            .with_schedules([&Schedule { policy, ..schedule }])
    }

    fn candidate(id: i64, name: &str) -> Candidate<'_> {
        Candidate { id, name, schedule: Some(name), key: None }
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
    fn a_limit_by_key_counts_each_key_for_itself() {
        let path = Some("$.customer".parse().expect("a path"));
        let limits = ConcurrencyLimits::new(
            [],
            &[TaskDefinition { max_parallel: Some(1), max_parallel_by: path, ..TaskDefinition::new("by-key", NOOP) }],
        );
        let of = |id, key| Candidate { id, name: "by-key", schedule: None, key };
        let candidates = [of(1, Some("a")), of(2, Some("a")), of(3, Some("b")), of(4, Some("c")), of(5, None)];
        let (mut excluded, mut cluster) = (Exclusions::default(), ClusterState::default());
        cluster.running_keys = [(("by-key".to_owned(), "c".to_owned()), 1)].into();
        assert_eq!(limits.admit(&candidates, &mut cluster, &mut excluded), [1, 3]);
        let full = ["a", "c"].map(|key| ("by-key".to_owned(), key.to_owned()));
        assert_eq!((excluded.keys, excluded.tasks.len()), (full.into(), 0));
        assert!(limits.max_parallel("by-key").is_none() && limits.applies_to(&"default".into(), "by-key", None));
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
    fn a_priority_rises_with_each_time_that_passes() {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).expect("an instant");
        let aged = |now| aged(5, at(0), at(now), Duration::from_secs(600));
        assert_eq!([aged(-3), aged(9), aged(10), aged(25), aged(60)], [5, 5, 4, 3, -1]);
    }

    #[test]
    fn each_begin_takes_a_token() {
        let rate = Some(RateLimit::new("2/1m".parse().expect("a rate"), Some(2)));
        let rated = TaskDefinition { rate, max_parallel: Some(2), ..TaskDefinition::new("rated", NOOP) };
        let limits = ConcurrencyLimits::new([], &[rated]);
        let candidates = [1, 2, 3].map(|id| candidate(id, "rated"));
        let (mut excluded, mut cluster) = (Exclusions::default(), ClusterState::default());
        cluster.tokens = [("rated".to_owned(), 2)].into();
        cluster.running = [("rated".to_owned(), 1)].into();
        assert_eq!(limits.admit(&candidates, &mut cluster, &mut excluded), [1]);
        assert_eq!(cluster.tokens["rated"], 1, "what another limit keeps back takes no token");
        (cluster.running, excluded) = Default::default();
        assert_eq!(limits.admit(&candidates, &mut cluster, &mut excluded), [1]);
        assert_eq!(excluded.tasks, ["rated".to_owned()].into());
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
