//! A task may belong to a trace (W3C trace context), and history says to which one. A text that is not valid is kept: the
//! daemon says what is wrong with it.

use crate::dialect::{add_columns, drop_columns};

const COLUMNS: [(&str, &str, &str); 3] = [
    ("sexton_task", "traceparent", "varchar(255)"),
    ("sexton_task", "tracestate", "varchar(512)"),
    ("sexton_history", "traceparent", "varchar(255)"),
];

crate::dialect::step! {
    up: |manager| add_columns(manager, &COLUMNS),
    down: |manager| drop_columns(manager, &COLUMNS)
}
