//! Entering the tasks of a sweep's round: all of them in one transaction, once.

use serde_json::json;
use sexton_entities::json_text::JsonText;

use super::{
    Enqueued, Store, StoreError, connection::DatabaseTransaction, dialect::Kind, portions::in_portions, rows::Rows,
};
use crate::domain::{
    sweep::{RowFault, SweepRound, SweepSpec, SweptRow},
    task::{NewTask, claim::ClaimIdentity},
};

/// How many tasks are entered by one statement.
const PORTION: usize = 500;
/// The columns of a row of a batch.
const BATCHED: [(&str, Kind); 3] = [("sweep", Kind::Text), ("row_key", Kind::Text), ("task_id", Kind::Integer)];
const KEYS: [(&str, Kind); 1] = [("row_key", Kind::Text)];

/// What a task needs to be enqueued: what its definition provides, and its checks.
pub struct SweepRules<'a> {
    /// The name of the sweep.
    pub name: &'a str,
    /// The sweep.
    pub spec: &'a SweepSpec,
    /// Fills in what the definition of the task provides.
    pub fill: &'a dyn Fn(NewTask) -> NewTask,
    /// Whether the definition takes the task.
    pub fits: &'a dyn Fn(&NewTask) -> Result<(), String>,
}

/// What became of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct EnteredRound {
    /// The result for the history.
    pub result: JsonText,
    /// The rows of which no task could be made, with those that the database refused.
    pub faults: Vec<RowFault>,
    /// How many tasks are new.
    pub tasks: u64,
}

/// What one transaction has entered.
#[derive(Clone, Copy, Debug, Default)]
struct EnteredCounts {
    /// Rows of which a task was made.
    rows: usize,
    /// Rows that had an unfinished task.
    there: usize,
    tasks: u64,
}

impl Store {
    /// Enters the tasks of a round. None if the claim does not hold any more, or an earlier attempt has entered them.
    /// What the database refuses is isolated, and does not keep the others back.
    ///
    /// # Errors
    /// If the database is unavailable, or refuses a statement whatever the rows are.
    pub async fn enter_round(
        &self,
        rules: &SweepRules<'_>,
        round: &SweepRound,
        claim: ClaimIdentity,
    ) -> Result<Option<EnteredRound>, StoreError> {
        let mut faults = round.faults.clone();
        let entered = match self.try_enter(rules, round, &round.rows, &faults, claim).await {
            Err(StoreError::Refused(why)) => {
                let refused = self.refused_rows(rules, &round.rows).await?;
                if refused.is_empty() {
                    return Err(StoreError::Refused(why));
                }
                let is_good = |row: &&SweptRow| refused.iter().all(|fault| fault.row != row.number);
                let good: Vec<SweptRow> = round.rows.iter().filter(is_good).cloned().collect();
                faults.extend(refused);
                self.try_enter(rules, round, &good, &faults, claim).await?
            }
            entered => entered?,
        };
        Ok(entered.map(|(result, tasks)| EnteredRound { result, faults, tasks }))
    }

    async fn try_enter(
        &self,
        rules: &SweepRules<'_>,
        round: &SweepRound,
        rows: &[SweptRow],
        faults: &[RowFault],
        claim: ClaimIdentity,
    ) -> Result<Option<(JsonText, u64)>, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let counts = match rules.spec.batch {
                None => self.enter_rows(&transaction, rules, rows).await?,
                Some(_) => self.enter_batches(&transaction, rules, rows).await?,
            };
            let mut result = json!({
                "found": round.found,
                "enqueued": counts.rows,
                "already_there": counts.there + round.repeated,
                "refused": faults.len(),
                "left_over": round.has_more,
            });
            if rules.spec.batch.is_some() {
                result["tasks"] = counts.tasks.into();
            }
            let result = JsonText::from(result);
            if !self.note_applied(&transaction, claim, &result).await? {
                return Ok(None);
            }
            self.commit(transaction).await?;
            Ok(Some((result, counts.tasks)))
        })
        .await
    }

    /// A task of each row. The unique key makes it one.
    async fn enter_rows(
        &self,
        transaction: &DatabaseTransaction,
        rules: &SweepRules<'_>,
        rows: &[SweptRow],
    ) -> Result<EnteredCounts, StoreError> {
        let mut counts = EnteredCounts::default();
        for portion in rows.chunks(PORTION) {
            let tasks = of_rows(rules, portion);
            counts.tasks += self.enqueue_all(transaction, &tasks).await?;
        }
        counts.rows = counts.tasks as usize;
        counts.there = rows.len() - counts.rows;
        Ok(counts)
    }

    /// Tasks of several rows each. The rows of unfinished ones are in a table, whose key makes each of them one.
    async fn enter_batches(
        &self,
        transaction: &DatabaseTransaction,
        rules: &SweepRules<'_>,
        rows: &[SweptRow],
    ) -> Result<EnteredCounts, StoreError> {
        let ended = "DELETE FROM sexton_sweep_row WHERE sweep = ? AND NOT EXISTS \
                     (SELECT 1 FROM sexton_task t WHERE t.id = sexton_sweep_row.task_id)";
        self.run(transaction, ended, [rules.name.into()]).await?;
        let there = self.batched(transaction, rules.name, rows).await?;
        let fresh: Vec<SweptRow> = rows.iter().filter(|row| !there.contains(&row.key)).cloned().collect();
        let mut counts = EnteredCounts { there: rows.len() - fresh.len(), rows: fresh.len(), tasks: 0 };
        let mut batched = Rows::new(self.dialect);
        for made in rules.spec.tasks(rules.name, &fresh, &|task| (rules.fits)(task)) {
            let (Enqueued::New(id) | Enqueued::AlreadyThere(id)) =
                self.enqueue(transaction, &(rules.fill)(made.task)).await?;
            counts.tasks += 1;
            for key in made.keys {
                batched.push(|row| {
                    row.set("sweep", rules.name).set("row_key", key).set("task_id", id);
                });
            }
        }
        if counts.tasks > 0 {
            let rows = self.dialect.rows("d", &BATCHED);
            let sql = format!(
                "INSERT INTO sexton_sweep_row (sweep, row_key, task_id) SELECT d.sweep, d.row_key, d.task_id FROM {rows}"
            );
            self.run(transaction, &sql, [batched.into_value()]).await?;
        }
        Ok(counts)
    }

    /// The keys of these rows that are in unfinished batches.
    async fn batched(
        &self,
        transaction: &impl sea_orm::ConnectionTrait,
        name: &str,
        rows: &[SweptRow],
    ) -> Result<std::collections::HashSet<String>, StoreError> {
        let sql = format!(
            "SELECT b.row_key AS row_key FROM {} JOIN sexton_sweep_row b ON b.row_key = d.row_key \
             JOIN sexton_task t ON t.id = b.task_id WHERE b.sweep = ?",
            self.dialect.rows("d", &KEYS)
        );
        let found =
            self.all(transaction, &sql, [keys(self, rows.iter().map(|row| row.key.clone())), name.into()]).await?;
        found.iter().map(|row| Ok(row.try_get("", "row_key")?)).collect()
    }

    /// The rows that the database refuses, each with its answer. Nothing stays of the attempts.
    async fn refused_rows(&self, rules: &SweepRules<'_>, rows: &[SweptRow]) -> Result<Vec<RowFault>, StoreError> {
        let results = in_portions(rows.chunks(PORTION), async |portion: &[SweptRow]| {
            let transaction = self.begin().await?;
            let tasks = of_rows(rules, portion);
            let entered = self.enqueue_all(&transaction, &tasks).await;
            transaction.rollback().await?;
            entered
        })
        .await?;
        let fault = |(row, why): (&SweptRow, String)| RowFault { row: row.number, key: Some(row.key.clone()), why };
        Ok(results.refused.into_iter().map(fault).collect())
    }

    /// The keys of these rows that have an unfinished task by now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn rows_there(&self, rules: &SweepRules<'_>, rows: &[SweptRow]) -> Result<Vec<String>, StoreError> {
        if rules.spec.batch.is_some() {
            return Ok(self.batched(&self.db, rules.name, rows).await?.into_iter().collect());
        }
        let sql = format!(
            "SELECT t.unique_key AS unique_key FROM {} JOIN sexton_task t ON t.unique_key = d.row_key",
            self.dialect.rows("d", &KEYS)
        );
        let wanted = keys(self, rows.iter().map(|row| SweepSpec::unique_key(rules.name, &row.key)));
        let found = self.all(&self.db, &sql, [wanted]).await?;
        let prefix = SweepSpec::unique_key(rules.name, "");
        let mut there = Vec::new();
        for row in &found {
            let key: String = row.try_get("", "unique_key")?;
            there.extend(key.strip_prefix(&prefix).map(str::to_owned));
        }
        Ok(there)
    }
}

/// The tasks of rows, one each.
fn of_rows(rules: &SweepRules<'_>, rows: &[SweptRow]) -> Vec<NewTask> {
    let each = rows.iter().filter_map(|row| rules.spec.task(rules.name, std::slice::from_ref(row)).ok());
    each.map(|made| (rules.fill)(made.task)).collect()
}

fn keys(store: &Store, keys: impl Iterator<Item = String>) -> sea_orm::Value {
    let mut rows = Rows::new(store.dialect);
    for key in keys {
        rows.push(|row| {
            row.set("row_key", key);
        });
    }
    rows.into_value()
}
