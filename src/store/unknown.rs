//! Tasks whose name no node defines. They wait outside the queue, so that they are in nobody's way, and come back as
//! soon as a node defines their name.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::Value;
use serde::{Deserialize, Serialize};
use sexton_entities::states::{Outcome, ProblemKind};

use super::{
    Store, StoreError,
    claim::ID_COLUMN,
    row_decoding::{column, instant},
};
use crate::domain::{
    identity::{NodeId, QueueName},
    problem::{Sighting, fingerprint::fingerprint},
    task::names::{NodeNames, TaskNames},
};

/// How many of a queue's first tasks are searched for unknown names, and are set aside at once.
const PORTION: i64 = 1_000;
/// How many tasks one transaction discards.
const DISCARD_PORTION: i64 = 500;
/// For how long tasks are set aside. After that they are looked at again, also by nodes that do not know of this.
const ASIDE_MILLIS: i64 = 3_600_000;
/// The fence of a task that ends without a claim.
const RAISED_FENCE: &str = "CASE WHEN t.fence < 9223372036854775807 THEN t.fence + 1 ELSE t.fence END";
/// The condition of a task that is set aside.
pub(super) const IS_ASIDE: &str = "state = 'scheduled' AND unknown_since IS NOT NULL";

/// What the statements of [`Store::in_portions`] make of the tasks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Portion<'a> {
    /// They are unfinished still.
    Stays,
    /// They have ended. Each counts as an occurrence of this problem.
    Ends(Option<&'a Sighting>),
}

/// The tasks of one name that wait for a node that defines it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// How many tasks wait.
    pub tasks: i64,
    /// Since when the first of them waits.
    pub since: DateTime<Utc>,
    /// They wait because each node that defines their name disables it.
    #[serde(default)]
    pub disabled: bool,
}

impl Store {
    /// Publishes which tasks a node can execute, and which ones its configuration disables. Returns false if the node is not registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn publish_names(
        &self,
        node: &NodeId,
        names: &TaskNames,
        disabled: &TaskNames,
    ) -> Result<bool, StoreError> {
        let json = self.dialect.json(self.dialect.text_parameter());
        let sql = format!("UPDATE sexton_node SET defines = {json}, disabled = {json} WHERE id = ?");
        let list = |names: &TaskNames| serde_json::Value::from(names.iter().collect::<Vec<_>>()).to_string();
        let values: [Value; 3] = [list(names).into(), list(disabled).into(), node.as_str().into()];
        Ok(self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }

    /// What the live nodes define.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn live_names(&self) -> Result<Vec<NodeNames>, StoreError> {
        let sql = format!(
            "SELECT name, defines, disabled FROM sexton_node WHERE lease_expires_at > {} ORDER BY id",
            self.dialect.now()
        );
        let mut live = Vec::new();
        for row in self.all(&self.db, &sql, []).await? {
            // What cannot be read counts as not published.
            let list = |name: &str| {
                let list: Option<serde_json::Value> = column(&row, name).unwrap_or_default();
                let names = list.and_then(|list| serde_json::from_value::<Vec<String>>(list).ok());
                names.map(TaskNames::from_iter)
            };
            let (names, disabled) = (list("defines"), list("disabled").unwrap_or_default());
            live.push(NodeNames { node: row.try_get("", "name")?, names, disabled });
        }
        Ok(live)
    }

    /// The names among the first available tasks of a queue.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn names_ahead(&self, queue: &QueueName) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT t.name FROM (SELECT name FROM sexton_task WHERE queue = ? AND state = 'available' \
                   ORDER BY priority, id LIMIT ?) t";
        let rows = self.all(&self.db, sql, [queue.as_str().into(), PORTION.into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
    }

    /// Sets the available tasks of these names aside: they are scheduled for later, and marked. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn set_unknown_aside(&self, queue: Option<&QueueName>, names: &TaskNames) -> Result<u64, StoreError> {
        let (of_queue, queue): (_, Option<Value>) = match queue {
            Some(queue) => ("queue = ?", Some(queue.as_str().into())),
            None => ("queue IS NULL", None),
        };
        let now = self.dialect.now();
        let find = format!(
            "SELECT id FROM sexton_task WHERE {of_queue} AND state = 'available' AND {} ORDER BY priority, id LIMIT ? {}",
            self.dialect.is_known("name"),
            self.dialect.for_update(),
        );
        let run_at = self.dialect.now_plus_millis(&ASIDE_MILLIS.to_string());
        let since = format!("COALESCE(t.unknown_since, {now})");
        let sets = [("state", "'scheduled'"), ("run_at", run_at.as_str()), ("unknown_since", since.as_str())];
        let update =
            self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &ID_COLUMN), "t.id = d.id");
        let values: Vec<Value> = queue.into_iter().chain([self.known(names), PORTION.into()]).collect();
        self.in_portions(&find, values, PORTION, &[(&update, None)], Portion::Stays).await
    }

    /// Makes the tasks of these names available again that were set aside. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn take_back(&self, names: &TaskNames) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE sexton_task SET state = 'available', run_at = {}, unknown_since = NULL WHERE {IS_ASIDE} AND {}",
            self.dialect.now(),
            self.dialect.is_known("name")
        );
        let names = self.known(names);
        self.with_retries(async || self.run(&self.db, &sql, [names.clone()]).await).await
    }

    /// The tasks that were set aside, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_aside_names(&self) -> Result<Vec<UnknownName>, StoreError> {
        let sql = format!(
            "SELECT name, COUNT(*) AS tasks, MIN(unknown_since) AS since FROM sexton_task WHERE {IS_ASIDE} \
             GROUP BY name ORDER BY name"
        );
        let rows = self.all(&self.db, &sql, []).await?;
        let read = |row: &sea_orm::QueryResult| {
            Ok(UnknownName {
                name: row.try_get("", "name")?,
                tasks: row.try_get("", "tasks")?,
                // An instant that cannot be read must not hide the tasks.
                since: instant(row, "since").ok().flatten().unwrap_or_default(),
                disabled: false,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The tasks that were set aside, by queue and name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_aside_in_queues(&self) -> Result<BTreeMap<QueueName, Vec<(String, i64)>>, StoreError> {
        let sql = format!(
            "SELECT COALESCE(queue, '') AS queue, name, COUNT(*) AS tasks FROM sexton_task WHERE {IS_ASIDE} \
             GROUP BY queue, name ORDER BY name"
        );
        let mut queues: BTreeMap<QueueName, Vec<(String, i64)>> = BTreeMap::new();
        for row in self.all(&self.db, &sql, []).await? {
            let waits = (row.try_get("", "name")?, row.try_get("", "tasks")?);
            queues.entry(row.try_get::<String>("", "queue")?.into()).or_default().push(waits);
        }
        Ok(queues)
    }

    /// Discards the tasks of that name that were set aside at least `age` ago, with this reason. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn discard_set_aside(&self, name: &str, age: Duration, why: &str) -> Result<u64, StoreError> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX).min(ASIDE_MILLIS * 24 * 36_500);
        let find = format!(
            "SELECT id FROM sexton_task WHERE {IS_ASIDE} AND name = ? AND unknown_since <= {} ORDER BY id LIMIT ? {}",
            self.dialect.now_plus_millis(&format!("-{age}")),
            self.dialect.for_update(),
        );
        let these = self.dialect.rows("d", &ID_COLUMN);
        let record = format!(
            "INSERT INTO sexton_history (task_id, name, queue, schedule, due_at, enqueued_at, finished_at, attempt, \
             outcome, verdict, error, payload, fence, traceparent, group_name) SELECT t.id, t.name, t.queue, t.schedule, \
             t.due_at, t.enqueued_at, {}, t.attempt, 'failed', 'discarded', {}, t.payload, {RAISED_FENCE}, t.traceparent, \
             t.group_name FROM {these} \
             JOIN sexton_task t ON t.id = d.id",
            self.dialect.now(),
            self.dialect.text_parameter(),
        );
        let delete = self.dialect.delete_joined("sexton_task", "id", &these, "t.id = d.id");
        let steps = [(record.as_str(), Some(why)), (delete.as_str(), None)];
        let problem = Sighting {
            outcome: Some(Outcome::Failed),
            fingerprint: fingerprint(why),
            task: Some(name.to_owned()),
            ..Sighting::now(ProblemKind::Task, name, why)
        };
        let values = vec![name.into(), DISCARD_PORTION.into()];
        self.in_portions(&find, values, DISCARD_PORTION, &steps, Portion::Ends(Some(&problem))).await
    }

    /// Finds and locks tasks in portions, and runs statements on them, each portion in a transaction of its own. The
    /// parameters of a statement are a text, if it has one, and the ids. Returns the number of tasks.
    pub(super) async fn in_portions(
        &self,
        find: &str,
        values: Vec<Value>,
        portion: i64,
        steps: &[(&str, Option<&str>)],
        becomes: Portion<'_>,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let found = self
                .with_retries(async || {
                    let transaction = self.begin().await?;
                    let rows = self.all(&transaction, find, values.clone()).await?;
                    let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
                    if ids.is_empty() {
                        return Ok(0);
                    }
                    for (sql, text) in steps {
                        let text = text.map(Value::from);
                        let values: Vec<Value> = text.into_iter().chain([self.ids(ids.iter().copied())]).collect();
                        self.run(&transaction, sql, values).await?;
                    }
                    if let Portion::Ends(_) = becomes {
                        self.settle_followers(&transaction, &ids).await?;
                    }
                    if let Portion::Ends(Some(problem)) = becomes {
                        let (times, task_id) = (ids.len() as i64, ids.last().copied());
                        let counted = Sighting { times, discarded: times, task_id, ..problem.clone() };
                        self.count_problems(&transaction, &[counted]).await?;
                    }
                    self.commit(transaction).await?;
                    Ok(ids.len() as u64)
                })
                .await?;
            total += found;
            if found < portion as u64 {
                return Ok(total);
            }
        }
    }
}
