//! Adds to `sexton_event` when a node has seen its file last, so that the event is kept as long as its file; and to
//! `sexton_trigger` which files a trigger is for, and why a node cannot watch them.
//!
//! A node of the version before deletes the events of files by their age alone: a file that lies there for longer may be a
//! second event.

use crate::dialect::{add_columns, drop_columns};

const COLUMNS: [(&str, &str, &str); 3] = [
    ("sexton_event", "seen_at", "{instant}"),
    ("sexton_trigger", "watches", "{long}"),
    ("sexton_trigger", "trouble", "{long}"),
];

crate::dialect::step! {
    up: |manager| add_columns(manager, &COLUMNS),
    down: |manager| drop_columns(manager, &COLUMNS)
}
