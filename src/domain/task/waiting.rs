//! Why a task has not begun: who serves its queue, how busy the workers are, and what holds it back.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sexton_entities::{states::NodeState, task};

use super::{
    limit_key::KeyPath,
    rate::{BucketName, RateLimit},
};
use crate::domain::text::{duration, plural::counted};

/// A queue on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedQueue {
    /// The number of its workers there; 0 leaves the queue to other nodes.
    pub workers: usize,
    /// Since when none of them has become free. Set only once that has lasted for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_since: Option<DateTime<Utc>>,
}

/// The queues of one node, by name.
pub type ServedQueues = BTreeMap<String, ServedQueue>;

/// What one live node says of its queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeQueues {
    /// The name of the node.
    pub node: String,
    /// Whether it claims tasks.
    pub state: NodeState,
    /// Its queues; none if it does not say.
    pub queues: Option<ServedQueues>,
}

/// A task that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRunner {
    /// Its number.
    pub id: i64,
    /// The name of its definition.
    pub name: String,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
}

/// What runs in one queue, in the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// No node claims from it.
    pub paused: bool,
    /// The number of running tasks.
    pub running: usize,
    /// The one that has run for the longest time.
    pub longest: Option<LongRunner>,
}

/// The queues of a cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterQueues {
    /// Nothing is claimed from any queue.
    pub everything_paused: bool,
    /// A maintenance is in force: nothing is claimed from any queue.
    pub maintenance: bool,
    /// The live nodes.
    pub live: Vec<NodeQueues>,
    /// The queues that are paused or have running tasks, by name.
    pub loads: BTreeMap<String, QueueLoad>,
    /// The number of running tasks by name.
    pub running: BTreeMap<String, usize>,
    /// The number of running tasks by name and limit key.
    pub running_keys: BTreeMap<(String, String), usize>,
    /// The rates that are used up, each with the instant of the next begin.
    pub used_up: BTreeMap<BucketName, (RateLimit, DateTime<Utc>)>,
}

/// Who serves a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// No node is running.
    NoNode,
    /// No live node has workers for it.
    Nobody,
    /// A node of an earlier version does not say what it serves.
    Perhaps(String),
    /// Each node that serves it is quiet or about to stop.
    Quiet,
    /// Nodes that claim tasks serve it.
    Workers {
        /// The number of its workers.
        count: usize,
        /// Since when none of them has become free, on any node. Set only once that has lasted for a while.
        full_since: Option<DateTime<Utc>>,
    },
}

/// What a configuration says about the queue and the definition of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRules {
    /// The queue is closed by its period, with the reason for people.
    pub closed: Option<String>,
    /// The `limit` of the queue.
    pub limit: Option<usize>,
    /// The `max_parallel` of the definition.
    pub max_parallel: Option<usize>,
    /// What `max_parallel` counts by, if it does not count all tasks of the name.
    pub by: Option<KeyOfTask>,
}

/// The limit key of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOfTask {
    /// What it is the key of: the last part of its path.
    pub label: String,
    /// The key.
    pub key: String,
}

/// Why a task that is due has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitCause {
    /// No node is running.
    NoNode,
    /// Everything is paused.
    EverythingPaused,
    /// A maintenance is in force.
    Maintenance,
    /// Its queue is paused.
    Paused(String),
    /// Its queue is closed by its period: the queue, and the reason for people.
    Closed(String, String),
    /// No node serves its queue.
    NotServed(String),
    /// Each node that serves its queue is quiet or about to stop.
    Quiet(String),
    /// As many tasks of its name run as may run at once.
    TaskLimit(String, usize),
    /// As many tasks of its name and its limit key run as may run at once.
    KeyLimit(String, KeyOfTask, usize),
    /// As many tasks of its queue run as may run at once.
    QueueLimit(String, usize, Option<(LongRunner, Duration)>),
    /// The rate of its name or its queue is used up, for this time.
    Rate(BucketName, RateLimit, Duration),
    /// All workers of its queue are busy.
    Busy(String, usize, Option<(LongRunner, Duration)>),
}

impl LocalRules {
    /// The same, with the `max_parallel` of the definition of a task and what that counts by.
    #[must_use]
    pub fn for_task(self, max_parallel: Option<usize>, by: Option<&KeyPath>, task: &task::Model) -> Self {
        let by = by.map(|path| {
            let payload = || task.payload.as_ref().and_then(|payload| payload.decode().ok());
            let key = task.limit_key.clone().unwrap_or_else(|| path.key(payload().as_ref()));
            KeyOfTask { label: path.label().to_owned(), key }
        });
        Self { max_parallel, by, ..self }
    }
}

impl ClusterQueues {
    /// Who serves a queue.
    pub fn served_by(&self, queue: &str) -> ServedBy {
        if self.live.is_empty() {
            return ServedBy::NoNode;
        }
        let of = |node: &NodeQueues| node.queues.as_ref()?.get(queue).copied().filter(|served| served.workers > 0);
        let serving: Vec<(NodeState, ServedQueue)> =
            self.live.iter().filter_map(|node| Some((node.state, of(node)?))).collect();
        let active: Vec<ServedQueue> =
            serving.iter().filter(|(state, _)| *state == NodeState::Running).map(|(_, served)| *served).collect();
        let silent = self.live.iter().find(|node| node.queues.is_none());
        match (active.is_empty(), silent) {
            (false, _) => ServedBy::Workers {
                count: active.iter().map(|served| served.workers).sum(),
                // A node that does not say may have a free worker.
                full_since: active
                    .iter()
                    .map(|served| served.full_since)
                    .max()
                    .flatten()
                    .filter(|_| silent.is_none() && active.iter().all(|served| served.full_since.is_some())),
            },
            (true, Some(silent)) => ServedBy::Perhaps(silent.node.clone()),
            (true, None) if serving.is_empty() => ServedBy::Nobody,
            (true, None) => ServedBy::Quiet,
        }
    }

    /// The load of a queue.
    pub fn load(&self, queue: &str) -> QueueLoad {
        self.loads.get(queue).cloned().unwrap_or_default()
    }

    fn of_key(&self, name: &str, by: &KeyOfTask) -> usize {
        self.running_keys.get(&(name.to_owned(), by.key.clone())).copied().unwrap_or_default()
    }

    /// The cause that the rate of a queue or a task is used up; none if it is not.
    pub fn rate_cause(&self, bucket: BucketName, now: DateTime<Utc>) -> Option<WaitCause> {
        let (limit, next_at) = self.used_up.get(&bucket)?;
        Some(WaitCause::Rate(bucket, *limit, (*next_at - now).to_std().unwrap_or_default()))
    }

    /// Why a due task of that queue and name has not begun; none if nothing is known that holds it back.
    pub fn cause(&self, queue: Option<&str>, name: &str, rules: LocalRules, now: DateTime<Utc>) -> Option<WaitCause> {
        let served_by = self.served_by(queue.unwrap_or_default());
        if served_by == ServedBy::NoNode {
            return Some(WaitCause::NoNode);
        }
        if self.maintenance {
            return Some(WaitCause::Maintenance);
        }
        if self.everything_paused {
            return Some(WaitCause::EverythingPaused);
        }
        let queue = queue?.to_owned();
        let load = self.load(&queue);
        let longest = load.longest.map(|longest| {
            let since = (now - longest.started_at).to_std().unwrap_or_default();
            (longest, since)
        });
        let used_up = self
            .rate_cause(BucketName::Task(name.to_owned()), now)
            .or_else(|| self.rate_cause(BucketName::Queue(queue.clone()), now));
        match served_by {
            _ if load.paused => Some(WaitCause::Paused(queue)),
            ServedBy::Nobody => Some(WaitCause::NotServed(queue)),
            _ if rules.closed.is_some() => Some(WaitCause::Closed(queue, rules.closed.unwrap_or_default())),
            ServedBy::Quiet => Some(WaitCause::Quiet(queue)),
            _ => match (rules.max_parallel, rules.limit, served_by) {
                (Some(most), ..) if rules.by.as_ref().is_some_and(|by| self.of_key(name, by) >= most) => {
                    rules.by.map(|by| WaitCause::KeyLimit(name.to_owned(), by, most))
                }
                (Some(most), ..)
                    if rules.by.is_none() && self.running.get(name).is_some_and(|running| *running >= most) =>
                {
                    Some(WaitCause::TaskLimit(name.to_owned(), most))
                }
                (_, Some(most), _) if load.running >= most => Some(WaitCause::QueueLimit(queue, most, longest)),
                _ if used_up.is_some() => used_up,
                (.., ServedBy::Workers { count, .. }) if load.running >= count => {
                    Some(WaitCause::Busy(queue, count, longest))
                }
                _ => None,
            },
        }
    }
}

impl WaitCause {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoNode => "no_node",
            Self::EverythingPaused => "everything_paused",
            Self::Maintenance => "maintenance",
            Self::Paused(_) => "queue_paused",
            Self::Closed(..) => "queue_closed",
            Self::NotServed(_) => "not_served",
            Self::Quiet(_) => "quiet",
            Self::TaskLimit(..) => "task_limit",
            Self::KeyLimit(..) => "key_limit",
            Self::QueueLimit(..) => "queue_limit",
            Self::Rate(..) => "rate",
            Self::Busy(..) => "workers_busy",
        }
    }
}

impl fmt::Display for WaitCause {
    /// For people, as a part of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode => f.write_str("no node is running"),
            Self::EverythingPaused => f.write_str("everything is paused"),
            Self::Maintenance => f.write_str("maintenance is on"),
            Self::Paused(queue) => write!(f, "queue {queue} is paused"),
            Self::Closed(queue, reason) => write!(f, "queue {queue} is {reason}"),
            Self::NotServed(queue) => write!(f, "no node serves queue {queue}"),
            Self::Quiet(queue) => write!(f, "each node that serves queue {queue} is quiet or about to stop"),
            Self::TaskLimit(name, most) => write!(f, "at most {most} of {name} run at once"),
            Self::KeyLimit(name, KeyOfTask { label, key }, most) => match key.as_str() {
                "" => write!(f, "{most} of {most} {name} without {label} run"),
                key => write!(f, "{most} of {most} {name} for {label} {key} run"),
            },
            Self::QueueLimit(queue, most, longest) => {
                write!(f, "at most {} of queue {queue} run at once", counted(*most, "task"))?;
                longest_in_words(f, longest.as_ref())
            }
            Self::Rate(bucket, limit, wait) => {
                let whose = match bucket {
                    BucketName::Queue(queue) => format!("queue {queue}"),
                    BucketName::Task(name) => name.clone(),
                };
                match wait.as_secs() {
                    0 => write!(f, "rate {limit} of {whose} is used up, next begin within 1s"),
                    _ => write!(f, "rate {limit} of {whose} is used up, next begin in {}", whole(*wait)),
                }
            }
            Self::Busy(queue, 1, longest) => {
                write!(f, "the only worker of queue {queue} is busy")?;
                match longest {
                    Some((longest, since)) => write!(f, " with {longest} for {}", whole(*since)),
                    None => Ok(()),
                }
            }
            Self::Busy(queue, workers, longest) => {
                write!(f, "all {workers} workers of queue {queue} are busy")?;
                longest_in_words(f, longest.as_ref())
            }
        }
    }
}

impl fmt::Display for LongRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (task {})", self.name, self.id)
    }
}

fn longest_in_words(f: &mut fmt::Formatter<'_>, longest: Option<&(LongRunner, Duration)>) -> fmt::Result {
    longest.map_or(Ok(()), |(longest, since)| write!(f, ", the longest with {longest} for {}", whole(*since)))
}

/// A length of time in whole seconds.
pub fn whole(length: Duration) -> String {
    duration::text(Duration::from_secs(length.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn node(name: &str, state: NodeState, queues: Option<&[(&str, usize, Option<&str>)]>) -> NodeQueues {
        let served = |(queue, workers, full): &(&str, usize, Option<&str>)| {
            ((*queue).to_owned(), ServedQueue { workers: *workers, full_since: full.map(at) })
        };
        NodeQueues { node: name.to_owned(), state, queues: queues.map(|queues| queues.iter().map(served).collect()) }
    }

    fn cluster(live: impl IntoIterator<Item = NodeQueues>, running: usize) -> ClusterQueues {
        let longest = LongRunner { id: 16, name: "hang".to_owned(), started_at: at("2026-11-21T10:00:00Z") };
        let load = QueueLoad { paused: false, running, longest: (running > 0).then_some(longest) };
        ClusterQueues {
            everything_paused: false,
            maintenance: false,
            live: live.into_iter().collect(),
            loads: [("q".to_owned(), load)].into(),
            running: [("hang".to_owned(), running)].into(),
            ..ClusterQueues::default()
        }
    }

    fn why(cluster: &ClusterQueues, rules: LocalRules) -> Option<String> {
        let cause = cluster.cause(Some("q"), "hang", rules, at("2026-11-21T10:05:00.9Z"));
        cause.map(|cause| cause.to_string())
    }

    #[test]
    fn a_full_queue_names_its_longest_task() {
        let running = NodeState::Running;
        let ten =
            cluster([node("a", running, Some(&[("q", 6, None)])), node("b", running, Some(&[("q", 4, None)]))], 10);
        let busy = "all 10 workers of queue q are busy, the longest with hang (task 16) for 5m";
        assert_eq!(why(&ten, LocalRules::default()).as_deref(), Some(busy));
        let one = cluster([node("a", running, Some(&[("q", 1, None)]))], 1);
        let only = "the only worker of queue q is busy with hang (task 16) for 5m";
        assert_eq!(why(&one, LocalRules::default()).as_deref(), Some(only));
        let free = cluster([node("a", running, Some(&[("q", 6, None)]))], 5);
        assert_eq!(why(&free, LocalRules::default()), None);
        let limited = why(&free, LocalRules { limit: Some(5), ..LocalRules::default() });
        assert_eq!(
            limited.as_deref(),
            Some("at most 5 tasks of queue q run at once, the longest with hang (task 16) for 5m")
        );
        let bound = why(&free, LocalRules { max_parallel: Some(2), ..LocalRules::default() });
        assert_eq!(bound.as_deref(), Some("at most 2 of hang run at once"));
    }

    #[test]
    fn a_rate_that_is_used_up_says_when_the_next_begins() {
        let mut free = cluster([node("a", NodeState::Running, Some(&[("q", 6, None)]))], 0);
        let limit = RateLimit::new("100/1m".parse().expect("a rate"), None);
        let next_at = at("2026-11-21T10:05:13Z");
        free.used_up = [(BucketName::Queue("q".to_owned()), (limit, next_at))].into();
        let words = "rate 100/1m of queue q is used up, next begin in 12s";
        assert_eq!(why(&free, LocalRules::default()).as_deref(), Some(words));
        free.used_up = [(BucketName::Task("hang".to_owned()), (limit, at("2026-11-21T10:05:01Z")))].into();
        let words = "rate 100/1m of hang is used up, next begin within 1s";
        assert_eq!(why(&free, LocalRules::default()).as_deref(), Some(words));
    }

    #[test]
    fn a_limit_by_key_names_the_key() {
        let mut free = cluster([node("a", NodeState::Running, Some(&[("q", 9, None)]))], 5);
        let of = |key: &str| LocalRules {
            max_parallel: Some(3),
            by: Some(KeyOfTask { label: "customer".to_owned(), key: key.to_owned() }),
            ..LocalRules::default()
        };
        free.running_keys = [(("hang".to_owned(), "17".to_owned()), 3)].into();
        assert_eq!(why(&free, of("17")).as_deref(), Some("3 of 3 hang for customer 17 run"));
        assert_eq!(why(&free, of("18")), None, "others may run");
    }

    #[test]
    fn a_queue_without_workers_is_served_by_nobody() {
        let running = NodeState::Running;
        assert_eq!(why(&cluster([], 0), LocalRules::default()).as_deref(), Some("no node is running"));
        let none = cluster([node("a", running, Some(&[("q", 0, None), ("r", 1, None)]))], 0);
        assert_eq!(why(&none, LocalRules::default()).as_deref(), Some("no node serves queue q"));
        let closed = LocalRules { closed: Some("outside period office".to_owned()), ..LocalRules::default() };
        assert_eq!(why(&none, closed.clone()).as_deref(), Some("no node serves queue q"), "that counts first");
        let old = cluster([node("a", running, Some(&[])), node("old", running, None)], 0);
        assert_eq!((old.served_by("q"), why(&old, LocalRules::default())), (ServedBy::Perhaps("old".to_owned()), None));
        let quiet = cluster([node("a", NodeState::Quiet, Some(&[("q", 1, None)]))], 0);
        assert_eq!(quiet.served_by("q"), ServedBy::Quiet);
        let open = cluster([node("a", running, Some(&[("q", 1, None)]))], 0);
        assert_eq!(why(&open, closed).as_deref(), Some("queue q is outside period office"));
        let mut paused = none;
        paused.loads.entry("q".to_owned()).or_default().paused = true;
        assert_eq!(why(&paused, LocalRules::default()).as_deref(), Some("queue q is paused"));
        paused.everything_paused = true;
        assert_eq!(why(&paused, LocalRules::default()).as_deref(), Some("everything is paused"), "that counts first");
    }

    #[test]
    fn a_queue_is_full_if_it_is_full_on_each_node() {
        let (running, early, late) = (NodeState::Running, "2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z");
        let full = |other| {
            let nodes =
                [node("a", running, Some(&[("q", 1, Some(early))])), node("b", running, Some(&[("q", 1, other)]))];
            match cluster(nodes, 2).served_by("q") {
                ServedBy::Workers { full_since, .. } => full_since,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(full(Some(late)), Some(at(late)));
        assert_eq!(full(None), None);
    }
}
