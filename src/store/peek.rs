//! The peek: whether there is anything to do. It costs less than a claim that finds nothing.

use sea_orm::Value;

use super::{
    Store, StoreError, cancel::CANCEL_REQUESTED, claim::UNBEGUN, dialect::Kind, pause::NOT_ALL_PAUSED, rows::Rows,
};
use crate::domain::{identity::QueueName, task::names::TaskNames};

/// The result of [`Store::peek`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// Queues with available tasks that are not paused.
    pub queues: Vec<QueueName>,
    /// Queues whose first available task has an unknown name.
    pub unknown: Vec<QueueName>,
    /// Whether tasks without a queue wait for one.
    pub without_queue: bool,
    /// Whether tasks are due for promotion, have expired, or are to be cancelled.
    pub due: bool,
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
        self.peek_where(None, queues).await
    }

    /// As [`Store::peek`], for a node that claims tasks of `known` names only.
    ///
    /// # Errors
    /// As [`Store::peek`].
    pub async fn peek_known(&self, known: &TaskNames, queues: &[QueueName]) -> Result<Peek, StoreError> {
        self.peek_where(Some(known), queues).await
    }

    /// The next task of each queue is read by its name. Where tasks end fast, the way to it leads past many dead rows: so
    /// the database goes there once, and searches behind it only if this node does not know the name.
    async fn peek_where(&self, known: Option<&TaskNames>, queues: &[QueueName]) -> Result<Peek, StoreError> {
        let sql = format!(
            "SELECT CASE WHEN {NOT_PAUSED} AND {NOT_ALL_PAUSED} THEN 'queue' ELSE 'paused' END AS what, d.name, \
             (SELECT t.name FROM sexton_task t WHERE t.queue = d.name AND t.state = 'available' \
             ORDER BY t.priority, t.id LIMIT 1) AS next FROM {} \
             UNION ALL SELECT 'without_queue', NULL, NULL FROM (SELECT 1 AS x) one WHERE {} \
             UNION ALL SELECT 'due', NULL, NULL FROM (SELECT 1 AS x) one WHERE {} OR {} OR {}",
            self.dialect.rows("d", &QUEUE_COLUMN),
            some("t.queue IS NULL AND t.state = 'available'", "t.priority, t.id"),
            some(&format!("t.state IN ('scheduled', 'retryable') AND t.run_at <= {}", self.dialect.now()), "t.run_at"),
            some(&format!("t.expires_at <= {} AND {UNBEGUN}", self.dialect.now()), "t.expires_at"),
            some(CANCEL_REQUESTED, "t.cancel_requested_at"),
        );
        let mut seen = Peek::default();
        let mut behind: Vec<QueueName> = Vec::new();
        for row in self.all(&self.db, &sql, [self.queue_rows(queues)]).await? {
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
                "without_queue" => seen.without_queue = true,
                _ => seen.due = true,
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
