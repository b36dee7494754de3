//! The queues of the cluster: who serves them, what runs in them, and which tasks wait where nobody serves them.

use sea_orm::Value;
use sexton_entities::states::NodeState;

use super::{
    Store, StoreError,
    row_decoding::{column, existing_instant},
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::waiting::{ClusterQueues, LongRunner, NodeQueues, ServedQueues},
};

impl Store {
    /// Publishes the queues of a node. Returns false if the node is not registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn publish_queues(&self, node: &NodeId, queues: &ServedQueues) -> Result<bool, StoreError> {
        let json = self.dialect.json(self.dialect.text_parameter());
        let sql = format!("UPDATE sexton_node SET queues = {json} WHERE id = ?");
        let values: [Value; 2] = [serde_json::json!(queues).to_string().into(), node.as_str().into()];
        Ok(self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }

    /// What the live nodes say of their queues.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn live_queues(&self) -> Result<Vec<NodeQueues>, StoreError> {
        let sql = format!(
            "SELECT name, state, queues FROM sexton_node WHERE lease_expires_at > {} ORDER BY id",
            self.dialect.now()
        );
        let mut live = Vec::new();
        for row in self.all(&self.db, &sql, []).await? {
            // What cannot be read counts as not published.
            let queues: Option<serde_json::Value> = column(&row, "queues").unwrap_or_default();
            let state: String = row.try_get("", "state")?;
            live.push(NodeQueues {
                node: row.try_get("", "name")?,
                state: NodeState::from_word(&state).unwrap_or(NodeState::Running),
                queues: queues.and_then(|queues| serde_json::from_value(queues).ok()),
            });
        }
        Ok(live)
    }

    /// The queues of the cluster now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn cluster_queues(&self) -> Result<ClusterQueues, StoreError> {
        let halt = self.halt().await?;
        let (everything_paused, maintenance) = (halt.pause.is_some(), halt.maintenance.is_some());
        let live = self.live_queues().await?;
        let mut cluster = ClusterQueues { everything_paused, maintenance, live, ..ClusterQueues::default() };
        for row in self.all(&self.db, "SELECT name, paused FROM sexton_queue", []).await? {
            let name: String = row.try_get("", "name")?;
            cluster.loads.entry(name).or_default().paused = row.try_get("", "paused")?;
        }
        let sql = "SELECT id, name, limit_key, COALESCE(queue, '') AS queue, started_at FROM sexton_task WHERE state = 'running'";
        for row in self.all(&self.db, sql, []).await? {
            let (name, queue): (String, String) = (row.try_get("", "name")?, row.try_get("", "queue")?);
            *cluster.running.entry(name.clone()).or_default() += 1;
            if let Some(key) = row.try_get::<Option<String>>("", "limit_key")? {
                *cluster.running_keys.entry((name.clone(), key)).or_default() += 1;
            }
            let load = cluster.loads.entry(queue).or_default();
            load.running += 1;
            // An instant that cannot be read must not hide the others.
            let Ok(started_at) = existing_instant(&row, "started_at") else { continue };
            if load.longest.as_ref().is_none_or(|longest| started_at < longest.started_at) {
                load.longest = Some(LongRunner { id: row.try_get("", "id")?, name, started_at });
            }
        }
        let empty = self.rates().await?.into_iter().filter(|rate| rate.tokens == 0);
        cluster.used_up = empty.map(|rate| (rate.bucket, (rate.limit, rate.next_at))).collect();
        Ok(cluster)
    }

    /// The queues in which tasks wait for a worker, by name. It costs one short statement for each of them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn queues_with_waiting_tasks(&self) -> Result<Vec<QueueName>, StoreError> {
        let sql = "SELECT queue FROM sexton_task WHERE state = 'available' AND queue > ? ORDER BY queue LIMIT 1";
        let mut found: Vec<QueueName> = Vec::new();
        loop {
            let last = found.last().map(|queue| queue.to_string()).unwrap_or_default();
            let rows = self.all(&self.db, sql, [last.into()]).await?;
            let Some(row) = rows.first() else { return Ok(found) };
            found.push(row.try_get::<String>("", "queue")?.into());
        }
    }

    /// The number of tasks of a queue that wait for a worker.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn waiting_in(&self, queue: &QueueName) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS tasks FROM sexton_task WHERE state = 'available' AND queue = ?";
        Ok(self.one(&self.db, sql, [queue.as_str().into()]).await?.try_get("", "tasks")?)
    }
}
