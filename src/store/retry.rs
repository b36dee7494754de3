//! The retry by hand: tasks that wait become available at once, finished ones are enqueued again.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, Value};
use serde_json::json;
use sexton_client::store::followers::Settled;
use sexton_entities::{
    history,
    states::{AuditAction, AuditTarget, Outcome, TaskState, Verdict},
};

use super::{
    Enqueued, Store, StoreError,
    audit::Deed,
    cancel::LockedTask,
    claim::ID_COLUMN,
    selection::{PORTION, TaskSelection},
};
use crate::domain::{identity::QueueName, task::NewTask};

/// Selects finished tasks by their last row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedSelection {
    /// Only tasks that ended so.
    pub verdict: Verdict,
    /// Only tasks of this definition.
    pub name: Option<String>,
    /// Only tasks that were in this queue.
    pub queue: Option<QueueName>,
    /// Only tasks of this schedule.
    pub schedule: Option<String>,
    /// Only tasks that ended at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Only members of this group that failed: not those that were skipped.
    pub group: Option<String>,
}

impl Store {
    /// Makes a task available at once that waits for its time, or that has an unknown state. Returns false if there is no
    /// such task.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn run_now(&self, id: i64) -> Result<bool, StoreError> {
        Ok(!self.run_all_now(&[id], &TaskSelection::default()).await?.is_empty())
    }

    /// The same for several tasks in one transaction, as far as they are still selected. Returns those that are available
    /// now and were not before.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement: then none is changed.
    pub async fn run_all_now(&self, ids: &[i64], selection: &TaskSelection) -> Result<Vec<i64>, StoreError> {
        let sets = [("state", "'available'"), ("run_at", self.dialect.now())];
        let update =
            self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &ID_COLUMN), "t.id = d.id");
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let mut waiting = self.lock_selected(&transaction, ids, selection).await?;
            waiting.retain(|task| !task.is_running() && task.state != TaskState::Available.as_str());
            let changed: Vec<i64> = waiting.iter().map(|task| task.id).collect();
            if !changed.is_empty() {
                self.run(&transaction, &update, [self.ids(changed.iter().copied())]).await?;
            }
            let deed = |task: &LockedTask| {
                Deed::new(AuditAction::Retry, AuditTarget::Task, task.name.as_str())
                    .of_task(task.id)
                    .from_to(json!({ "state": task.state }), json!({ "state": "available" }))
            };
            self.record_deeds(&transaction, &waiting.iter().map(deed).collect::<Vec<_>>()).await?;
            self.commit(transaction).await?;
            Ok(changed)
        })
        .await
    }

    /// Enqueues a task by hand, and records who did it. The task of the deed is the new one, or the finished one that it
    /// repeats.
    ///
    /// # Errors
    /// As [`Store::enqueue`].
    pub async fn enqueue_by_hand(&self, new: &NewTask, deed: &Deed) -> Result<Enqueued, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let enqueued = self.enqueue(&transaction, new).await?;
            if let Enqueued::New(id) = enqueued {
                let mut deed = deed.clone();
                match deed.task_id {
                    Some(_) => deed.after = Some(json!({ "task": id })),
                    None => deed.task_id = Some(id),
                }
                self.record_deeds(&transaction, &[deed]).await?;
                if new.waits() {
                    // What has ended already counts at once.
                    let ended = self.settle_waiting_tasks(&transaction, &[id], &mut Settled::default()).await?;
                    self.settle_followers(&transaction, &ended).await?;
                }
            }
            self.commit(transaction).await?;
            Ok(enqueued)
        })
        .await
    }

    /// Goes through the finished tasks that are selected now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn finished<'a>(&'a self, selection: &'a FinishedSelection) -> Result<FinishedTasks<'a>, StoreError> {
        let newest = self.one(&self.db, "SELECT MAX(id) AS newest FROM sexton_history", []).await?;
        let newest: Option<i64> = newest.try_get("", "newest")?;
        Ok(FinishedTasks { store: self, selection, after: i64::MIN, newest: newest.unwrap_or(i64::MIN) })
    }

    /// The number of these rows of the history whose tasks somebody has retried already.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn count_retried(&self, rows: &[i64]) -> Result<usize, StoreError> {
        Ok(self.retried_among(&self.db, self.ids(rows.iter().copied())).await?.len())
    }

    /// Rows of the history by their numbers. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn history_rows(&self, ids: &[i64]) -> Result<Vec<history::Model>, StoreError> {
        let query = history::Entity::find().filter(history::Column::Id.is_in(ids.to_vec()));
        let query = query.order_by_asc(history::Column::Id).build(self.backend());
        self.readable(&self.db, query, "sexton_history", "id").await
    }

    /// Enqueues finished tasks again in one transaction: each row of the history with its new task. Returns the number of
    /// new tasks. Tasks that somebody has retried already are left out.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement: then none is enqueued.
    pub async fn retry_finished(&self, tasks: &[(history::Model, NewTask)]) -> Result<u64, StoreError> {
        let ids = |tasks: &[(history::Model, NewTask)]| self.ids(tasks.iter().map(|(row, _)| row.id));
        let lock = format!(
            "SELECT t.id FROM {} JOIN sexton_history t ON t.id = d.id ORDER BY t.id {}",
            self.dialect.rows_beside_locks("d", &ID_COLUMN),
            self.dialect.for_update()
        );
        self.with_retries(async || {
            let transaction = self.begin().await?;
            // Two of these commands at once retry each task once.
            self.all(&transaction, &lock, [ids(tasks)]).await?;
            let retried = self.retried_among(&transaction, ids(tasks)).await?;
            let (mut new, mut deeds) = (Vec::new(), Vec::new());
            for (row, task) in tasks.iter().filter(|(row, _)| !retried.contains(&row.id)) {
                new.push(task.clone());
                let deed = Deed::new(AuditAction::Retry, AuditTarget::Task, row.name.as_str());
                let before = json!({ "verdict": row.verdict });
                deeds.push(Deed { task_id: row.task_id, ..deed }.from_to(before, json!({ "state": "available" })));
            }
            if new.is_empty() {
                return Ok(0);
            }
            let count = self.enqueue_all(&transaction, &new).await?;
            self.record_deeds(&transaction, &deeds).await?;
            self.commit(transaction).await?;
            Ok(count)
        })
        .await
    }

    /// Those rows of the history whose tasks somebody has retried since they ended.
    async fn retried_among<C: sea_orm::ConnectionTrait>(
        &self,
        connection: &C,
        ids: Value,
    ) -> Result<HashSet<i64>, StoreError> {
        let sql = format!(
            "SELECT h.id FROM {} JOIN sexton_history h ON h.id = d.id JOIN sexton_audit a ON a.task_id = h.task_id \
             AND a.action = 'retry' AND a.done_at >= h.finished_at",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let rows = self.all(connection, &sql, [ids]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }
}

/// Goes through finished tasks, in ascending order of their last rows of the history. Tasks that end later are not among
/// them.
#[derive(Debug)]
pub struct FinishedTasks<'a> {
    store: &'a Store,
    selection: &'a FinishedSelection,
    /// The last row that was returned.
    after: i64,
    /// The newest row when it began.
    newest: i64,
}

impl FinishedTasks<'_> {
    /// The numbers of the next rows; empty at the end.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn next(&mut self) -> Result<Vec<i64>, StoreError> {
        use history::Column;
        let FinishedSelection { verdict, name, queue, schedule, since, group } = self.selection;
        let mut query = history::Entity::find().select_only().column(Column::Id).filter(Column::Verdict.eq(*verdict));
        let texts = [
            (Column::Name, name.as_deref()),
            (Column::Queue, queue.as_deref()),
            (Column::Schedule, schedule.as_deref()),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                query = query.filter(column.eq(text));
            }
        }
        if let Some(since) = since {
            query = query.filter(Column::FinishedAt.gte(*since));
        }
        if let Some(group) = group {
            query = query.filter(Column::GroupName.eq(group)).filter(Column::Outcome.ne(Outcome::Skipped));
        }
        let query = query.filter(Column::Id.gt(self.after)).filter(Column::Id.lte(self.newest));
        let query = query.order_by_asc(Column::Id).limit(PORTION as u64);
        let ids: Vec<i64> = query.into_tuple().all(&self.store.db).await?;
        self.after = ids.last().copied().unwrap_or(self.newest);
        Ok(ids)
    }
}
