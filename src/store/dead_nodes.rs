//! Nodes that died: their removal, and what is kept of them for a day.

use std::time::Duration;

use sea_orm::{EntityTrait, QueryOrder, QueryTrait as _};
use sexton_entities::{dead_node, states::ProblemKind};

use super::{Store, StoreError};
use crate::domain::{identity::NodeId, problem::Sighting};

/// How long a dead node is listed.
const KEEP: Duration = Duration::from_secs(86_400);
/// What is kept of a node.
const KEPT_COLUMNS: &str = "id, name, host, pid, version, started_at, heartbeat_at, lease_expires_at";

impl Store {
    /// Removes the nodes whose lease has ended and that have no running task, and keeps a record of each. Returns their
    /// number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn remove_dead_nodes(&self, own: &NodeId) -> Result<u64, StoreError> {
        let is_dead = format!(
            "lease_expires_at <= {} \
             AND NOT EXISTS (SELECT 1 FROM sexton_task t WHERE t.node = sexton_node.id AND t.state = 'running')",
            self.dialect.now()
        );
        let find = format!("SELECT id, name, host FROM sexton_node WHERE id <> ? AND {is_dead}");
        let kept = format!("SELECT d.* FROM (SELECT {KEPT_COLUMNS} FROM sexton_node WHERE id = ? AND {is_dead}) d");
        let keep = self.dialect.insert_new(&format!("sexton_dead_node ({KEPT_COLUMNS})"), &kept);
        let remove = format!("DELETE FROM sexton_node WHERE id = ? AND {is_dead}");
        let mut removed = 0;
        for row in self.all(&self.db, &find, [own.as_str().into()]).await? {
            let id: String = row.try_get("", "id")?;
            let (name, host): (String, String) = (row.try_get("", "name")?, row.try_get("", "host")?);
            let what = format!("the node on host {host} has died or lost its lease");
            let noted = self.note_left(&self.db, &id).await;
            self.isolated().part("which schedules lose a node", noted)?;
            let gone = Sighting { node: Some(id.clone()), ..Sighting::now(ProblemKind::Node, name, what) };
            removed += self
                .with_retries(async || {
                    let transaction = self.begin().await?;
                    // The node may have come back after an earlier death.
                    let forget = "DELETE FROM sexton_dead_node WHERE id = ?";
                    self.run(&transaction, forget, [id.as_str().into()]).await?;
                    self.run(&transaction, &keep, [id.as_str().into()]).await?;
                    let removed = self.run(&transaction, &remove, [id.as_str().into()]).await?;
                    if removed > 0 {
                        self.count_problems(&transaction, std::slice::from_ref(&gone)).await?;
                    }
                    self.commit(transaction).await?;
                    Ok(removed)
                })
                .await?;
        }
        Ok(removed)
    }

    /// Lists the nodes that died within the last day and were removed, the latest first.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn dead_nodes(&self) -> Result<Vec<dead_node::Model>, StoreError> {
        let query = dead_node::Entity::find().order_by_desc(dead_node::Column::RemovedAt).build(self.backend());
        self.readable(&self.db, query, "sexton_dead_node", "id").await
    }

    /// Forgets the nodes that died longer than a day ago.
    pub(super) async fn forget_dead_nodes(&self) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM sexton_dead_node WHERE removed_at < {}", self.dialect.now_plus_millis("?"));
        let age = -(KEEP.as_millis() as i64);
        self.with_retries(async || self.run(&self.db, &sql, [age.into()]).await).await.map(|_| ())
    }
}
