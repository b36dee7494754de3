//! Tasks that end move into the history where no statement can insert what it deletes: the history is written from the
//! rows of the tasks and the little that is new, and the rows are deleted after that, in one transaction.
//!
//! The payload, which may be large, stays in the database.

use std::collections::HashMap;

use sea_orm::{QueryResult, Value};

use super::{
    Store, StoreError,
    attempt_columns::{ATTEMPT_COLUMNS, name_in_history, set_attempt},
    claim::ID_COLUMN,
    claim_conditions::HELD_COLUMNS,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    finish_result::{HeldTask, is_followed},
    rows::Rows,
};
use crate::domain::{
    task::{FinishedAttempt, claim::Claim},
    text::plural::counted,
};

/// What finds the task of an attempt, and whether its payload is kept.
const TASK_COLUMNS: [(&str, Kind); 3] =
    [("id", Kind::Integer), ("fence", Kind::Integer), ("keeps_payload", Kind::Integer)];
/// The columns of the history that come from the row of the task.
const FROM_TASK: [(&str, &str); 8] = [
    ("task_id", "t.id"),
    ("name", "t.name"),
    ("queue", "t.queue"),
    ("schedule", "t.schedule"),
    ("attempt", "t.attempt"),
    ("payload", "CASE WHEN d.keeps_payload = 1 THEN t.payload END"),
    ("fence", "t.fence"),
    ("group_name", "t.group_name"),
];

impl Store {
    /// Moves the tasks whose claims still hold into the history. Returns these tasks.
    pub(super) async fn move_by_rows(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<HashMap<Claim, HeldTask>, StoreError> {
        let columns: Vec<_> = TASK_COLUMNS.into_iter().chain(ATTEMPT_COLUMNS).collect();
        let new = ATTEMPT_COLUMNS.iter().map(|(name, _)| (name_in_history(name), format!("d.{name}")));
        let old = FROM_TASK.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let (names, values): (Vec<_>, Vec<_>) =
            old.chain(new).map(|(name, value)| (self.dialect.quoted(name), value)).unzip();
        let on = self.claim_holds();
        let insert = format!(
            "INSERT INTO sexton_history ({}) SELECT {} FROM {} JOIN sexton_task t ON {on}",
            names.join(", "),
            values.join(", "),
            self.dialect.rows("d", &columns),
        );
        let rows = rows(self.dialect, finished);
        let (held, written) = match self.dialect {
            Dialect::Sqlite => {
                let followed = is_followed("sexton_history.task_id");
                let sql = format!("{insert} RETURNING task_id AS id, fence, group_name, {followed} AS is_followed");
                let moved = self.all(transaction, &sql, [rows]).await?;
                (tasks(&moved)?, moved.len() as u64)
            }
            Dialect::MySql | Dialect::Postgres => {
                let table = self.dialect.rows_beside_locks("d", &HELD_COLUMNS);
                let followed = is_followed("t.id");
                let lock = format!(
                    "SELECT t.id, t.fence, t.group_name, {followed} AS is_followed \
                     FROM {table} JOIN sexton_task t ON {on} FOR UPDATE"
                );
                let held = tasks(&self.all(transaction, &lock, [rows.clone()]).await?)?;
                if held.is_empty() {
                    return Ok(held);
                }
                (held, self.run(transaction, &insert, [rows]).await?)
            }
        };
        if held.is_empty() {
            return Ok(held);
        }
        let delete =
            self.dialect.delete_joined("sexton_task", "id", &self.dialect.rows("d", &ID_COLUMN), "t.id = d.id");
        let ids = self.ids(held.keys().map(|claim| claim.task_id));
        let deleted = self.run(transaction, &delete, [ids]).await?;
        if written != held.len() as u64 || deleted != written {
            let ended = counted(held.len(), "ended task");
            let why = format!("of {ended}, {written} got a row of the history, and {deleted} were deleted");
            return Err(StoreError::Refused(why));
        }
        Ok(held)
    }
}

fn tasks(rows: &[QueryResult]) -> Result<HashMap<Claim, HeldTask>, StoreError> {
    rows.iter().map(|row| HeldTask::of(row).map(|task| (task.claim, task))).collect()
}

/// The parameter with [`TASK_COLUMNS`] and [`ATTEMPT_COLUMNS`].
fn rows(dialect: Dialect, finished: &[&FinishedAttempt]) -> Value {
    let mut rows = Rows::new(dialect);
    for finished in finished {
        rows.push(|row| {
            row.set("id", finished.claim.task_id)
                .set("fence", finished.claim.fence)
                .set("keeps_payload", i32::from(finished.payload.is_some()));
            set_attempt(row, finished);
        });
    }
    rows.into_value()
}
