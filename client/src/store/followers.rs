//! Followers: tasks that wait for others. The transaction that records the end of a task also settles those that wait for
//! it: they are released, end as skipped, or wait on.
//!
//! A waiting task is locked before its predecessors are read, so that of two predecessors which end at once, the second
//! one sees the end of the first.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult};
use serde::Serialize;
use sexton_entities::json_text::JsonText;

use super::{
    StoreError, TaskStore,
    dialect::Kind,
    rows::{ID_COLUMN, Rows},
};
use crate::domain::chain::{Predecessor, Predecessors, Settlement, SkipReason, decide};

/// The verdicts that end a task.
const ENDED: &str = "verdict IN ('completed', 'discarded', 'cancelled')";
/// The most bytes that a task gets about its predecessors: a command has them in a variable of its environment.
const MAX_BYTES: usize = 96 * 1024;
const RELEASED: [(&str, Kind); 2] = [("id", Kind::Integer), ("predecessors", Kind::Text)];
const SKIPPED: [(&str, Kind); 3] = [("id", Kind::Integer), ("code", Kind::Text), ("error", Kind::Text)];

/// What became of tasks that waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// How many were released.
    pub released: usize,
    /// How many ended as skipped.
    pub skipped: usize,
}

/// What a task gets to know of one predecessor.
#[derive(Serialize)]
struct EndedPredecessor {
    id: Option<i64>,
    task: Option<String>,
    group: Option<String>,
    outcome: Option<String>,
    result: Option<JsonText>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_left_out: bool,
}

impl TaskStore {
    /// Settles the tasks that wait for these, which have just ended, and those that wait for what ends thereby.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn settle_followers<C: ConnectionTrait>(
        &self,
        connection: &C,
        ended: &[i64],
    ) -> Result<Settled, StoreError> {
        let mut settled = Settled::default();
        let mut ended = ended.to_vec();
        while !ended.is_empty() {
            let waiting = self.followers(connection, &ended).await?;
            ended = self.settle_waiting_tasks(connection, &waiting, &mut settled).await?;
        }
        Ok(settled)
    }

    /// The waiting tasks that have one of these tasks as a predecessor.
    async fn followers<C: ConnectionTrait>(&self, connection: &C, tasks: &[i64]) -> Result<Vec<i64>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT w.task_id AS id FROM {} JOIN sexton_task_dependency w ON w.after_id = d.id \
             JOIN sexton_task t ON t.id = w.task_id AND t.state = 'waiting'",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let rows = self.all(connection, &sql, [self.ids(tasks.iter().copied())]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Settles these of the waiting tasks. Returns those that have ended thereby.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn settle_waiting_tasks<C: ConnectionTrait>(
        &self,
        connection: &C,
        waiting: &[i64],
        settled: &mut Settled,
    ) -> Result<Vec<i64>, StoreError> {
        let waiting = self.lock_waiting(connection, waiting).await?;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        self.note_ends(connection, &waiting).await?;
        let mut known = self.predecessors_by_kind(connection, &waiting).await?;
        let (mut released, mut skipped) = (Vec::new(), Vec::new());
        for id in waiting {
            match decide(&known.remove(&id).unwrap_or_default()) {
                Settlement::Wait => {}
                Settlement::Release => released.push(id),
                Settlement::Skip(reason) => skipped.push((id, reason)),
            }
        }
        self.release_waiting(connection, &released).await?;
        self.skip_waiting(connection, &skipped).await?;
        settled.released += released.len();
        settled.skipped += skipped.len();
        Ok(skipped.into_iter().map(|(id, _)| id).collect())
    }

    /// Locks those of the tasks that wait, in ascending order.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn lock_waiting<C: ConnectionTrait>(&self, connection: &C, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT t.id FROM {} JOIN sexton_task t ON t.id = d.id WHERE t.state = 'waiting' ORDER BY t.id {}",
            self.dialect.rows_beside_locks("d", &ID_COLUMN),
            self.dialect.for_update(),
        );
        let rows = self.all(connection, &sql, [self.ids(ids.iter().copied())]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Notes in the rows of these tasks which of their predecessors have ended, and how. One statement reads both tables,
    /// so that it sees each predecessor in one of them.
    async fn note_ends<C: ConnectionTrait>(&self, connection: &C, waiting: &[i64]) -> Result<(), StoreError> {
        let of_task = format!(
            "COALESCE((SELECT h.outcome FROM sexton_history h WHERE h.task_id = t.after_id AND h.{ENDED} \
             ORDER BY h.id DESC LIMIT 1), 'gone')"
        );
        let has = |condition: &str| {
            format!("EXISTS (SELECT 1 FROM sexton_history h WHERE h.group_name = t.after_group AND {condition})")
        };
        // A member that was retried by hand counts as its new task. Only nodes and operators settle: they may read the audit.
        let stands = "NOT EXISTS (SELECT 1 FROM sexton_audit a WHERE a.task_id = h.task_id AND a.action = 'retry' \
                      AND a.done_at >= h.finished_at)";
        let of_group = format!(
            "CASE WHEN {} THEN 'failed' WHEN {} THEN 'cancelled' WHEN {} THEN 'succeeded' ELSE 'gone' END",
            has(&format!("h.verdict = 'discarded' AND h.outcome <> 'skipped' AND {stands}")),
            has(&format!("h.verdict IN ('discarded', 'cancelled') AND {stands}")),
            has("h.verdict = 'completed'"),
        );
        let steps = [
            (of_task, "t.after_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sexton_task p WHERE p.id = t.after_id)"),
            (
                of_group,
                "t.after_group IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM sexton_task m WHERE m.group_name = t.after_group AND m.id <> t.task_id)",
            ),
        ];
        let rows = self.dialect.rows("d", &ID_COLUMN);
        for (outcome, has_ended) in steps {
            let on = format!("t.task_id = d.id AND t.outcome IS NULL AND {has_ended}");
            let sets = [("outcome", outcome.as_str())];
            let sql = self.dialect.update_joined("sexton_task_dependency", &sets, &rows, &on);
            self.run(connection, &sql, [self.ids(waiting.iter().copied())]).await?;
        }
        Ok(())
    }

    /// The predecessors of these tasks. Those that are alike are one, however many there are.
    async fn predecessors_by_kind<C: ConnectionTrait>(
        &self,
        connection: &C,
        waiting: &[i64],
    ) -> Result<BTreeMap<i64, Vec<Predecessors>>, StoreError> {
        let sql = format!(
            "SELECT w.task_id, w.required, w.fan_in, w.outcome, MIN(w.after_id) AS after_id, \
             MIN(w.after_group) AS after_group FROM {} JOIN sexton_task_dependency w ON w.task_id = d.id \
             GROUP BY w.task_id, w.required, w.fan_in, w.outcome",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let mut known: BTreeMap<i64, Vec<Predecessors>> = BTreeMap::new();
        for row in self.all(connection, &sql, [self.ids(waiting.iter().copied())]).await? {
            let after = row.try_get::<Option<i64>>("", "after_id")?.map(Predecessor::Task);
            let group = row.try_get::<Option<String>>("", "after_group")?.map(Predecessor::Group);
            known.entry(row.try_get("", "task_id")?).or_default().push(Predecessors {
                required: row.try_get("", "required")?,
                fan_in: row.try_get("", "fan_in")?,
                outcome: row.try_get("", "outcome")?,
                one: after.or(group),
            });
        }
        Ok(known)
    }

    /// Makes these waiting tasks available, or scheduled if their time has not come, and tells them how their predecessors
    /// ended.
    async fn release_waiting<C: ConnectionTrait>(&self, connection: &C, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT w.task_id, w.after_id, w.after_group, w.outcome, h.name, h.result FROM {} \
             JOIN sexton_task_dependency w ON w.task_id = d.id LEFT JOIN sexton_history h ON h.id = \
             (SELECT MAX(x.id) FROM sexton_history x WHERE x.task_id = w.after_id AND x.{ENDED}) \
             WHERE w.outcome IS NOT NULL ORDER BY w.task_id, w.id",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let mut told: BTreeMap<i64, Vec<EndedPredecessor>> = BTreeMap::new();
        for row in self.all(connection, &sql, [self.ids(ids.iter().copied())]).await? {
            told.entry(row.try_get("", "task_id")?).or_default().push(told_of(&row)?);
        }
        let mut rows = Rows::new(self.dialect);
        for (id, told) in told {
            rows.push(|row| {
                row.set("id", id).set("predecessors", within_limit(told));
            });
        }
        let now = self.dialect.now();
        let state = format!("CASE WHEN t.run_at > {now} THEN 'scheduled' ELSE 'available' END");
        let run_at = format!("CASE WHEN t.run_at > {now} THEN t.run_at ELSE {now} END");
        let predecessors = self.dialect.json("d.predecessors");
        // MySQL sets the columns in this order.
        let sets = [("state", state.as_str()), ("run_at", run_at.as_str()), ("predecessors", predecessors.as_str())];
        let table = self.dialect.rows("d", &RELEASED);
        let sql = self.dialect.update_joined("sexton_task", &sets, &table, "t.id = d.id AND t.state = 'waiting'");
        self.run(connection, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// Ends these waiting tasks as skipped, each with its reason.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn skip_waiting<C: ConnectionTrait>(
        &self,
        connection: &C,
        tasks: &[(i64, SkipReason)],
    ) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for (id, reason) in tasks {
            rows.push(|row| {
                row.set("id", *id).set("code", reason.code()).set("error", reason.sentence());
            });
        }
        let rows = rows.into_value();
        let table = self.dialect.rows("d", &SKIPPED);
        let record = format!(
            "INSERT INTO sexton_history (task_id, name, queue, schedule, due_at, enqueued_at, finished_at, attempt, \
             outcome, verdict, reason_code, error, payload, fence, traceparent, group_name) \
             SELECT t.id, t.name, t.queue, t.schedule, t.due_at, t.enqueued_at, {}, t.attempt, 'skipped', 'discarded', \
             d.code, d.error, t.payload, t.fence + 1, t.traceparent, t.group_name \
             FROM {table} JOIN sexton_task t ON t.id = d.id",
            self.dialect.now(),
        );
        self.run(connection, &record, [rows.clone()]).await?;
        let delete = self.dialect.delete_joined("sexton_task", "id", &table, "t.id = d.id");
        self.run(connection, &delete, [rows]).await.map(|_| ())
    }
}

/// What a task gets to know of the predecessor in a row.
fn told_of(row: &QueryResult) -> Result<EndedPredecessor, StoreError> {
    Ok(EndedPredecessor {
        id: row.try_get("", "after_id")?,
        task: row.try_get("", "name")?,
        group: row.try_get("", "after_group")?,
        outcome: row.try_get("", "outcome")?,
        // A result that cannot be read counts as absent.
        result: row.try_get("", "result").unwrap_or_default(),
        result_left_out: false,
    })
}

/// The list as JSON, without the results that would make it too large, and without its end if it still is.
fn within_limit(mut told: Vec<EndedPredecessor>) -> String {
    let mut bytes = 0;
    for each in &mut told {
        bytes += 160 + each.task.as_ref().map_or(0, String::len) + each.group.as_ref().map_or(0, String::len);
        let result = each.result.as_ref().map_or(0, |result| result.get().len());
        match bytes + result <= MAX_BYTES {
            true => bytes += result,
            false => {
                each.result = None;
                each.result_left_out = true;
            }
        }
    }
    let all = |told: &[EndedPredecessor]| serde_json::to_string(told).unwrap_or_else(|_| "[]".to_owned());
    let mut text = all(&told);
    while text.len() > MAX_BYTES {
        told.truncate(told.len() / 2);
        text = all(&told);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: i64, bytes: usize) -> EndedPredecessor {
        let result = serde_json::Value::from("x".repeat(bytes)).into();
        let task = Some("import".to_owned());
        EndedPredecessor {
            id: Some(id),
            task,
            group: None,
            outcome: None,
            result: Some(result),
            result_left_out: false,
        }
    }

    #[test]
    fn what_a_task_is_told_fits_into_a_variable_of_the_environment() {
        let small = within_limit(vec![told(1, 2)]);
        assert_eq!(small, r#"[{"id":1,"task":"import","group":null,"outcome":null,"result":"xx"}]"#);
        let large = within_limit(vec![told(1, 10), told(2, MAX_BYTES), told(3, 20)]);
        assert!(
            large.len() < MAX_BYTES
                && large.contains(
                    r#""id":2,"task":"import","group":null,"outcome":null,"result":null,"result_left_out":true"#
                )
        );
        assert!(large.contains("xxxxxxxxxxxxxxxxxxxx"), "the others have their results");
        let many = within_limit((0..10_000).map(|id| told(id, 100)).collect());
        assert!(many.len() <= MAX_BYTES && many.ends_with("}]"));
    }
}
