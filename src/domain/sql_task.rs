//! Kind `sql`: which statements a task executes, and what of their answers is on record.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, value::RawValue};
use sexton_entities::json_text::JsonText;

use super::{
    notice::channel::Secret,
    sql_text::SqlText,
    sweep::{ColumnValue, SelectedRow, SqlBindings},
};

/// The placeholders that need no value in `bind`.
pub const ALWAYS_BOUND: [&str; 3] = ["task_id", "attempt", "fence"];
/// How many bytes of rows are on record, of all statements together.
pub const MAX_RECORD: usize = 64 * 1024;

/// What begins and ends transactions. A task is one of its own.
const OF_TRANSACTIONS: [&str; 10] =
    ["begin", "start", "commit", "rollback", "end", "abort", "savepoint", "release", "prepare", "xa"];
/// What ends the transaction on MariaDB and MySQL.
const COMMITS: [&str; 17] = [
    "alter", "analyze", "cache", "check", "create", "drop", "flush", "grant", "install", "load", "lock", "optimize",
    "rename", "repair", "revoke", "truncate", "unlock",
];

/// What a task of kind `sql` executes.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlSpec {
    /// The statements, all of them in one transaction.
    pub statements: Vec<SqlText>,
    /// The values of their placeholders.
    pub bind: SqlBindings,
    /// The database of the application; none for the one of the daemon.
    pub url: Option<Secret>,
    /// How many rows of a statement are on record.
    pub max_rows: usize,
}

/// The attempt for which statements are executed.
#[derive(Clone, Copy, Debug)]
pub struct SqlAttempt<'a> {
    /// The name of the task.
    pub name: &'a str,
    /// The number of the task.
    pub task_id: i64,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// The fence of the claim.
    pub fence: i64,
}

impl SqlSpec {
    /// The values of the placeholders, by name.
    ///
    /// # Errors
    /// If the payload does not have one of them.
    pub fn values(&self, attempt: &SqlAttempt<'_>, payload: &JsonText) -> Result<BTreeMap<String, Value>, String> {
        if let Some(place) = self.bind.missing(attempt.name, Some(payload)) {
            return Err(format!("the payload has nothing at `{place}`, which `bind` names"));
        }
        let mut values = self.bind.values(attempt.name, Some(payload))?;
        let always = [attempt.task_id.into(), attempt.attempt.into(), attempt.fence.into()];
        values.extend(ALWAYS_BOUND.map(str::to_owned).into_iter().zip(always));
        Ok(values)
    }
}

/// Why this statement cannot be one of a transaction.
///
/// # Errors
/// In words.
pub fn check_statement(statement: &SqlText) -> Result<(), String> {
    let word = statement.first_word();
    match OF_TRANSACTIONS.contains(&word) {
        true => Err(format!(
            "all statements of a task are one transaction, which begins and ends by itself: leave `{}` out",
            word.to_uppercase()
        )),
        false => Ok(()),
    }
}

/// Whether MariaDB and MySQL end the transaction before this statement.
pub fn commits_on_mysql(statement: &SqlText) -> bool {
    COMMITS.contains(&statement.first_word())
}

/// What of the answers of a task's statements is on record.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlRecord {
    max_rows: usize,
    bytes_left: usize,
    statements: Vec<StatementRecord>,
}

/// The answer of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
struct StatementRecord {
    changed: u64,
    rows: Vec<JsonText>,
    left_out: u64,
}

impl SqlRecord {
    /// An empty record, which keeps that many rows of each statement.
    pub fn new(max_rows: usize) -> Self {
        Self { max_rows, bytes_left: MAX_RECORD, statements: Vec::new() }
    }

    /// Begins with the next statement.
    pub fn begin_statement(&mut self) {
        self.statements.push(StatementRecord::default());
    }

    /// Counts rows that the statement has changed.
    pub fn add_changed(&mut self, rows: u64) {
        if let Some(statement) = self.statements.last_mut() {
            statement.changed += rows;
        }
    }

    /// Takes a row that the statement returned.
    ///
    /// # Errors
    /// If a column cannot be written; with its name.
    pub fn add_row(&mut self, columns: &[(&str, Result<ColumnValue, String>)]) -> Result<(), String> {
        let Some(statement) = self.statements.last_mut() else { return Ok(()) };
        if statement.rows.is_empty() && statement.left_out == 0 {
            let mut names = HashSet::new();
            if let Some((twice, _)) = columns.iter().find(|(name, _)| !names.insert(*name)) {
                return Err(format!("it returns two columns `{twice}`: give one of them another name with AS"));
            }
        }
        // The rows on record are the first ones, without gaps.
        if statement.left_out > 0 || statement.rows.len() >= self.max_rows {
            statement.left_out += 1;
            return Ok(());
        }
        let row = SelectedRow::new("", columns);
        let bytes = row.bytes();
        let row = row.columns?;
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                statement.rows.push(row);
            }
            None => statement.left_out += 1,
        }
        Ok(())
    }

    /// The result for the history.
    ///
    /// # Errors
    /// If it is no JSON, which cannot happen.
    pub fn result(&self) -> Result<JsonText, String> {
        let of_statement = |statement: &StatementRecord| {
            let mut text = format!("{{\"rows_affected\":{}", statement.changed);
            if !statement.rows.is_empty() || statement.left_out > 0 {
                let rows = statement.rows.iter().map(JsonText::get).collect::<Vec<_>>().join(",");
                text.push_str(&format!(",\"rows\":[{rows}]"));
            }
            if statement.left_out > 0 {
                text.push_str(&format!(",\"rows_left_out\":{}", statement.left_out));
            }
            text + "}"
        };
        let statements = self.statements.iter().map(of_statement).collect::<Vec<_>>().join(",");
        let text = format!("{{\"statements\":[{statements}]}}");
        RawValue::from_string(text).map(JsonText::from).map_err(|error| error.to_string())
    }

    /// How many rows each statement returned beyond those on record: its number from 1, and the rows.
    pub fn left_out(&self) -> impl Iterator<Item = (usize, u64)> {
        let numbered = self.statements.iter().enumerate();
        numbered
            .filter(|(_, statement)| statement.left_out > 0)
            .map(|(index, statement)| (index + 1, statement.left_out))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::event::mapping::PayloadMapping;

    fn spec(bind: Value) -> SqlSpec {
        SqlSpec {
            statements: Vec::new(),
            bind: SqlBindings(Some(PayloadMapping::read(bind).expect("a mapping"))),
            url: None,
            max_rows: 2,
        }
    }

    const ATTEMPT: SqlAttempt<'_> = SqlAttempt { name: "t", task_id: 7, attempt: 2, fence: 9 };

    #[test]
    fn values_come_from_the_payload_and_the_attempt() {
        let spec = spec(json!({ "id": "$.order.id", "state": "closed", "note": "$.note" }));
        let values = spec.values(&ATTEMPT, &json!({ "order": { "id": 3 }, "note": null }).into());
        let expected = json!({ "id": 3, "state": "closed", "note": null, "task_id": 7, "attempt": 2, "fence": 9 });
        assert_eq!(values.map(|values| json!(values)), Ok(expected));
        let missing = spec.values(&ATTEMPT, &json!({ "order": {}, "note": null }).into());
        assert_eq!(missing, Err("the payload has nothing at `$.order.id`, which `bind` names".to_owned()));
    }

    #[test]
    fn transactions_are_not_of_the_statements() {
        let checked = |text: &str| check_statement(&SqlText::parse(text).expect("a statement"));
        assert!(checked("commit").is_err_and(|problem| problem.ends_with("leave `COMMIT` out")));
        assert_eq!(checked("DELETE FROM commit"), Ok(()));
        assert!(commits_on_mysql(&SqlText::parse("TRUNCATE TABLE t").expect("a statement")));
        assert!(!commits_on_mysql(&SqlText::parse("CALL t()").expect("a statement")));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let mut record = SqlRecord::new(2);
        record.begin_statement();
        record.add_changed(3);
        record.begin_statement();
        for id in ["1", "2", "3"] {
            record.add_row(&[("id", Ok(ColumnValue::Integer(id.to_owned())))]).expect("a row");
        }
        record.begin_statement();
        for size in [10, MAX_RECORD, 10] {
            record.add_row(&[("text", Ok(ColumnValue::Text("x".repeat(size))))]).expect("a row");
        }
        assert_eq!(record.left_out().collect::<Vec<_>>(), [(2, 1), (3, 2)]);
        let result: Value = record.result().expect("JSON").decode().expect("JSON");
        assert_eq!(
            result,
            json!({ "statements": [
                { "rows_affected": 3 },
                { "rows_affected": 0, "rows": [{ "id": 1 }, { "id": 2 }], "rows_left_out": 1 },
                { "rows_affected": 0, "rows": [{ "text": "xxxxxxxxxx" }], "rows_left_out": 2 },
            ] })
        );
    }

    #[test]
    fn a_column_that_cannot_be_written_is_named() {
        let mut record = SqlRecord::new(2);
        record.begin_statement();
        let problem = record.add_row(&[("list", Err("it has type INT4[]".to_owned()))]);
        assert_eq!(problem, Err("column `list`: it has type INT4[]".to_owned()));
        let one = || ("id", Ok(ColumnValue::Null));
        assert!(record.add_row(&[one(), one()]).is_err_and(|problem| problem.contains("two columns `id`")));
    }
}
