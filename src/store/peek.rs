//! The peek: whether there is anything to do. It costs less than a claim that finds nothing. From time to time it also
//! answers what other modules of an idle node would ask one by one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::Value;

use super::{
    NextInstants, Operation, Store, StoreError,
    cancel::CANCEL_REQUESTED,
    claim::UNBEGUN,
    dialect::{Dialect, Kind},
    future::NEXT_INSTANTS,
    identity::ROW,
    maintenance::{ends_before, in_force, nothing_halts},
    pause::NOT_ALL_PAUSED,
    row_decoding::instant,
    rows::Rows,
    unknown::IS_ASIDE,
};
use sexton_client::store::schedules::IN_DATABASE;

use crate::domain::{
    identity::{DatabaseId, NodeId, QueueName},
    task::names::TaskNames,
};

/// The result of [`Store::peek`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// Queues with available tasks that are not paused.
    pub queues: Vec<QueueName>,
    /// Queues whose first available task has an unknown name.
    pub unknown: Vec<QueueName>,
    /// Whether tasks without a queue wait for one.
    pub without_queue: bool,
    /// Whether tasks are due for promotion, or have expired.
    pub due: bool,
    /// When the next task is due, and when the next one expires.
    pub next: NextInstants,
    /// Whether events were sent that no node has looked at.
    pub events: bool,
    /// How often schedules of the database were changed, as a text that differs after each change. None if the database does
    /// not count that.
    pub schedules: Option<String>,
    /// The maintenance that is in force.
    pub maintenance: Option<MaintenanceSeen>,
    /// What else there is to do, if that was asked.
    pub outlook: NodeOutlook,
}

/// What tells one maintenance from another; of several, the one that ends last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceSeen {
    /// When it ends by itself; none if it does not.
    pub ends_at: Option<DateTime<Utc>>,
    /// The reason that was given.
    pub reason: Option<String>,
}

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
}

impl NodeOutlook {
    /// The time until the next lease of another node ends, `age` after the database said it: `Some(None)` if there is no other
    /// node. None if the database did not say.
    pub fn until_expiry(&self, age: Duration) -> Option<Option<Duration>> {
        let at = self.at?;
        let until = |expiry: DateTime<Utc>| (expiry - at).to_std().unwrap_or_default().saturating_sub(age);
        Some(self.next_expiry.map(until))
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

const QUEUE_COLUMN: [(&str, Kind); 1] = [("name", Kind::Text)];
/// The condition that a queue is not paused.
const NOT_PAUSED: &str = "NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = d.name AND q.paused)";

/// Whether a task fulfils a condition. The order makes the planner use an index. By its estimates it would read the table
/// from the beginning, where a busy queue has only dead rows.
fn some(condition: &str, order: &str) -> String {
    format!("(SELECT t.id FROM sexton_task t WHERE {condition} ORDER BY {order} LIMIT 1) IS NOT NULL")
}

impl Store {
    /// Whether there is anything to do in these queues.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn peek(&self, queues: &[QueueName]) -> Result<Peek, StoreError> {
        self.timed(Operation::Peek, self.peek_where(None, queues, None)).await
    }

    /// As [`Store::peek`], for a node that claims tasks of `known` names only.
    ///
    /// # Errors
    /// As [`Store::peek`].
    pub async fn peek_known(&self, known: &TaskNames, queues: &[QueueName]) -> Result<Peek, StoreError> {
        self.timed(Operation::Peek, self.peek_where(Some(known), queues, None)).await
    }

    /// As [`Store::peek_known`], and what else there is to do, in the same statement.
    ///
    /// # Errors
    /// As [`Store::peek`].
    pub async fn peek_and_look(
        &self,
        known: &TaskNames,
        queues: &[QueueName],
        of: OutlookOf<'_>,
    ) -> Result<Peek, StoreError> {
        self.timed(Operation::Peek, self.peek_where(Some(known), queues, Some(of))).await
    }

    /// Whether [`Store::peek_and_look`] says that the database has schedules of its own.
    pub fn notices_schedules(&self) -> bool {
        self.dialect == Dialect::MySql
    }

    /// The next task of each queue is read by its name. Where tasks end fast, the way to it leads past many dead rows: so
    /// the database goes there once, and searches behind it only if this node does not know the name.
    async fn peek_where(
        &self,
        known: Option<&TaskNames>,
        queues: &[QueueName],
        of: Option<OutlookOf<'_>>,
    ) -> Result<Peek, StoreError> {
        let now = self.dialect.now();
        let flag = |what: &str, condition: &str| {
            format!(" UNION ALL SELECT {what}, NULL, NULL, NULL, NULL FROM (SELECT 1 AS x) one WHERE {condition}")
        };
        let due = some(&format!("t.state IN ('scheduled', 'retryable') AND t.run_at <= {now}"), "t.run_at");
        let expired = some(&format!("t.expires_at <= {now} AND {UNBEGUN}"), "t.expires_at");
        let mut sql = format!(
            "SELECT 'next' AS what, NULL AS name, NULL AS next, i.run_at, i.expires_at FROM ({NEXT_INSTANTS}) i \
             UNION ALL SELECT CASE WHEN {NOT_PAUSED} AND {halts} THEN 'queue' ELSE 'paused' END, d.name, \
             (SELECT t.name FROM sexton_task t WHERE t.queue = d.name AND t.state = 'available' \
             ORDER BY t.priority, t.id LIMIT 1), NULL, NULL FROM {} \
             UNION ALL SELECT 'maintenance', m.reason, NULL, m.ends_at, NULL FROM sexton_maintenance m WHERE {}",
            self.dialect.rows("d", &QUEUE_COLUMN),
            in_force(self.dialect),
            halts = nothing_halts(self.dialect),
        );
        sql += &flag("'without_queue'", &some("t.queue IS NULL AND t.state = 'available'", "t.priority, t.id"));
        sql += &flag("'due'", &format!("{due} OR {expired}"));
        sql += &flag("'cancel'", &some(CANCEL_REQUESTED, "t.cancel_requested_at"));
        sql += &flag("'followers'", &some("t.state = 'waiting'", "t.run_at"));
        sql += &flag(
            "'event'",
            "(SELECT e.id FROM sexton_event e WHERE e.state = 'new' ORDER BY e.id LIMIT 1) IS NOT NULL",
        );
        if self.dialect == Dialect::Sqlite {
            sql += " UNION ALL SELECT 'changes', CAST(position AS text), NULL, NULL, NULL FROM sexton_bookmark WHERE name = 'schedules'";
        }
        let mut values = vec![self.queue_rows(queues)];
        if let Some(OutlookOf { node, set_aside }) = of {
            // In the order of an index that has only these tasks, or begins with their state.
            let (by_queue, by_node) = match self.dialect {
                Dialect::MySql => ("t.run_at", "t.run_at"),
                Dialect::Postgres | Dialect::Sqlite => ("t.queue, t.priority, t.id", "t.node"),
            };
            sql += &format!(
                " UNION ALL SELECT 'others', NULL, NULL, (SELECT MIN(lease_expires_at) FROM sexton_node WHERE id <> ?), \
                 {now} FROM (SELECT 1 AS x) one"
            );
            let waits = "SELECT w.event_id FROM sexton_event_trigger w WHERE w.fate = 'waiting'";
            sql += &flag("'waiting_event'", &format!("({waits} ORDER BY w.event_id LIMIT 1) IS NOT NULL"));
            sql += &flag("'all_paused'", &format!("NOT ({NOT_ALL_PAUSED})"));
            sql += &flag("'waiting'", &some("t.state = 'available'", by_queue));
            sql += &flag("'foreign'", &some("t.state = 'running' AND (t.node IS NULL OR t.node <> ?)", by_node));
            let published =
                "SELECT 1 FROM sexton_node n WHERE n.id = ? AND n.defines IS NOT NULL AND n.queues IS NOT NULL";
            sql += &flag("'unpublished'", &format!("NOT EXISTS ({published})"));
            sql += &flag("'own'", &some("t.state = 'running' AND t.node = ?", by_node));
            sql += &format!(
                " UNION ALL SELECT 'database', uuid, NULL, NULL, NULL FROM sexton_database WHERE id = {ROW} \
                 UNION ALL SELECT 'step', MAX(version), NULL, NULL, NULL FROM sexton_migration"
            );
            if self.dialect == Dialect::MySql {
                let there = format!("EXISTS (SELECT 1 FROM sexton_schedule s WHERE {IN_DATABASE})");
                sql += &flag("'schedules'", &there);
            }
            values.extend([node.as_str(); 4].map(Value::from));
            if set_aside {
                sql += &flag("'set_aside'", &format!("EXISTS (SELECT 1 FROM sexton_task WHERE {IS_ASIDE})"));
            }
        }
        let mut seen = Peek::default();
        let mut behind: Vec<QueueName> = Vec::new();
        seen.outlook.has_set_aside = of.is_some_and(|of| of.set_aside).then_some(false);
        for row in self.all(&self.db, &sql, values).await? {
            let what: String = row.try_get("", "what")?;
            match what.as_str() {
                "queue" | "paused" => {
                    let Some(next) = row.try_get::<Option<String>>("", "next")? else { continue };
                    let queue: QueueName = row.try_get::<String>("", "name")?.into();
                    let is_known = known.is_none_or(|known| known.contains(&next));
                    match (is_known, what == "queue") {
                        (true, true) => seen.queues.push(queue.clone()),
                        (false, true) => behind.push(queue.clone()),
                        (_, false) => {}
                    }
                    if !is_known {
                        seen.unknown.push(queue);
                    }
                }
                "next" => {
                    // What is beyond the calendar is on hold.
                    let at = |column| instant(&row, column).ok().flatten();
                    (seen.next.due, seen.next.expiry) = (at("run_at"), at("expires_at"));
                }
                "without_queue" => seen.without_queue = true,
                "due" => seen.due = true,
                "event" => seen.events = true,
                "waiting_event" => seen.outlook.has_waiting_events = true,
                "cancel" => seen.next.is_cancel_requested = true,
                "followers" => seen.next.has_followers = true,
                "others" => {
                    seen.outlook.next_expiry = instant(&row, "run_at").ok().flatten();
                    seen.outlook.at = instant(&row, "expires_at").ok().flatten();
                }
                "maintenance" => {
                    let found = MaintenanceSeen {
                        ends_at: instant(&row, "run_at").ok().flatten(),
                        reason: row.try_get("", "name")?,
                    };
                    let is_later = |known: &MaintenanceSeen| ends_before(known.ends_at, found.ends_at);
                    if seen.maintenance.as_ref().is_none_or(is_later) {
                        seen.maintenance = Some(found);
                    }
                }
                "changes" => seen.schedules = row.try_get("", "name")?,
                "schedules" => seen.outlook.has_schedules = true,
                "all_paused" => seen.outlook.is_paused = true,
                "waiting" => seen.outlook.has_waiting = true,
                "foreign" => seen.outlook.has_foreign = true,
                "own" => seen.outlook.has_own = true,
                "unpublished" => seen.outlook.is_unpublished = true,
                "database" => {
                    seen.outlook.database = row.try_get::<Option<String>>("", "name")?.map(DatabaseId::from);
                }
                "step" => seen.outlook.newest_step = row.try_get("", "name")?,
                _ => seen.outlook.has_set_aside = Some(true),
            }
        }
        if let Some(known) = known.filter(|_| !behind.is_empty()) {
            seen.queues.extend(self.with_known_tasks(known, &behind).await?);
        }
        Ok(seen)
    }

    /// Those of the queues that have an available task of a known name.
    async fn with_known_tasks(&self, known: &TaskNames, queues: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        let (is_known, value) = self.known_filter("t.name", Some(known));
        let condition = format!("t.state = 'available' AND t.queue = d.name{is_known}");
        let rows = self.dialect.rows("d", &QUEUE_COLUMN);
        let sql = format!("SELECT d.name FROM {rows} WHERE {}", some(&condition, "t.priority, t.id"));
        let values: Vec<Value> = std::iter::once(self.queue_rows(queues)).chain(value).collect();
        let rows = self.all(&self.db, &sql, values).await?;
        rows.iter().map(|row| Ok(row.try_get::<String>("", "name")?.into())).collect()
    }

    fn queue_rows(&self, queues: &[QueueName]) -> Value {
        let mut rows = Rows::new(self.dialect);
        for queue in queues {
            rows.push(|row| {
                row.set("name", queue.as_str());
            });
        }
        rows.into_value()
    }
}
