//! A problem of which nobody takes note is escalated, once in each episode.
//!
//! A node of the version before does not know the column: a new episode that it begins has another number, so that the column
//! need not be reset.

use crate::dialect::{add_columns, drop_columns};

const COLUMNS: [(&str, &str, &str); 1] = [("sexton_problem", "escalated_episode", "integer NOT NULL DEFAULT 0")];

crate::dialect::step! {
    up: |manager| add_columns(manager, &COLUMNS),
    down: |manager| drop_columns(manager, &COLUMNS)
}
