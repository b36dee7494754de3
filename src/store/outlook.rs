//! The outlook of an idle node: what its modules would ask one by one, as a part of the peek (`peek.rs`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Value};
use sexton_client::store::schedules::IN_DATABASE;

use super::{
    StoreError, dialect::Dialect, identity::ROW, notices::UNSENT, pause::NOT_ALL_PAUSED, problems::LASTS,
    row_decoding::instant, unknown::IS_ASIDE,
};
use crate::domain::identity::{DatabaseId, NodeId};

/// What there is to do beside the claims, as one statement says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOutlook {
    /// The database's time.
    pub at: Option<DateTime<Utc>>,
    /// When the next lease of another node ends; none if there is no other node.
    pub next_expiry: Option<DateTime<Utc>>,
    /// Everything is paused.
    pub is_paused: bool,
    /// Tasks are available, in whatever queue.
    pub has_waiting: bool,
    /// Tasks run here, according to the database.
    pub has_own: bool,
    /// Tasks run elsewhere, or nobody knows where.
    pub has_foreign: bool,
    /// The node is not registered, or other nodes do not know what it serves.
    pub is_unpublished: bool,
    /// The identity of the database.
    pub database: Option<DatabaseId>,
    /// The newest migration step.
    pub newest_step: Option<String>,
    /// Events wait for a node that has their triggers.
    pub has_waiting_events: bool,
    /// The database has schedules of its own, and no way to tell of them.
    pub has_schedules: bool,
    /// Whether tasks are set aside because no node defines them; none if that was not asked.
    pub has_set_aside: Option<bool>,
    /// Problems last.
    pub has_problems: bool,
    /// Notices wait to be sent, or are held back.
    pub has_notices: bool,
    /// The latest row of the history; none if it is empty.
    pub last_history_id: Option<i64>,
}

impl NodeOutlook {
    /// The time until the next lease of another node ends, `age` after the database said it: `Some(None)` if there is no other
    /// node. None if the database did not say.
    pub fn until_expiry(&self, age: Duration) -> Option<Option<Duration>> {
        let at = self.at?;
        let until = |expiry: DateTime<Utc>| (expiry - at).to_std().unwrap_or_default().saturating_sub(age);
        Some(self.next_expiry.map(until))
    }

    /// Takes what one row of the statement says.
    pub(super) fn read(&mut self, what: &str, row: &QueryResult) -> Result<(), StoreError> {
        match what {
            "others" => {
                self.next_expiry = instant(row, "run_at").ok().flatten();
                self.at = instant(row, "expires_at").ok().flatten();
            }
            "waiting_event" => self.has_waiting_events = true,
            "schedules" => self.has_schedules = true,
            "all_paused" => self.is_paused = true,
            "waiting" => self.has_waiting = true,
            "foreign" => self.has_foreign = true,
            "own" => self.has_own = true,
            "unpublished" => self.is_unpublished = true,
            "problem" => self.has_problems = true,
            "notice" => self.has_notices = true,
            "history" => {
                let id: Option<String> = row.try_get("", "name")?;
                self.last_history_id = id.and_then(|id| id.parse().ok());
            }
            "database" => self.database = row.try_get::<Option<String>>("", "name")?.map(DatabaseId::from),
            "step" => self.newest_step = row.try_get("", "name")?,
            _ => self.has_set_aside = Some(true),
        }
        Ok(())
    }
}

/// For whom the outlook is, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct OutlookOf<'a> {
    /// The node that asks.
    pub node: &'a NodeId,
    /// Whether it also asks for tasks that are set aside. This reads all tasks that are scheduled.
    pub set_aside: bool,
}

/// A row that is there if the condition holds.
pub(super) fn flag(what: &str, condition: &str) -> String {
    format!(" UNION ALL SELECT {what}, NULL, NULL, NULL, NULL FROM (SELECT 1 AS x) one WHERE {condition}")
}

/// Whether a task fulfils a condition. The order makes the planner use an index. By its estimates it would read the table
/// from the beginning, where a busy queue has only dead rows.
pub(super) fn some(condition: &str, order: &str) -> String {
    format!("(SELECT t.id FROM sexton_task t WHERE {condition} ORDER BY {order} LIMIT 1) IS NOT NULL")
}

/// The rows of the outlook, as a part of the peek's statement, with their values.
pub(super) fn outlook_of(dialect: Dialect, of: OutlookOf<'_>) -> (String, [Value; 4]) {
    // In the order of an index that has only these tasks, or begins with their state.
    let (by_queue, by_node) = match dialect {
        Dialect::MySql => ("t.run_at", "t.run_at"),
        Dialect::Postgres | Dialect::Sqlite => ("t.queue, t.priority, t.id", "t.node"),
    };
    let mut sql = format!(
        " UNION ALL SELECT 'others', NULL, NULL, (SELECT MIN(lease_expires_at) FROM sexton_node WHERE id <> ?), {} \
         FROM (SELECT 1 AS x) one",
        dialect.now()
    );
    let first = |select: &str, order: &str| format!("({select} ORDER BY {order} LIMIT 1) IS NOT NULL");
    let waits = "SELECT w.event_id FROM sexton_event_trigger w WHERE w.fate = 'waiting'";
    sql += &flag("'waiting_event'", &first(waits, "w.event_id"));
    sql += &flag("'all_paused'", &format!("NOT ({NOT_ALL_PAUSED})"));
    sql += &flag("'waiting'", &some("t.state = 'available'", by_queue));
    sql += &flag("'foreign'", &some("t.state = 'running' AND (t.node IS NULL OR t.node <> ?)", by_node));
    let published = "SELECT 1 FROM sexton_node n WHERE n.id = ? AND n.defines IS NOT NULL AND n.queues IS NOT NULL";
    sql += &flag("'unpublished'", &format!("NOT EXISTS ({published})"));
    sql += &flag("'own'", &some("t.state = 'running' AND t.node = ?", by_node));
    sql += &flag("'problem'", &format!("EXISTS (SELECT 1 FROM sexton_problem WHERE {LASTS})"));
    sql += &flag("'notice'", &format!("EXISTS (SELECT 1 FROM sexton_notice WHERE {UNSENT})"));
    sql += &format!(
        " UNION ALL SELECT 'history', CONCAT('', MAX(id)), NULL, NULL, NULL FROM sexton_history \
         UNION ALL SELECT 'database', uuid, NULL, NULL, NULL FROM sexton_database WHERE id = {ROW} \
         UNION ALL SELECT 'step', MAX(version), NULL, NULL, NULL FROM sexton_migration"
    );
    if dialect == Dialect::MySql {
        sql += &flag("'schedules'", &format!("EXISTS (SELECT 1 FROM sexton_schedule s WHERE {IN_DATABASE})"));
    }
    if of.set_aside {
        sql += &flag("'set_aside'", &format!("EXISTS (SELECT 1 FROM sexton_task WHERE {IS_ASIDE})"));
    }
    (sql, [of.node.as_str(); 4].map(Value::from))
}
