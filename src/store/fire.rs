//! Entering instants: the ledger, their tasks, and the tasks of schedules that run after them, in one transaction.

use std::{borrow::Cow, collections::HashSet};

use super::{Firing, Operation, Store, StoreError, connection::DatabaseTransaction, dialect::Kind, rows::Rows};

/// A task of one schedule that waits for the run of another one at the same instant.
const FOLLOWS: [(&str, Kind); 5] = [
    ("position", Kind::Integer),
    ("schedule", Kind::Text),
    ("leader", Kind::Text),
    ("due_at", Kind::Instant),
    ("required", Kind::Text),
];

impl Store {
    /// Enters instants in the ledger and enqueues their tasks, in one transaction. Returns the schedules whose tasks this
    /// call has enqueued. Instants that another node has entered, and schedules without a row, are ignored; so is what
    /// follows a run that there is not.
    ///
    /// # Errors
    /// If the database is not available, refuses a statement, or gave the transaction up too often.
    pub async fn fire(&self, node: &str, firings: &[Firing]) -> Result<Vec<String>, StoreError> {
        let (leading, following): (Vec<Firing>, Vec<Firing>) =
            firings.iter().cloned().partition(|firing| firing.follows.is_none());
        // Without followers, what was given is entered as it is.
        let leading = if following.is_empty() { Cow::Borrowed(firings) } else { Cow::Owned(leading) };
        let entering = self.with_retries(async || {
            let entry = uuid::Uuid::new_v4().simple().to_string();
            let transaction = self.begin().await?;
            let resolved = self.resolve_overlaps(&transaction, &leading).await?;
            let mut fired = self.enter_each(&transaction, node, &entry, &resolved).await?;
            let mut left = following.clone();
            for (before, after) in leading.iter().zip(&*resolved) {
                // An instant of a daemon's start may have moved, and those that follow it move with it.
                for firing in left.iter_mut().filter(|firing| firing.due_at == before.due_at && before.at_start) {
                    firing.due_at = after.due_at;
                }
            }
            loop {
                let led = self.led(&transaction, &left).await?;
                let (mut ready, mut others) = (Vec::new(), Vec::new());
                for (position, firing) in left.into_iter().enumerate() {
                    let group = if led.contains(&(position as i64)) { &mut ready } else { &mut others };
                    group.push(firing);
                }
                if ready.is_empty() {
                    break;
                }
                let resolved = self.resolve_overlaps(&transaction, &ready).await?;
                fired.extend(self.enter_each(&transaction, node, &entry, &resolved).await?);
                self.link(&transaction, &resolved).await?;
                left = others;
            }
            self.commit(transaction).await?;
            Ok(fired)
        });
        self.timed(Operation::Schedule, entering).await
    }

    /// Enters instants, enqueues their tasks, and moves their schedules. Returns the schedules with a task.
    async fn enter_each(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        entry: &str,
        firings: &[Firing],
    ) -> Result<Vec<String>, StoreError> {
        self.enter(transaction, node, entry, firings).await?;
        let fired = self.entered(transaction, entry, firings).await?;
        if !fired.is_empty() {
            self.enqueue_entered(transaction, entry, firings).await?;
        }
        self.record_skipped(transaction, node, entry, firings).await?;
        self.note_missed(transaction, entry, firings).await?;
        self.advance(transaction, firings).await?;
        Ok(fired)
    }

    /// The positions of those that follow a run which is unfinished.
    async fn led(&self, transaction: &DatabaseTransaction, firings: &[Firing]) -> Result<HashSet<i64>, StoreError> {
        if firings.is_empty() {
            return Ok(HashSet::new());
        }
        let sql = format!(
            "SELECT DISTINCT d.position FROM {} JOIN sexton_task p ON p.schedule = d.leader AND p.due_at = d.due_at",
            self.dialect.rows("d", &FOLLOWS)
        );
        let rows = self.all(transaction, &sql, [self.follow_rows(firings)]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "position")?)).collect()
    }

    /// Lets the tasks that were enqueued wait for the runs of their instants. A task that waits already, because another
    /// node has entered its instant after another run, waits for these as well.
    async fn link(&self, transaction: &DatabaseTransaction, firings: &[Firing]) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sexton_task_dependency (task_id, after_id, required) SELECT w.id, p.id, d.required FROM {} \
             JOIN sexton_task w ON w.schedule = d.schedule AND w.due_at = d.due_at AND w.state = 'waiting' \
             JOIN sexton_task p ON p.schedule = d.leader AND p.due_at = d.due_at WHERE NOT EXISTS \
             (SELECT 1 FROM sexton_task_dependency x WHERE x.task_id = w.id AND x.after_id = p.id)",
            self.dialect.rows("d", &FOLLOWS)
        );
        self.run(transaction, &sql, [self.follow_rows(firings)]).await.map(|_| ())
    }

    fn follow_rows(&self, firings: &[Firing]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for (position, firing) in firings.iter().enumerate() {
            for leader in firing.follows.iter().flat_map(|follows| &follows.schedules) {
                let required = firing.follows.as_ref().map(|follows| follows.required.as_str());
                rows.push(|row| {
                    row.set("position", position)
                        .set("schedule", firing.schedule.as_str())
                        .set("leader", leader.as_str())
                        .at("due_at", firing.due_at)
                        .set("required", required);
                });
            }
        }
        rows.into_value()
    }
}
