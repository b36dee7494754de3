//! Adds to `sexton_node` how it defines its schedules, and to `sexton_schedule` whose definition is in force, and which
//! node that had it was gone last.
//!
//! A node of the version before writes none of them: it counts as one that may have every schedule.

const COLUMNS: [(&str, &str, &str); 5] = [
    ("sexton_node", "schedules", "{json}"),
    ("sexton_schedule", "defined_on", "varchar(100)"),
    ("sexton_schedule", "defined_at", "{instant}"),
    ("sexton_schedule", "left_on", "varchar(100)"),
    ("sexton_schedule", "left_at", "{instant}"),
];

crate::dialect::step! {
    up: |manager| async { crate::dialect::add_columns(manager, &COLUMNS).await },
    down: |manager| async { crate::dialect::drop_columns(manager, &COLUMNS).await }
}
