//! PostgreSQL tells the nodes when a schedule in the database is inserted, changed or deleted, by a node or by anybody else; SQLite counts
//! these changes. What nodes enter themselves about instants is no such change. Elsewhere nodes look by themselves.

use crate::dialect::{Also, run};

/// The channel belongs to the whole database: a schema of its own has a channel of its own.
const UP: [&str; 2] = [
    "CREATE OR REPLACE FUNCTION sexton_schedule_changed() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
        PERFORM pg_notify('sexton_wakeup', 'schedules');
        IF TG_TABLE_SCHEMA <> 'public' THEN
            PERFORM pg_notify('sexton_wakeup_' || TG_TABLE_SCHEMA, 'schedules');
        END IF;
        RETURN NULL;
     END $$",
    "CREATE OR REPLACE TRIGGER sexton_schedule_changed
     AFTER INSERT OR DELETE OR UPDATE OF name, task, origin, cron, timezone, payload, settings ON sexton_schedule
     FOR EACH STATEMENT EXECUTE FUNCTION sexton_schedule_changed()",
];
/// The count is one row, which nodes read with what they ask anyway.
const COUNT: [&str; 3] = [
    "CREATE TRIGGER IF NOT EXISTS sexton_schedule_inserted AFTER INSERT ON sexton_schedule
     BEGIN
        INSERT INTO sexton_bookmark (name, position) VALUES ('schedules', 1)
        ON CONFLICT (name) DO UPDATE SET position = position + 1;
     END",
    "CREATE TRIGGER IF NOT EXISTS sexton_schedule_deleted AFTER DELETE ON sexton_schedule
     BEGIN
        INSERT INTO sexton_bookmark (name, position) VALUES ('schedules', 1)
        ON CONFLICT (name) DO UPDATE SET position = position + 1;
     END",
    "CREATE TRIGGER IF NOT EXISTS sexton_schedule_edited
     AFTER UPDATE OF name, task, origin, cron, timezone, payload, settings ON sexton_schedule
     BEGIN
        INSERT INTO sexton_bookmark (name, position) VALUES ('schedules', 1)
        ON CONFLICT (name) DO UPDATE SET position = position + 1;
     END",
];
const NO_COUNT: [&str; 4] = [
    "DROP TRIGGER IF EXISTS sexton_schedule_inserted",
    "DROP TRIGGER IF EXISTS sexton_schedule_deleted",
    "DROP TRIGGER IF EXISTS sexton_schedule_edited",
    "DELETE FROM sexton_bookmark WHERE name = 'schedules'",
];
const DOWN: [&str; 2] = [
    "DROP TRIGGER IF EXISTS sexton_schedule_changed ON sexton_schedule",
    "DROP FUNCTION IF EXISTS sexton_schedule_changed()",
];

crate::dialect::step! {
    up: |manager| run(manager, &[], Also { postgres: &UP, sqlite: &COUNT }),
    down: |manager| run(manager, &[], Also { postgres: &DOWN, sqlite: &NO_COUNT })
}
