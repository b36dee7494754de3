//! Sweeps: a SELECT whose rows become tasks. Which tasks they become is decided here; the store reads and enters them.

mod row;

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, value::RawValue};
use sexton_client::domain::new_task::{InvalidTask, NewTask};
use sexton_entities::json_text::JsonText;

pub use self::row::{ColumnValue, SelectedRow};
use super::{
    event::{EventFacts, mapping::PayloadMapping},
    notice::channel::Secret,
    sql_text::SqlText,
};

/// The longest key of a row in a batch, in bytes.
const MAX_BATCH_KEY: usize = 150;

/// `[sweep.NAME]`: what it selects, and which tasks it makes of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepSpec {
    /// The statement.
    pub select: SqlText,
    /// The values of its placeholders.
    pub bind: SqlBindings,
    /// The database of the application; none for the one of the daemon.
    pub url: Option<Secret>,
    /// The task definition of the tasks.
    pub task: String,
    /// The column that identifies a row.
    pub key: String,
    /// The payload of a row; the row itself if absent.
    pub payload: Option<PayloadMapping>,
    /// How many rows make one task; none for a task of each row.
    pub batch: Option<usize>,
    /// How many rows a round takes.
    pub limit: usize,
}

/// The values of placeholders: fixed, or from a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlBindings(pub Option<PayloadMapping>);

/// The tasks of a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepRound {
    /// The number of rows that were read.
    pub found: usize,
    /// The rows of which tasks can be made.
    pub rows: Vec<SweptRow>,
    /// Rows whose key an earlier row of the round has.
    pub repeated: usize,
    /// The rows of which no task can be made.
    pub faults: Vec<RowFault>,
    /// Whether there are more rows than the round takes.
    pub has_more: bool,
}

/// A row of which a task can be made.
#[derive(Clone, Debug, PartialEq)]
pub struct SweptRow {
    /// Its number in the round, from 1.
    pub number: usize,
    /// Its key.
    pub key: String,
    /// Its payload.
    pub payload: JsonText,
}

/// A row of which no task can be made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RowFault {
    /// Its number in the round, from 1.
    pub row: usize,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => write!(f, "row {} (key {key}): {}", self.row, self.why),
            None => write!(f, "row {}: {}", self.row, self.why),
        }
    }
}

/// A task of a sweep, and the keys of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepTask {
    /// The task.
    pub task: NewTask,
    /// The keys of its rows.
    pub keys: Vec<String>,
}

impl SqlBindings {
    /// The values, by name.
    ///
    /// # Errors
    /// If the payload is damaged.
    pub fn values(&self, name: &str, payload: Option<&JsonText>) -> Result<BTreeMap<String, Value>, String> {
        let Some(mapping) = &self.0 else { return Ok(BTreeMap::new()) };
        mapping.fill(&facts(name, payload))?.decode().map_err(|error| error.to_string())
    }

    /// The first place that the payload does not have, as it was written.
    pub fn missing(&self, name: &str, payload: Option<&JsonText>) -> Option<String> {
        self.0.as_ref()?.missing(&facts(name, payload))
    }
}

/// What a mapping is filled from.
fn facts(name: &str, payload: Option<&JsonText>) -> EventFacts {
    EventFacts { id: 0, name: name.to_owned(), payload: payload.cloned(), created_at: Default::default() }
}

impl SweepSpec {
    /// The unique key of the task of a row.
    pub fn unique_key(name: &str, key: &str) -> String {
        format!("sweep:{name}:{key}")
    }

    /// Decides about the rows of a round. `rows` may have one more than `limit`.
    pub fn round(
        &self,
        name: &str,
        rows: Vec<SelectedRow>,
        has_more: bool,
        fits: impl Fn(&NewTask) -> Result<(), String>,
    ) -> SweepRound {
        let mut round = SweepRound { found: rows.len(), has_more, ..SweepRound::default() };
        if rows.len() > self.limit {
            (round.found, round.has_more) = (self.limit, true);
        }
        let mut keys = HashSet::new();
        for (index, row) in rows.into_iter().take(self.limit).enumerate() {
            let key = row.key.clone();
            match self.row(name, index + 1, row, &fits) {
                Ok(row) if !keys.insert(row.key.clone()) => round.repeated += 1,
                Ok(row) => round.rows.push(row),
                Err(why) => round.faults.push(RowFault { row: index + 1, key, why }),
            }
        }
        round
    }

    fn row(
        &self,
        name: &str,
        number: usize,
        row: SelectedRow,
        fits: impl Fn(&NewTask) -> Result<(), String>,
    ) -> Result<SweptRow, String> {
        let columns = row.columns?;
        let key = row.key.ok_or_else(|| format!("its `{}` is NULL, or neither a text nor a number", self.key))?;
        if key.is_empty() || key.contains('\0') {
            return Err(format!("its `{}` is empty, or has the character NUL", self.key));
        }
        if self.batch.is_some() && key.len() > MAX_BATCH_KEY {
            return Err(format!("its key has {} bytes, at most {MAX_BATCH_KEY} are allowed in a batch", key.len()));
        }
        let payload = match &self.payload {
            Some(mapping) => mapping.fill(&facts(name, Some(&columns)))?,
            None => columns,
        };
        let row = SweptRow { number, key, payload };
        let alone = self.task(name, std::slice::from_ref(&row))?;
        alone.task.check().map_err(|invalid| invalid.to_string())?;
        fits(&alone.task)?;
        Ok(row)
    }

    /// The task of these rows: of one, or of a batch.
    ///
    /// # Errors
    /// If the payload is no JSON, which cannot happen.
    pub fn task(&self, name: &str, rows: &[SweptRow]) -> Result<SweepTask, String> {
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let mut task = NewTask::new(&self.task);
        match (self.batch, rows) {
            (None, [row]) => {
                task.unique_key = Some(Self::unique_key(name, &row.key));
                task.payload = Some(row.payload.clone());
            }
            _ => {
                let list = rows.iter().map(|row| row.payload.get()).collect::<Vec<_>>().join(",");
                let list = RawValue::from_string(format!("[{list}]")).map_err(|error| error.to_string())?;
                task.payload = Some(list.into());
            }
        }
        Ok(SweepTask { task, keys })
    }

    /// The tasks of these rows. A batch that is too large becomes smaller ones.
    pub fn tasks(
        &self,
        name: &str,
        rows: &[SweptRow],
        fits: &impl Fn(&NewTask) -> Result<(), String>,
    ) -> Vec<SweepTask> {
        let mut tasks = Vec::new();
        for portion in rows.chunks(self.batch.unwrap_or(1)) {
            self.add_tasks(name, portion, fits, &mut tasks);
        }
        tasks
    }

    fn add_tasks(
        &self,
        name: &str,
        rows: &[SweptRow],
        fits: &impl Fn(&NewTask) -> Result<(), String>,
        tasks: &mut Vec<SweepTask>,
    ) {
        match self.task(name, rows) {
            Ok(made) if rows.len() < 2 || fits(&made.task).is_ok() => tasks.push(made),
            _ if rows.len() < 2 => {}
            _ => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.add_tasks(name, first, fits, tasks);
                self.add_tasks(name, second, fits, tasks);
            }
        }
    }
}

/// Whether a payload is small enough.
///
/// # Errors
/// If it is not; in words.
pub fn check_size(task: &NewTask, max: u64) -> Result<(), String> {
    task.check_size(max).map_err(|invalid: InvalidTask| invalid.to_string())
}
