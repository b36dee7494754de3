//! The peek: whether there is anything to do. It costs less than a claim that finds nothing. From time to time it also
//! answers what other modules of an idle node would ask one by one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::Value;

use super::{
    NextInstants, Operation, Store, StoreError,
    cancel::CANCEL_REQUESTED,
    claim::UNBEGUN,
    claim_position::{QUEUE_RANGE_COLUMNS, in_range, set_range},
    dialect::{Dialect, Kind},
    future::NEXT_INSTANTS,
    maintenance::{ends_before, in_force, nothing_halts},
    outlook::{NodeOutlook, OutlookOf, flag, outlook_of, some},
    row_decoding::instant,
    rows::{QUEUE_COLUMN, Rows},
};
use crate::domain::{
    identity::QueueName,
    task::{claim_position::ClaimPosition, names::TaskNames},
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

/// What a peek searches.
#[derive(Clone, Copy)]
struct Search<'a> {
    known: Option<&'a TaskNames>,
    queues: &'a [QueueName],
    /// Where each queue begins; without them, at its front.
    positions: Option<&'a HashMap<QueueName, ClaimPosition>>,
}

/// The condition that a queue is not paused.
const NOT_PAUSED: &str = "NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = d.name AND q.paused)";

impl Store {
    /// Whether there is anything to do in these queues.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn peek(&self, queues: &[QueueName]) -> Result<Peek, StoreError> {
        self.timed(Operation::Peek, self.peek_where(Search { known: None, queues, positions: None }, None)).await
    }

    /// As [`Store::peek`], for a node that claims tasks of `known` names only.
    ///
    /// # Errors
    /// As [`Store::peek`].
    pub async fn peek_known(&self, known: &TaskNames, queues: &[QueueName]) -> Result<Peek, StoreError> {
        self.timed(Operation::Peek, self.peek_where(Search { known: Some(known), queues, positions: None }, None)).await
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
        self.timed(Operation::Peek, self.peek_where(Search { known: Some(known), queues, positions: None }, Some(of)))
            .await
    }

    /// As [`Store::peek_known`], of tasks behind the positions of the queues.
    ///
    /// # Errors
    /// As [`Store::peek`].
    pub async fn peek_behind(
        &self,
        positions: &HashMap<QueueName, ClaimPosition>,
        known: &TaskNames,
        queues: &[QueueName],
    ) -> Result<Peek, StoreError> {
        let search = Search { known: Some(known), queues, positions: Some(positions).filter(|_| self.claims_behind()) };
        self.timed(Operation::Peek, self.peek_where(search, None)).await
    }

    /// Whether [`Store::peek_and_look`] says that the database has schedules of its own.
    pub fn notices_schedules(&self) -> bool {
        self.dialect == Dialect::MySql
    }

    /// The next task of each queue is read by its name. Where tasks end fast, the way to it leads past many dead rows: so
    /// the database goes there once, and searches behind it only if this node does not know the name.
    async fn peek_where(
        &self,
        Search { known, queues, positions }: Search<'_>,
        of: Option<OutlookOf<'_>>,
    ) -> Result<Peek, StoreError> {
        let now = self.dialect.now();
        let due = some(&format!("t.state IN ('scheduled', 'retryable') AND t.run_at <= {now}"), "t.run_at");
        let expired = some(&format!("t.expires_at <= {now} AND {UNBEGUN}"), "t.expires_at");
        let (behind, rows) = self.searched(queues, positions);
        let next = format!(
            "(SELECT t.name FROM sexton_task t WHERE t.queue = d.name AND t.state = 'available' {behind} \
             ORDER BY t.priority, t.id LIMIT 1)"
        );
        let mut searched = self.dialect.rows("d", range_columns(positions.is_some()));
        let next = match self.dialect {
            // Of a thousand queues that are empty there is not a single row.
            Dialect::Postgres => {
                searched += &format!(", LATERAL {next} n");
                "n.name"
            }
            Dialect::MySql | Dialect::Sqlite => &next,
        };
        let mut sql = format!(
            "SELECT 'next' AS what, NULL AS name, NULL AS next, i.run_at, i.expires_at FROM ({NEXT_INSTANTS}) i \
             UNION ALL SELECT CASE WHEN {NOT_PAUSED} AND {halts} THEN 'queue' ELSE 'paused' END, d.name, {next}, NULL, NULL \
             FROM {searched} \
             UNION ALL SELECT 'maintenance', m.reason, NULL, m.ends_at, NULL FROM sexton_maintenance m WHERE {}",
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
        let mut values = vec![rows];
        if let Some(of) = of {
            let (more, nodes) = outlook_of(self.dialect, of);
            sql += &more;
            values.extend(nodes);
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
                    // A queue has several parts behind its position; the first of them tells of it.
                    if seen.queues.last() == Some(&queue) || seen.unknown.last() == Some(&queue) {
                        continue;
                    }
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
                "cancel" => seen.next.is_cancel_requested = true,
                "followers" => seen.next.has_followers = true,
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
                _ => seen.outlook.read(&what, &row)?,
            }
        }
        if let Some(known) = known.filter(|_| !behind.is_empty()) {
            seen.queues.extend(self.with_known_tasks(known, &behind, positions).await?);
        }
        Ok(seen)
    }

    /// Those of the queues that have an available task of a known name.
    async fn with_known_tasks(
        &self,
        known: &TaskNames,
        queues: &[QueueName],
        positions: Option<&HashMap<QueueName, ClaimPosition>>,
    ) -> Result<Vec<QueueName>, StoreError> {
        let (is_known, value) = self.known_filter("t.name", Some(known));
        let (behind, rows) = self.searched(queues, positions);
        let condition = format!("t.state = 'available' AND t.queue = d.name {behind}{is_known}");
        let columns = range_columns(positions.is_some());
        let sql = format!(
            "SELECT DISTINCT d.name FROM {} WHERE {}",
            self.dialect.rows("d", columns),
            some(&condition, "t.priority, t.id")
        );
        let values: Vec<Value> = std::iter::once(rows).chain(value).collect();
        let rows = self.all(&self.db, &sql, values).await?;
        rows.iter().map(|row| Ok(row.try_get::<String>("", "name")?.into())).collect()
    }

    /// The further condition of a search of these queues, and their rows.
    fn searched(&self, queues: &[QueueName], positions: Option<&HashMap<QueueName, ClaimPosition>>) -> (String, Value) {
        match positions {
            Some(positions) => (format!("AND {}", in_range("t.", "d")), self.range_rows(queues, positions)),
            None => (String::new(), self.queue_rows(queues)),
        }
    }

    fn range_rows(&self, queues: &[QueueName], positions: &HashMap<QueueName, ClaimPosition>) -> Value {
        let start = ClaimPosition::default();
        let mut rows = Rows::new(self.dialect);
        for queue in queues {
            for range in positions.get(queue).unwrap_or(&start).ranges() {
                rows.push(|row| {
                    row.set("name", queue.as_str());
                    set_range(row, range);
                });
            }
        }
        rows.into_value()
    }
}

/// The columns of the rows of queues, with or without positions.
fn range_columns(has_positions: bool) -> &'static [(&'static str, Kind)] {
    if has_positions { &QUEUE_RANGE_COLUMNS } else { &QUEUE_COLUMN }
}
