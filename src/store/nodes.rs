//! Nodes: registration, heartbeat and lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, EntityTrait, QueryOrder, QueryTrait as _, Value};
use sexton_entities::{node, states::NodeState};

use super::{
    Operation, Store, StoreError,
    dialect::{Dialect, Kind},
    row_decoding::instant,
    rows::Rows,
};
use crate::domain::identity::NodeId;

const NODE_COLUMNS: [(&str, Kind); 7] = [
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("host", Kind::Text),
    ("version", Kind::Text),
    ("state", Kind::Text),
    ("pid", Kind::Integer),
    ("lease_ms", Kind::Integer),
];

/// The heartbeat of a node.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The identity, new at each start.
    pub id: NodeId,
    /// The name in the configuration.
    pub name: String,
    /// The host name.
    pub host: String,
    /// The process number.
    pub pid: i32,
    /// What the node does.
    pub state: NodeState,
    /// How long the lease lasts from now on.
    pub lease: Duration,
    /// The status of its modules, for `module list` and `summary`.
    pub modules: serde_json::Value,
}

impl Store {
    /// Registers a node. A node that lost its lease registers again.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn register(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        let sql = self.dialect.insert_new(
            "sexton_node (id, name, host, version, state, pid, lease_expires_at)",
            &format!(
                "SELECT d.id, d.name, d.host, d.version, d.state, d.pid, {} FROM {}",
                self.dialect.now_plus_millis("d.lease_ms"),
                self.dialect.rows("d", &NODE_COLUMNS),
            ),
        );
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("id", beat.id.as_str())
                .set("name", beat.name.clone())
                .set("host", beat.host.clone())
                .set("version", env!("CARGO_PKG_VERSION"))
                .set("state", beat.state.as_str())
                .set("pid", beat.pid)
                .set("lease_ms", millis(beat.lease));
        });
        let rows = rows.into_value();
        self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
    }

    /// Extends the lease. Returns false if the node is not registered any more: another node has declared it dead.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<bool, StoreError> {
        Ok(self.heartbeat_beside(beat).await?.is_some())
    }

    /// Extends the lease, and counts the other nodes that have one, by one statement. None if the node is not registered
    /// any more.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn heartbeat_beside(&self, beat: &Heartbeat) -> Result<Option<i64>, StoreError> {
        let now = self.dialect.now();
        let beside =
            format!("SELECT COUNT(*) AS live FROM sexton_node o WHERE o.id <> ? AND o.lease_expires_at > {now}");
        let end = match self.dialect {
            Dialect::Postgres | Dialect::Sqlite => format!("RETURNING ({beside}) AS live"),
            // An UPDATE returns no rows there. But the number that this function is given comes back with its answer. The
            // query in FROM is a copy of its own, without which the table could not be read and changed at once.
            Dialect::MySql => format!("AND LAST_INSERT_ID((SELECT 1 + c.live FROM ({beside}) c)) > 0"),
        };
        let sql = format!(
            "UPDATE sexton_node SET state = ?, modules = {}, heartbeat_at = {now}, lease_expires_at = {} WHERE id = ? {end}",
            self.dialect.json(self.dialect.text_parameter()),
            self.dialect.now_plus_millis("?"),
        );
        let (state, modules) = (beat.state.as_str().into(), beat.modules.to_string().into());
        let id = Value::from(beat.id.as_str());
        let values: [Value; 5] = [state, modules, millis(beat.lease).into(), id.clone(), id];
        let beating = self.with_retries(async || {
            if self.dialect == Dialect::MySql {
                let done = self.db.execute_raw(self.statement(&sql, values.clone())).await?;
                let live = i64::try_from(done.last_insert_id()).unwrap_or(i64::MAX) - 1;
                return Ok((done.rows_affected() > 0).then_some(live));
            }
            let rows = self.all(&self.db, &sql, values.clone()).await?;
            rows.first().map(|row| Ok(row.try_get("", "live")?)).transpose()
        });
        self.timed(Operation::Heartbeat, beating).await
    }

    /// Removes a node that has stopped cleanly.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn leave(&self, id: &NodeId) -> Result<(), StoreError> {
        let noted = self.note_left(&self.db, id.as_str()).await;
        self.isolated().part("which schedules lose a node", noted)?;
        node::Entity::delete_by_id(id.as_str()).exec(&self.db).await?;
        Ok(())
    }

    /// Lists the nodes, the oldest first. A dead node is listed until its tasks have been rescued.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn nodes(&self) -> Result<Vec<node::Model>, StoreError> {
        let query = node::Entity::find().order_by_asc(node::Column::StartedAt).build(self.backend());
        self.readable(&self.db, query, "sexton_node", "id").await
    }

    /// The number of other nodes that have a lease.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn live_nodes_beside(&self, own: &NodeId) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS live FROM sexton_node WHERE id <> ? AND lease_expires_at > {}",
            self.dialect.now()
        );
        Ok(self.one(&self.db, &sql, [own.as_str().into()]).await?.try_get("", "live")?)
    }

    /// When the next lease of another node ends, and the database's time.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn next_expiry(&self, own: &NodeId) -> Result<(Option<DateTime<Utc>>, DateTime<Utc>), StoreError> {
        let sql = format!(
            "SELECT MIN(lease_expires_at) AS expiry, {} AS at FROM sexton_node WHERE id <> ?",
            self.dialect.now()
        );
        let row = self.one(&self.db, &sql, [own.as_str().into()]).await?;
        Ok((instant(&row, "expiry").ok().flatten(), row.try_get("", "at")?))
    }

    /// The running tasks of a node for which a cancel was requested.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn cancel_requests(&self, node: &NodeId) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM sexton_task WHERE state = 'running' AND node = ? AND cancel_requested_at IS NOT NULL";
        let rows = self.all(&self.db, sql, [node.as_str().into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
