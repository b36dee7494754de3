//! Queues that need attention: without a free worker for a while, or with tasks that no node serves.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    daemon::inflight::InFlight,
    domain::{task::waiting::whole, text::plural::counted},
};

/// A queue that has had no free worker on this node for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullQueue {
    /// Its name.
    pub queue: String,
    /// The number of its workers on this node. All are busy.
    pub workers: usize,
    /// For how long none of them has become free, in milliseconds.
    pub full_ms: u64,
    /// The number of the task that has run for the longest time.
    pub longest_id: Option<i64>,
    /// The name of that task.
    pub longest_name: Option<String>,
    /// How long it has run, in milliseconds.
    pub longest_ms: Option<u64>,
}

/// A queue that no live node serves, although tasks wait there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnservedQueue {
    /// Its name.
    pub queue: String,
    /// How many tasks wait for a worker.
    pub tasks: i64,
}

/// The queues that no live node serves, as this node last saw them. Clones share it.
#[derive(Clone, Default)]
pub struct UnservedQueues {
    queues: Arc<Mutex<Vec<UnservedQueue>>>,
}

impl UnservedQueues {
    /// Replaces them. Returns those that are new, and the names of those that are gone.
    pub fn replace(&self, now: Vec<UnservedQueue>) -> (Vec<UnservedQueue>, Vec<String>) {
        let before = std::mem::replace(&mut *self.queues.lock(), now.clone());
        let has = |list: &[UnservedQueue], name: &str| list.iter().any(|known| known.queue == name);
        let gone = before.iter().filter(|known| !has(&now, &known.queue)).map(|known| known.queue.clone()).collect();
        (now.into_iter().filter(|known| !has(&before, &known.queue)).collect(), gone)
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<UnservedQueue> {
        self.queues.lock().clone()
    }
}

/// The queues that have had no free worker on this node for at least `least`, by name.
pub(in crate::daemon) fn full_queues(in_flight: &InFlight, least: Duration) -> Vec<FullQueue> {
    let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let full: Vec<_> = in_flight.workers().into_iter().filter(|queue| queue.full_for >= Some(least)).collect();
    if full.is_empty() {
        return Vec::new();
    }
    let running = in_flight.running();
    let described = full.into_iter().map(|full| {
        let longest = running.iter().find(|running| running.task.queue == full.queue);
        FullQueue {
            queue: full.queue.to_string(),
            workers: full.workers,
            full_ms: millis(full.full_for.unwrap_or_default()),
            longest_id: longest.map(|longest| longest.task.claim.task_id),
            longest_name: longest.map(|longest| longest.task.name.clone()),
            longest_ms: longest.map(|longest| millis(longest.since)),
        }
    });
    described.collect()
}

impl FullQueue {
    /// For people, as the end of a sentence about the queue.
    pub fn words(&self) -> String {
        let workers = match self.workers {
            1 => "its worker is busy".to_owned(),
            workers => format!("all {workers} workers are busy"),
        };
        let longest = match (self.longest_id, &self.longest_name, self.longest_ms) {
            (Some(id), Some(name), Some(millis)) => {
                format!(", the longest with {name} (task {id}) for {}", whole(Duration::from_millis(millis)))
            }
            _ => String::new(),
        };
        format!("has had no free worker for {}: {workers}{longest}", whole(Duration::from_millis(self.full_ms)))
    }
}

impl UnservedQueue {
    /// For people, as a sentence without its end.
    pub fn words(&self) -> String {
        let verb = if self.tasks == 1 { "waits" } else { "wait" };
        format!("no node serves it, and {} {verb} there", counted(self.tasks, "task"))
    }
}
