//! The store's contract, verb by verb: one suite, four databases.

mod audit;
mod baselines;
mod bounded;
mod bulk;
mod claim;
mod claim_position;
mod claim_queues;
mod cluster_queues;
mod connections;
mod daily;
mod enqueue;
mod expected_runs;
mod expiry;
mod finish;
mod followers;
mod future;
mod groups;
mod identity;
mod limit_keys;
mod migrate;
mod nodes;
mod odd_names;
mod overlap;
mod payloads;
mod problems;
mod prune;
mod queues;
mod rates;
mod schedule_definitions;
mod schedules;
mod unknown;

use std::time::Duration;

use chrono::Utc;
use sexton::{
    domain::task::{ClaimedTask, FinishedAttempt, NewTask, Report},
    store::{Heartbeat, Store},
};
use sexton_entities::states::{NodeState, Outcome, Verdict};

/// A node's sign of life.
pub(crate) fn beat(id: &str, lease: Duration) -> Heartbeat {
    Heartbeat {
        id: id.into(),
        name: id.to_owned(),
        host: "here".to_owned(),
        pid: 1,
        state: NodeState::Running,
        lease,
        modules: serde_json::json!([]),
    }
}

/// Enters a node with a long lease.
async fn register(store: &Store, id: &str) {
    store.register(&beat(id, Duration::from_secs(600))).await.unwrap();
}

/// Enqueues `count` tasks of one name into queue `default`.
async fn enqueue(store: &Store, name: &str, count: usize) {
    let tasks: Vec<NewTask> =
        (0..count).map(|number| NewTask::new(name).queue("default").payload(number as i64)).collect();
    assert_eq!(store.enqueue_all(store.connection(), &tasks).await.unwrap(), count as u64);
}

/// Enqueues one task and claims it for `node`.
async fn one_claimed(store: &Store, node: &str) -> ClaimedTask {
    enqueue(store, "work", 1).await;
    store.claim(&node.into(), &"default".into(), 1).await.unwrap().tasks.remove(0)
}

/// An end of a claimed task.
fn ended(task: &ClaimedTask, node: &str, outcome: Outcome, verdict: Verdict) -> FinishedAttempt {
    FinishedAttempt {
        claim: task.claim,
        name: task.name.clone(),
        kind: Some("noop".to_owned()),
        queue: task.queue.clone(),
        schedule: task.schedule.clone(),
        due_at: task.due_at,
        enqueued_at: task.enqueued_at,
        claimed_at: Some(task.started_at),
        started_at: task.started_at,
        finished_at: task.started_at + chrono::TimeDelta::milliseconds(7),
        duration_ms: 7,
        node: node.into(),
        attempt: task.attempt,
        outcome,
        verdict: Some(verdict),
        retry_ms: 0,
        error: None,
        payload: task.payload.clone(),
        trace: task.trace().ok().flatten(),
        report: Report::default(),
    }
}

/// The database's own idea of now, with slack for slow machines.
fn about_now(at: chrono::DateTime<Utc>) -> bool {
    (sexton::clock::machine_time() - at).num_seconds().abs() < 60
}
