//! Creates `sexton_event`: what applications tell; `sexton_event_trigger`: what each trigger made of each event;
//! `sexton_trigger`: which triggers the nodes have; and `sexton_trigger_pace`: when a trigger makes the next task.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::{Also, drop_tables, run};

const TABLES: [&str; 4] = ["sexton_trigger_pace", "sexton_trigger", "sexton_event_trigger", "sexton_event"];
/// MySQL declares them inside the tables.
const INDEXES: [&str; 5] = [
    "CREATE INDEX IF NOT EXISTS sexton_event_new ON sexton_event (id) WHERE state = 'new'",
    "CREATE INDEX IF NOT EXISTS sexton_event_created ON sexton_event (created_at)",
    "CREATE INDEX IF NOT EXISTS sexton_event_state ON sexton_event (state, created_at)",
    "CREATE INDEX IF NOT EXISTS sexton_event_trigger_waiting ON sexton_event_trigger (event_id, trigger_name) \
     WHERE fate = 'waiting'",
    "CREATE INDEX IF NOT EXISTS sexton_event_trigger_task ON sexton_event_trigger (task_id) WHERE task_id IS NOT NULL",
];

crate::dialect::step! {
    up: |manager| create(manager),
    down: |manager| drop_tables(manager, &TABLES)
}

async fn create(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // MySQL's own JSON type rounds numbers of more than 17 digits, and SQLite has none.
    let payload = match manager.get_connection().get_database_backend() {
        DbBackend::MySql => "longtext CHECK (json_valid(payload))",
        DbBackend::Sqlite => "{json} CHECK (json_valid(payload))",
        _ => "{json}",
    };
    let event = format!(
        "CREATE TABLE IF NOT EXISTS sexton_event (
            id {{id}},
            name varchar(150) NOT NULL,
            payload {payload},
            event_key varchar(190),
            state varchar(16) NOT NULL DEFAULT 'new',
            created_at {{instant}} NOT NULL DEFAULT {{now}},
            consumed_at {{instant}},
            node varchar(100),
            replay_of bigint,
            mistake {{long}},
            CONSTRAINT sexton_event_key UNIQUE (event_key)
        [mysql], INDEX sexton_event_new (state, id)
        [mysql], INDEX sexton_event_created (created_at)
        [mysql], INDEX sexton_event_state (state, created_at)
        {{end}}"
    );
    let others = [
        event.as_str(),
        "CREATE TABLE IF NOT EXISTS sexton_event_trigger (
            event_id bigint NOT NULL,
            trigger_name varchar(150) NOT NULL,
            fate varchar(16) NOT NULL DEFAULT 'waiting',
            task_id bigint,
            reason {long},
            decided_at {instant},
            node varchar(100),
            PRIMARY KEY (event_id, trigger_name)
        [mysql], INDEX sexton_event_trigger_waiting (fate, event_id, trigger_name)
        [mysql], INDEX sexton_event_trigger_task (task_id)
        {end}",
        "CREATE TABLE IF NOT EXISTS sexton_trigger (
            name varchar(150) NOT NULL,
            node varchar(100) NOT NULL,
            patterns {long} NOT NULL,
            task varchar(150) NOT NULL,
            since {instant} NOT NULL DEFAULT {now},
            seen_at {instant} NOT NULL DEFAULT {now},
            PRIMARY KEY (name, node)
        {end}",
        "CREATE TABLE IF NOT EXISTS sexton_trigger_pace (
            trigger_name varchar(150) NOT NULL,
            pace_key varchar(190) NOT NULL,
            until_at {instant} NOT NULL,
            task_id bigint,
            PRIMARY KEY (trigger_name, pace_key)
        {end}",
    ];
    run(manager, &others, Also { postgres: &INDEXES, sqlite: &INDEXES }).await
}
