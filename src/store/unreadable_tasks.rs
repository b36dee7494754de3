//! Tasks that cannot be read are set aside: discarded on record, with the column that is bad. They are never in the way
//! of the tasks behind them.

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use sexton_entities::{
    json_text::JsonText,
    states::{Outcome, ProblemKind},
};

use super::{
    Store, StoreError,
    connection::DatabaseTransaction,
    dialect::Kind,
    row_decoding::{UnreadableColumn, column, instant},
    rows::Rows,
};
use crate::domain::{
    identity::{NodeId, QueueName},
    problem::{Sighting, fingerprint::fingerprint, one_each},
};

const COLUMNS: [(&str, Kind); 5] = [
    ("id", Kind::Integer),
    ("fence", Kind::Integer),
    ("enqueued_at", Kind::Instant),
    ("error", Kind::Text),
    ("has_payload", Kind::Integer),
];

/// What a problem is of if the name of its task cannot be read.
const UNNAMED: &str = "?";
/// At least this many tasks are tried alone: a claim within limits passes over others.
const MIN_TRIED: usize = 100;

/// A task that cannot be read, or that the database refuses to let run.
#[derive(Clone, Debug)]
pub(super) struct UnreadableTask {
    id: i64,
    /// Its name, as far as it can be read.
    name: Option<String>,
    /// Its fence and the instant of its enqueue, as far as they can be read: its number may be given again.
    fence: Option<i64>,
    enqueued_at: Option<DateTime<Utc>>,
    why: String,
    /// The payload can be read, so that history keeps it.
    has_payload: bool,
}

impl UnreadableTask {
    /// The task in that row.
    ///
    /// # Errors
    /// If not even its number can be read.
    pub(super) fn new(row: &QueryResult, UnreadableColumn(why): UnreadableColumn) -> Result<Self, StoreError> {
        let has_payload = column::<Option<JsonText>>(row, "payload").is_ok();
        Self::because(row, format!("the task cannot be read: {why}"), has_payload)
    }

    fn because(row: &QueryResult, why: String, has_payload: bool) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.try_get("", "id")?,
            name: column(row, "name").ok(),
            fence: column(row, "fence").ok(),
            enqueued_at: instant(row, "enqueued_at").ok().flatten(),
            why,
            has_payload,
        })
    }

    /// The problem that it is an occurrence of: the work was not done, as after a failure.
    fn problem(&self, node: &NodeId, queue: &QueueName) -> Sighting {
        let name = self.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        Sighting {
            outcome: Some(Outcome::Failed),
            fingerprint: fingerprint(&self.why),
            discarded: 1,
            task: self.name.clone(),
            queue: Some(queue.to_string()),
            node: Some(node.to_string()),
            task_id: Some(self.id),
            fence: self.fence,
            ..Sighting::now(ProblemKind::Task, name, &*self.why)
        }
    }
}

impl Store {
    /// Discards tasks that the caller has locked or claimed, on record, and counts their problems. A row of history that is
    /// there already stays.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub(super) async fn set_aside(
        &self,
        transaction: &DatabaseTransaction,
        (node, queue): (&NodeId, &QueueName),
        tasks: &[UnreadableTask],
    ) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for task in tasks {
            rows.push(|row| {
                row.set("id", task.id)
                    .set("fence", task.fence)
                    .at("enqueued_at", task.enqueued_at)
                    .set("error", task.why.clone())
                    .set("has_payload", i64::from(task.has_payload));
            });
        }
        let rows = rows.into_value();
        let table = self.dialect.rows("d", &COLUMNS);
        let on = format!(
            "t.id = d.id AND (d.fence IS NULL OR t.fence = d.fence) AND (d.enqueued_at IS NULL OR {})",
            self.dialect.same_instant("t.enqueued_at", "d.enqueued_at")
        );
        // Only columns that cannot hold what history does not take.
        let insert = self.dialect.insert_new(
            "sexton_history (task_id, name, queue, schedule, finished_at, attempt, outcome, verdict, error, payload, fence, group_name)",
            &format!(
                "SELECT t.id, t.name, t.queue, t.schedule, {}, \
                 CASE WHEN t.attempt BETWEEN 0 AND 2147483647 THEN t.attempt ELSE 0 END, 'failed', 'discarded', d.error, \
                 CASE WHEN d.has_payload = 1 THEN t.payload END, t.fence, t.group_name FROM {table} JOIN sexton_task t ON {on}",
                self.dialect.now()
            ),
        );
        self.run(transaction, &insert, [rows.clone()]).await?;
        self.run(transaction, &self.dialect.delete_joined("sexton_task", "id", &table, &on), [rows]).await?;
        let ended: Vec<i64> = tasks.iter().map(|task| task.id).collect();
        self.settle_followers(transaction, &ended).await?;
        let problems = one_each(tasks.iter().map(|task| task.problem(node, queue)));
        self.count_problems(transaction, &problems).await
    }

    /// Finds the tasks at the head of a queue that the database refuses to mark as running, and discards them. `why` is
    /// its answer to the whole claim, which is logged if no task is found.
    ///
    /// # Errors
    /// If the database is unavailable, or refuses each statement.
    pub(super) async fn set_refused_aside(
        &self,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
        why: &str,
    ) -> Result<(), StoreError> {
        let name = queue.as_str();
        let count = i64::try_from(count.max(MIN_TRIED)).unwrap_or(i64::MAX);
        let values = [name.into(), name.into(), node.as_str().into(), count.into()];
        let lock = format!("SELECT id FROM sexton_task WHERE id = ? {}", self.dialect.for_update());
        let mut refused = Vec::new();
        for row in
            self.all(&self.db, &format!("SELECT id, name, fence, enqueued_at {}", self.candidates("")), values).await?
        {
            let id: i64 = row.try_get("", "id")?;
            let tried = self.with_retries(async || {
                let transaction = self.begin().await?;
                // PostgreSQL answers before it gives the locks of the refused claim back: wait for them.
                self.all(&transaction, &lock, [id.into()]).await?;
                let mut found = self.lock_candidates(&transaction, node, queue, 1, "AND id = ?", [id.into()]).await?;
                self.mark_running(&transaction, node, &mut found.tasks).await?;
                Ok(transaction.rollback().await?)
            });
            match tried.await {
                Err(StoreError::Refused(why)) => {
                    let why = format!("the database refuses to let it run: {why}");
                    let has_payload = self.can_send_payload(id).await?;
                    refused.push(UnreadableTask::because(&row, why, has_payload)?);
                }
                tried => tried?,
            }
        }
        if refused.is_empty() {
            tracing::warn!(%queue, "the database refused a claim, and none of its tasks alone: {why}");
        }
        for task in &refused {
            let alone = std::slice::from_ref(task);
            self.with_retries(async || {
                let transaction = self.begin().await?;
                self.set_aside(&transaction, (node, queue), alone).await?;
                self.commit(transaction).await
            })
            .await?;
            self.note_set_aside(alone);
        }
        Ok(())
    }

    /// Whether the database can send the payload of a task. PostgreSQL has no memory for some.
    async fn can_send_payload(&self, id: i64) -> Result<bool, StoreError> {
        let sql = format!("SELECT {} FROM sexton_task WHERE id = ?", self.dialect.payload_within());
        match self.all(&self.db, &sql, [0_i64.into(), id.into()]).await {
            Ok(_) => Ok(true),
            Err(StoreError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Discards tasks that this node has just claimed. If that fails, they stay claimed, and the rescuer releases them.
    pub(super) async fn set_aside_claimed(&self, node: &NodeId, queue: &QueueName, tasks: &[UnreadableTask]) {
        if tasks.is_empty() {
            return;
        }
        let result = self
            .with_retries(async || {
                let transaction = self.begin().await?;
                self.set_aside(&transaction, (node, queue), tasks).await?;
                self.commit(transaction).await
            })
            .await;
        match result {
            Ok(()) => self.note_set_aside(tasks),
            Err(error) => tracing::warn!("{node} cannot set tasks aside that cannot be read: {error}"),
        }
    }

    /// Notes the tasks in a state that this version does not know. They are left alone: a later version may know it.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn note_unknown_states(&self) -> Result<(), StoreError> {
        let sql = "SELECT id, state FROM sexton_task WHERE state NOT IN ('scheduled', 'available', 'running', 'retryable', 'waiting') \
                   ORDER BY id LIMIT 1000";
        for row in self.all(&self.db, sql, []).await? {
            let (id, state): (i64, String) = (row.try_get("", "id")?, column(&row, "state").unwrap_or_default());
            let what = format_args!("task {id} does not run");
            self.isolated()
                .note(what, format_args!("its state `{state}` is unknown (`sexton task retry {id}` starts it)"));
        }
        Ok(())
    }

    /// Notes what was set aside, for the log and the status.
    pub(super) fn note_set_aside(&self, tasks: &[UnreadableTask]) {
        for task in tasks {
            self.isolated().note(format_args!("task {} is discarded", task.id), &task.why);
        }
    }
}
