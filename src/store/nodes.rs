//! Nodes: registration, heartbeat and lease, and what dead nodes have left behind.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{EntityTrait, QueryOrder};
use sexton_entities::{
    node,
    states::{NodeState, Outcome, Verdict},
};

use super::{Store, StoreError};
use crate::domain::task::{FinishedAttempt, Report};

/// A node's sign of life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The boot id.
    pub id: String,
    /// The name in the configuration.
    pub name: String,
    /// The host.
    pub host: String,
    /// The process number.
    pub pid: i32,
    /// What it does.
    pub state: NodeState,
    /// For how long its running tasks are its own from now on.
    pub lease: Duration,
    /// Its modules, for `module list` and `summary`.
    pub modules: serde_json::Value,
}

impl Store {
    /// Enters a node, or enters it anew after its lease was lost.
    pub async fn register(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        let sql = self.dialect.insert_new(
            "sexton_node (id, name, host, version, state, pid, lease_expires_at)",
            &format!(
                "SELECT {text}, {text}, {text}, {text}, {text}, {}, {} FROM (SELECT 1 AS x) one",
                beat.pid,
                self.dialect.now_plus_millis(&beat.lease.as_millis().to_string()),
                text = self.dialect.text_parameter(),
            ),
        );
        let values = [
            beat.id.clone().into(),
            beat.name.clone().into(),
            beat.host.clone().into(),
            env!("CARGO_PKG_VERSION").into(),
            beat.state.as_str().into(),
        ];
        self.repeating(async || self.run(&self.db, &sql, values.clone()).await.map(|_| ())).await
    }

    /// Prolongs the lease. False where it has been lost: another node has taken this one for dead.
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sexton_node SET state = ?, modules = {}, heartbeat_at = {}, lease_expires_at = {} WHERE id = ?",
            self.dialect.json(self.dialect.text_parameter()),
            self.dialect.now(),
            self.dialect.now_plus_millis(&beat.lease.as_millis().to_string()),
        );
        let values = [beat.state.as_str().into(), beat.modules.to_string().into(), beat.id.clone().into()];
        Ok(self.repeating(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }

    /// Takes a node off the list that has stopped in good order.
    pub async fn leave(&self, id: &str) -> Result<(), StoreError> {
        node::Entity::delete_by_id(id.to_owned()).exec(&self.db).await?;
        Ok(())
    }

    /// The nodes, the oldest first; a dead one until its tasks have been rescued.
    pub async fn nodes(&self) -> Result<Vec<node::Model>, StoreError> {
        Ok(node::Entity::find().order_by_asc(node::Column::StartedAt).all(&self.db).await?)
    }

    /// When the next lease of another node runs out, and the database's time.
    pub async fn next_expiry(&self, own: &str) -> Result<(Option<DateTime<Utc>>, DateTime<Utc>), StoreError> {
        let sql = format!(
            "SELECT MIN(lease_expires_at) AS expiry, {} AS at FROM sexton_node WHERE id <> ?",
            self.dialect.now()
        );
        let row = self.one(&self.db, &sql, [own.into()]).await?;
        Ok((row.try_get("", "expiry")?, row.try_get("", "at")?))
    }

    /// Takes nodes off the list whose lease ran out and that have no running task left.
    pub async fn bury(&self, own: &str) -> Result<u64, StoreError> {
        let sql = format!(
            "DELETE FROM sexton_node WHERE id <> ? AND lease_expires_at <= {} \
             AND NOT EXISTS (SELECT 1 FROM sexton_task t WHERE t.node = sexton_node.id AND t.state = 'running')",
            self.dialect.now()
        );
        self.repeating(async || self.run(&self.db, &sql, [own.into()]).await).await
    }

    /// The running attempts of other nodes that are dead or unknown, as interrupted ones to be recorded. A node's own
    /// are its own concern, also after a lapse: what it has finished meanwhile is to be recorded first.
    pub async fn orphans(&self, own: &str) -> Result<Vec<FinishedAttempt>, StoreError> {
        let of = format!(
            "t.node <> ? AND NOT EXISTS (SELECT 1 FROM sexton_node n WHERE n.id = t.node AND n.lease_expires_at > {})",
            self.dialect.now()
        );
        self.running_where(&of, own, "the node died or lost its lease").await
    }

    /// The attempts that this node runs according to the database, as interrupted ones to be recorded.
    pub async fn running_of(&self, node: &str) -> Result<Vec<FinishedAttempt>, StoreError> {
        self.running_where("t.node = ?", node, "the node lost sight of it").await
    }

    /// Which of a node's running tasks somebody wants cancelled.
    pub async fn cancel_requests(&self, node: &str) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM sexton_task WHERE state = 'running' AND node = ? AND cancel_requested_at IS NOT NULL";
        let rows = self.all(&self.db, sql, [node.into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    async fn running_where(&self, condition: &str, node: &str, why: &str) -> Result<Vec<FinishedAttempt>, StoreError> {
        let sql = format!(
            "SELECT t.id, t.fence, t.name, t.queue, t.schedule, t.due_at, t.enqueued_at, t.started_at, t.node, t.attempt, \
             t.payload, {} AS at FROM sexton_task t WHERE t.state = 'running' AND {condition} ORDER BY t.id LIMIT 10000",
            self.dialect.now()
        );
        let rows = self.all(&self.db, &sql, [node.into()]).await?;
        rows.iter()
            .map(|row| {
                let finished_at: DateTime<Utc> = row.try_get("", "at")?;
                let started_at = row.try_get::<Option<DateTime<Utc>>>("", "started_at")?.unwrap_or(finished_at);
                Ok(FinishedAttempt {
                    task_id: row.try_get("", "id")?,
                    fence: row.try_get("", "fence")?,
                    name: row.try_get("", "name")?,
                    kind: None,
                    queue: row.try_get::<Option<String>>("", "queue")?.unwrap_or_default(),
                    schedule: row.try_get("", "schedule")?,
                    due_at: row.try_get("", "due_at")?,
                    enqueued_at: row.try_get("", "enqueued_at")?,
                    started_at,
                    finished_at,
                    duration_ms: (finished_at - started_at).num_milliseconds().max(0),
                    node: row.try_get::<Option<String>>("", "node")?.unwrap_or_default(),
                    attempt: row.try_get("", "attempt")?,
                    outcome: Outcome::Interrupted,
                    verdict: Some(Verdict::Released),
                    retry_ms: 0,
                    error: Some(why.to_owned()),
                    payload: row.try_get("", "payload").unwrap_or_default(),
                    report: Report::default(),
                })
            })
            .collect()
    }
}
