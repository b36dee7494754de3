//! The enqueue: one statement for any number of tasks, and the task that it leads to.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, Iterable as _, QueryFilter, QuerySelect, QueryTrait as _,
    Select, sea_query::Expr,
};
use sexton_entities::task;

use super::{
    Operation, StoreError, TaskStore,
    dialect::{Dialect, Kind},
    rows::Rows,
    wakeup::Wakeup,
};
use crate::domain::{expiry, new_task::NewTask, trace};

/// The result of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// A new task, with its number.
    New(i64),
    /// An unfinished task has the unique key already; its number.
    AlreadyThere(i64),
}

impl Enqueued {
    /// The number of the task: of the new one, or of the one that has the unique key.
    pub fn id(self) -> i64 {
        match self {
            Self::New(id) | Self::AlreadyThere(id) => id,
        }
    }
}

const NEW_TASK_COLUMNS: [(&str, Kind); 14] = [
    ("name", Kind::Text),
    ("queue", Kind::Text),
    ("priority", Kind::Integer),
    ("payload", Kind::Text),
    ("run_at", Kind::Instant),
    ("delay_ms", Kind::Integer),
    ("unique_key", Kind::Text),
    ("max_attempts", Kind::Integer),
    ("expires_at", Kind::Instant),
    ("expires_ms", Kind::Integer),
    ("traceparent", Kind::Text),
    ("tracestate", Kind::Text),
    ("group_name", Kind::Text),
    ("waits", Kind::Integer),
];

impl TaskStore {
    /// Enqueues one task, on any connection or transaction of this database. One that waits for others needs a
    /// transaction, because it is several rows.
    ///
    /// # Errors
    /// If the task is invalid, or the database is unavailable: then nothing was enqueued.
    pub async fn enqueue<C: ConnectionTrait>(&self, connection: &C, new: &NewTask) -> Result<Enqueued, StoreError> {
        if new.waits() {
            self.check_predecessors(connection, new).await?;
        }
        match self.timed(Operation::Enqueue, self.insert_task(connection, new)).await? {
            Some(id) => Ok(Enqueued::New(id)),
            None => self.enqueue_again(connection, new).await,
        }
    }

    /// Enqueues one task that waits for no other, and wakes the other processes by the same statement (see
    /// [`super::wakeup`]). Returns whether they were woken.
    ///
    /// # Errors
    /// As [`TaskStore::enqueue`].
    pub async fn enqueue_and_wake(&self, new: &NewTask, wakeup: Wakeup) -> Result<(Enqueued, bool), StoreError> {
        self.check(new)?;
        let insert = self.insert_tasks_sql(std::slice::from_ref(new));
        let sql =
            format!("WITH new AS ({insert} RETURNING id) SELECT id, CAST(pg_notify(?, ?) AS text) AS done FROM new");
        let values = [self.task_rows([new]), self.channel().into(), wakeup.word().into()];
        let inserting = self.db.query_one_raw(self.statement(&sql, values));
        match self.timed(Operation::Enqueue, inserting).await.map_err(StoreError::from) {
            Ok(Some(row)) => Ok((Enqueued::New(row.try_get("", "id")?), true)),
            Ok(None) => Ok((self.enqueue_again(&self.db, new).await?, false)),
            // It may have refused the message only: the role may not send any, or too many were not received. And a proxy may
            // have sent this statement to a standby.
            Err(StoreError::Refused(_) | StoreError::ReadOnly(_)) => Ok((self.enqueue(&self.db, new).await?, false)),
            Err(error) => Err(error),
        }
    }

    /// Finds the task that has the unique key, or enqueues the new one if that task has just ended.
    async fn enqueue_again<C: ConnectionTrait>(&self, connection: &C, new: &NewTask) -> Result<Enqueued, StoreError> {
        let key = new.unique_key.clone().unwrap_or_default();
        let holder = task::Entity::find().select_only().column(task::Column::Id);
        let holder = holder.filter(task::Column::UniqueKey.eq(key)).into_tuple::<i64>().one(connection).await?;
        match holder {
            Some(holder) => Ok(Enqueued::AlreadyThere(holder)),
            // That task ended between the two statements, so the key is free again.
            None => match self.insert_task(connection, new).await? {
                Some(id) => Ok(Enqueued::New(id)),
                None => Err(StoreError::Conflict("the unique key is taken and freed again and again".to_owned())),
            },
        }
    }

    /// Enqueues many tasks with one statement, and those that wait for others one by one, in a transaction. Returns the number of new ones; the unique keys of the others were
    /// taken.
    ///
    /// # Errors
    /// As [`TaskStore::enqueue`]: all tasks are enqueued, or none.
    pub async fn enqueue_all<C: ConnectionTrait>(&self, connection: &C, tasks: &[NewTask]) -> Result<u64, StoreError> {
        for new in tasks {
            self.check(new)?;
        }
        let sql = self.insert_tasks_sql(tasks);
        let (waiting, plain): (Vec<&NewTask>, Vec<&NewTask>) = tasks.iter().partition(|new| new.waits());
        if waiting.is_empty() {
            return self.timed(Operation::Enqueue, self.run(connection, &sql, [self.task_rows(plain)])).await;
        }
        let mut count = 0;
        if !plain.is_empty() {
            count += self.timed(Operation::Enqueue, self.run(connection, &sql, [self.task_rows(plain)])).await?;
        }
        // After the others: they may wait for a group of this very call.
        for new in waiting {
            count += u64::from(matches!(self.enqueue(connection, new).await?, Enqueued::New(_)));
        }
        Ok(count)
    }

    /// Checks that a connection of the application leads to the same kind of database.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_database<C: ConnectionTrait>(&self, connection: &C) -> Result<(), StoreError> {
        let (client, transaction) = (self.backend(), connection.get_database_backend());
        match client == transaction {
            true => Ok(()),
            false => {
                let name = |backend: DbBackend| backend.as_str().to_lowercase();
                Err(StoreError::OtherDatabase { client: name(client), transaction: name(transaction) })
            }
        }
    }

    async fn insert_task<C: ConnectionTrait>(&self, connection: &C, new: &NewTask) -> Result<Option<i64>, StoreError> {
        self.check(new)?;
        let sql = self.insert_tasks_sql(std::slice::from_ref(new));
        let id = self.insert_one(connection, &sql, self.task_rows([new])).await?;
        if let Some(id) = id.filter(|_| new.waits()) {
            self.add_dependencies(connection, id, new).await?;
        }
        Ok(id)
    }

    /// Inserts one row by a statement with one parameter. Returns its number; none if its unique key is taken.
    pub(super) async fn insert_one<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        rows: sea_orm::Value,
    ) -> Result<Option<i64>, StoreError> {
        if self.dialect == Dialect::MySql {
            let result = connection.execute_raw(self.statement(sql, [rows])).await?;
            return Ok((result.rows_affected() > 0).then(|| result.last_insert_id() as i64));
        }
        let row = connection.query_one_raw(self.statement(&format!("{sql} RETURNING id"), [rows])).await?;
        Ok(row.map(|row| row.try_get("", "id")).transpose()?)
    }

    fn check(&self, new: &NewTask) -> Result<(), StoreError> {
        new.check()?;
        Ok(new.check_size(self.max_payload())?)
    }

    /// The statement for tasks of which none has a group names only columns that applications have had the right to write.
    fn insert_tasks_sql(&self, tasks: &[NewTask]) -> String {
        let (group, of_group) = match tasks.iter().any(|new| new.group.is_some()) {
            true => (", group_name", ", d.group_name"),
            false => ("", ""),
        };
        let now = self.dialect.now();
        let run_at = format!(
            "COALESCE(d.run_at, CASE WHEN d.delay_ms IS NULL THEN {now} ELSE {} END)",
            self.dialect.now_plus_millis("d.delay_ms")
        );
        let select = format!(
            "SELECT d.name, d.queue, CASE WHEN d.waits = 1 THEN 'waiting' WHEN {run_at} > {now} THEN 'scheduled' \
             ELSE 'available' END, \
             COALESCE(d.priority, 0), {}, {run_at}, d.unique_key, d.max_attempts, COALESCE(d.expires_at, {}), \
             d.traceparent, d.tracestate{of_group} FROM {}",
            self.dialect.json("d.payload"),
            self.dialect.now_plus_millis("d.expires_ms"),
            self.dialect.rows("d", &NEW_TASK_COLUMNS),
        );
        let head = format!(
            "sexton_task (name, queue, state, priority, payload, run_at, unique_key, max_attempts, expires_at, traceparent, \
             tracestate{group})"
        );
        self.dialect.insert_new(&head, &select)
    }

    fn task_rows<'a>(&self, tasks: impl IntoIterator<Item = &'a NewTask>) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for new in tasks {
            let (expires_at, expires_after) = expiry::of_new(new);
            rows.push(|row| {
                row.set("name", new.name.clone())
                    .set("queue", new.queue.as_deref())
                    .set("priority", new.priority)
                    .json("payload", new.payload.as_ref())
                    .at("run_at", new.run_at)
                    .set("delay_ms", new.delay.map(|delay| delay.as_millis() as u64))
                    .set("unique_key", new.unique_key.clone())
                    .set("max_attempts", new.max_attempts)
                    .at("expires_at", expires_at)
                    .set("expires_ms", expires_after.map(|after| after.as_millis() as u64))
                    .set("traceparent", new.traceparent.as_deref().and_then(trace::kept_traceparent))
                    .set("tracestate", new.tracestate.as_deref().and_then(trace::kept_tracestate))
                    .set("group_name", new.group.as_deref())
                    .set("waits", new.waits().then_some(1));
            });
        }
        rows.into_value()
    }

    /// Returns an unfinished task.
    ///
    /// # Errors
    /// If the task cannot be read, or the database is unavailable or refuses the statement.
    pub async fn task(&self, id: i64) -> Result<Option<task::Model>, StoreError> {
        let query = self.unfinished().filter(task::Column::Id.eq(id));
        self.readable_one(query.build(self.backend()), &format!("task {id}")).await
    }

    /// A query of unfinished tasks. An instant far beyond the calendar puts a task on hold, and can be read.
    pub fn unfinished(&self) -> Select<task::Entity> {
        let others = task::Column::iter().filter(|column| !matches!(column, task::Column::RunAt));
        let run_at = self.dialect.readable_instant("run_at");
        task::Entity::find().select_only().columns(others).expr_as(Expr::cust(run_at), "run_at")
    }
}
