//! Searches that begin behind the tasks that were claimed last.
//!
//! PostgreSQL keeps each dead row as long as any transaction can see it: a dump, a report, a session that was forgotten. A search
//! from the front of a queue reads all of them, each time.

use sea_orm::Value;

use super::{
    Store,
    dialect::{Dialect, Kind},
    rows::{Row, Rows},
};
use crate::domain::task::claim_position::{ClaimPosition, SearchRange};

/// The columns of a part of a queue.
const RANGE_COLUMNS: [(&str, Kind); 3] =
    [("after_priority", Kind::Integer), ("after_id", Kind::Integer), ("until_priority", Kind::Integer)];
/// The columns of a part of a named queue.
pub(super) const QUEUE_RANGE_COLUMNS: [(&str, Kind); 4] =
    [("name", Kind::Text), RANGE_COLUMNS[0], RANGE_COLUMNS[1], RANGE_COLUMNS[2]];

impl Store {
    /// Whether a search may be far slower from the front of a queue than from a position in it. Elsewhere positions are ignored.
    pub fn claims_behind(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// A SELECT of the numbers of available tasks in parts of a queue, which locks the tasks.
    pub(super) fn candidates_behind(&self, filter: &str) -> String {
        format!(
            "SELECT c.id FROM {}, LATERAL (SELECT id {} FOR UPDATE SKIP LOCKED) c LIMIT ?",
            self.dialect.rows("r", &RANGE_COLUMNS),
            self.candidates(&format!("AND {} {filter}", in_range("", "r"))),
        )
    }

    /// The parts of a queue behind a position, for [`Store::candidates_behind`].
    pub(super) fn ranges(&self, position: &ClaimPosition) -> Value {
        let mut rows = Rows::new(self.dialect);
        for range in position.ranges() {
            rows.push(|row| set_range(row, range));
        }
        rows.into_value()
    }
}

/// The condition that a task, whose columns have this prefix, is in the part of a queue in row `row`.
pub(super) fn in_range(prefix: &str, row: &str) -> String {
    format!(
        "({prefix}priority, {prefix}id) > ({row}.after_priority, {row}.after_id) AND {prefix}priority < {row}.until_priority"
    )
}

/// Sets the columns of a part of a queue.
pub(super) fn set_range(row: &mut Row<'_>, range: SearchRange) {
    row.set("after_priority", range.after.0).set("after_id", range.after.1).set("until_priority", range.until);
}
