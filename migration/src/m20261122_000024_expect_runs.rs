//! Adds to `sexton_schedule` when a success is expected, and until when a schedule is paused. Creates `sexton_baseline` and
//! `sexton_unusual`: what is usual for task definitions, and which runs were not; and `sexton_bookmark`: how far the
//! history has been read for that.
//!
//! A node of the version before does not know them: it neither ends pauses nor notices that a schedule is overdue.

use crate::dialect::{Also, add_columns, drop_columns, drop_tables, run};

const COLUMNS: &[(&str, &str, &str)] = &[
    ("sexton_schedule", "paused_until", "{instant}"),
    ("sexton_schedule", "excused_until", "{instant}"),
    ("sexton_schedule", "expect", "varchar(64)"),
    ("sexton_schedule", "expected_on", "varchar(100)"),
    ("sexton_schedule", "expected_by", "{instant}"),
    ("sexton_schedule", "succeeded_at", "{instant}"),
];
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS sexton_baseline (
        name varchar(150) NOT NULL PRIMARY KEY,
        figures {long} NOT NULL,
        learned_at {instant} NOT NULL DEFAULT {now}
    {end}",
    "CREATE TABLE IF NOT EXISTS sexton_unusual (
        history_id bigint NOT NULL,
        what varchar(16) NOT NULL,
        name varchar(150) NOT NULL,
        value bigint NOT NULL,
        usual bigint NOT NULL,
        finished_at {instant} NOT NULL,
        CONSTRAINT sexton_unusual_key PRIMARY KEY (history_id, what)
    {end}",
    "CREATE TABLE IF NOT EXISTS sexton_bookmark (
        name varchar(64) NOT NULL PRIMARY KEY,
        position bigint NOT NULL DEFAULT 0
    {end}",
];

crate::dialect::step! {
    up: |manager| add(manager),
    down: |manager| drop(manager)
}

async fn add(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_columns(manager, COLUMNS).await?;
    run(manager, TABLES, Also::default()).await
}

async fn drop(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    drop_tables(manager, &["sexton_bookmark", "sexton_unusual", "sexton_baseline"]).await?;
    drop_columns(manager, COLUMNS).await
}
