//! Creates `sexton_audit`, and adds who paused and who cancelled.
//!
//! A node of the version before reads and writes the same `paused` columns. It does not know that everything is paused.

use crate::dialect::{Also, add_columns, drop_columns, drop_tables, run};

const AUDIT: &str = "CREATE TABLE IF NOT EXISTS sexton_audit (
        id {id},
        done_at {instant} NOT NULL DEFAULT {now},
        action varchar(16) NOT NULL,
        target varchar(16) NOT NULL,
        name varchar(255),
        task_id bigint,
        via varchar(16) NOT NULL,
        account varchar(100),
        login varchar(100),
        host varchar(255),
        reason {long},
        value_before {json},
        value_after {json}
    [mysql], INDEX sexton_audit_done (done_at), INDEX sexton_audit_task (task_id)
    {end}";
const INDEXES: [&str; 2] = [
    "CREATE INDEX IF NOT EXISTS sexton_audit_done ON sexton_audit (done_at)",
    "CREATE INDEX IF NOT EXISTS sexton_audit_task ON sexton_audit (task_id)",
];
const COLUMNS: [(&str, &str, &str); 17] = [
    ("sexton_queue", "paused_at", "{instant}"),
    ("sexton_queue", "paused_by", "varchar(100)"),
    ("sexton_queue", "paused_host", "varchar(255)"),
    ("sexton_queue", "pause_reason", "{long}"),
    ("sexton_schedule", "paused_at", "{instant}"),
    ("sexton_schedule", "paused_by", "varchar(100)"),
    ("sexton_schedule", "paused_host", "varchar(255)"),
    ("sexton_schedule", "pause_reason", "{long}"),
    ("sexton_schedule", "removed_at", "{instant}"),
    ("sexton_database", "paused", "boolean NOT NULL DEFAULT false"),
    ("sexton_database", "paused_at", "{instant}"),
    ("sexton_database", "paused_by", "varchar(100)"),
    ("sexton_database", "paused_host", "varchar(255)"),
    ("sexton_database", "pause_reason", "{long}"),
    ("sexton_history", "cancelled_by", "varchar(100)"),
    ("sexton_history", "cancelled_host", "varchar(255)"),
    ("sexton_history", "cancel_reason", "{long}"),
];

crate::dialect::step! {
    up: |manager| async {
        run(manager, &[AUDIT], Also { postgres: &INDEXES, sqlite: &INDEXES }).await?;
        add_columns(manager, &COLUMNS).await
    },
    down: |manager| async {
        drop_columns(manager, &COLUMNS).await?;
        drop_tables(manager, &["sexton_audit"]).await
    }
}
