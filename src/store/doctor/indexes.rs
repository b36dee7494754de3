//! The indexes that the migrations make, with the statements that make them again.

/// An index that the schema of this version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    /// The table.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The statement that creates it.
    pub create: &'static str,
}

const fn index(table: &'static str, name: &'static str, create: &'static str) -> IndexDefinition {
    IndexDefinition { table, name, create }
}

/// Those of all databases.
const EVERYWHERE: [IndexDefinition; 13] = [
    index("sexton_event", "sexton_event_state", "CREATE INDEX sexton_event_state ON sexton_event (state, created_at)"),
    index("sexton_event", "sexton_event_created", "CREATE INDEX sexton_event_created ON sexton_event (created_at)"),
    index("sexton_audit", "sexton_audit_done", "CREATE INDEX sexton_audit_done ON sexton_audit (done_at)"),
    index("sexton_audit", "sexton_audit_task", "CREATE INDEX sexton_audit_task ON sexton_audit (task_id)"),
    index(
        "sexton_history",
        "sexton_history_execution",
        "CREATE UNIQUE INDEX sexton_history_execution ON sexton_history (task_id, fence, outcome, enqueued_at, claimed_at)",
    ),
    index(
        "sexton_history",
        "sexton_history_finished",
        "CREATE INDEX sexton_history_finished ON sexton_history (finished_at)",
    ),
    index(
        "sexton_history",
        "sexton_history_name",
        "CREATE INDEX sexton_history_name ON sexton_history (name, finished_at)",
    ),
    index(
        "sexton_notice",
        "sexton_notice_channel",
        "CREATE INDEX sexton_notice_channel ON sexton_notice (channel, created_at)",
    ),
    index("sexton_notice", "sexton_notice_state", "CREATE INDEX sexton_notice_state ON sexton_notice (state, next_at)"),
    index(
        "sexton_occurrence",
        "sexton_occurrence_entered",
        "CREATE INDEX sexton_occurrence_entered ON sexton_occurrence (entered_at)",
    ),
    index(
        "sexton_task_dependency",
        "sexton_task_dependency_after",
        "CREATE INDEX sexton_task_dependency_after ON sexton_task_dependency (after_id)",
    ),
    index(
        "sexton_task_dependency",
        "sexton_task_dependency_group",
        "CREATE INDEX sexton_task_dependency_group ON sexton_task_dependency (after_group)",
    ),
    index(
        "sexton_task_dependency",
        "sexton_task_dependency_task",
        "CREATE INDEX sexton_task_dependency_task ON sexton_task_dependency (task_id)",
    ),
];

/// Those of some rows only, which MariaDB and MySQL do not know.
const PARTIAL: [IndexDefinition; 14] = [
    index("sexton_event", "sexton_event_new", "CREATE INDEX sexton_event_new ON sexton_event (id) WHERE state = 'new'"),
    index(
        "sexton_event_trigger",
        "sexton_event_trigger_task",
        "CREATE INDEX sexton_event_trigger_task ON sexton_event_trigger (task_id) WHERE task_id IS NOT NULL",
    ),
    index(
        "sexton_event_trigger",
        "sexton_event_trigger_waiting",
        "CREATE INDEX sexton_event_trigger_waiting ON sexton_event_trigger (event_id, trigger_name) \
         WHERE fate = 'waiting'",
    ),
    index(
        "sexton_task",
        "sexton_task_cancel",
        "CREATE INDEX sexton_task_cancel ON sexton_task (cancel_requested_at) WHERE cancel_requested_at IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_expiry",
        "CREATE INDEX sexton_task_expiry ON sexton_task (expires_at) WHERE expires_at IS NOT NULL",
    ),
    index(
        "sexton_history",
        "sexton_history_group",
        "CREATE INDEX sexton_history_group ON sexton_history (group_name) WHERE group_name IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_group",
        "CREATE INDEX sexton_task_group ON sexton_task (group_name) WHERE group_name IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_waiting",
        "CREATE INDEX sexton_task_waiting ON sexton_task (run_at) WHERE state = 'waiting'",
    ),
    index(
        "sexton_task",
        "sexton_task_key",
        "CREATE INDEX sexton_task_key ON sexton_task (queue, limit_key, name, priority, id) WHERE state = 'available' AND limit_key IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_promote",
        "CREATE INDEX sexton_task_promote ON sexton_task (run_at) WHERE state IN ('scheduled', 'retryable')",
    ),
    index(
        "sexton_task",
        "sexton_task_running",
        "CREATE INDEX sexton_task_running ON sexton_task (node) WHERE state = 'running'",
    ),
    index(
        "sexton_task",
        "sexton_task_schedule",
        "CREATE INDEX sexton_task_schedule ON sexton_task (schedule) WHERE schedule IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_unknown",
        "CREATE INDEX sexton_task_unknown ON sexton_task (unknown_since) WHERE unknown_since IS NOT NULL",
    ),
    index(
        "sexton_task",
        "sexton_task_claim",
        "CREATE INDEX sexton_task_claim ON sexton_task (queue, priority, id) WHERE state = 'available'",
    ),
];

/// Those that SQLite gives names of its own.
const OF_SERVERS: [IndexDefinition; 3] = [
    index("sexton_event", "sexton_event_key", "CREATE UNIQUE INDEX sexton_event_key ON sexton_event (event_key)"),
    index("sexton_notice", "sexton_notice_key", "CREATE UNIQUE INDEX sexton_notice_key ON sexton_notice (notice_key)"),
    index(
        "sexton_problem",
        "sexton_problem_key",
        "CREATE UNIQUE INDEX sexton_problem_key ON sexton_problem (problem_key)",
    ),
];

/// Those of PostgreSQL.
const OF_POSTGRES: [IndexDefinition; 3] = [
    index("sexton_daily", "sexton_daily_key", "CREATE UNIQUE INDEX sexton_daily_key ON sexton_daily (day, name)"),
    index(
        "sexton_unusual",
        "sexton_unusual_key",
        "CREATE UNIQUE INDEX sexton_unusual_key ON sexton_unusual (history_id, what)",
    ),
    index(
        "sexton_task",
        "sexton_task_unique_key",
        "CREATE UNIQUE INDEX sexton_task_unique_key ON sexton_task (unique_key) WHERE unique_key IS NOT NULL",
    ),
];

/// Those of MariaDB and MySQL.
const OF_MYSQL: [IndexDefinition; 13] = [
    index("sexton_event", "sexton_event_new", "CREATE INDEX sexton_event_new ON sexton_event (state, id)"),
    index(
        "sexton_event_trigger",
        "sexton_event_trigger_task",
        "CREATE INDEX sexton_event_trigger_task ON sexton_event_trigger (task_id)",
    ),
    index(
        "sexton_event_trigger",
        "sexton_event_trigger_waiting",
        "CREATE INDEX sexton_event_trigger_waiting ON sexton_event_trigger (fate, event_id, trigger_name)",
    ),
    index("sexton_task", "sexton_task_cancel", "CREATE INDEX sexton_task_cancel ON sexton_task (cancel_requested_at)"),
    index(
        "sexton_task",
        "sexton_task_claim",
        "CREATE INDEX sexton_task_claim ON sexton_task (queue, state, priority, id)",
    ),
    index("sexton_task", "sexton_task_expiry", "CREATE INDEX sexton_task_expiry ON sexton_task (expires_at)"),
    index("sexton_history", "sexton_history_group", "CREATE INDEX sexton_history_group ON sexton_history (group_name)"),
    index("sexton_task", "sexton_task_group", "CREATE INDEX sexton_task_group ON sexton_task (group_name)"),
    index(
        "sexton_task",
        "sexton_task_key",
        "CREATE INDEX sexton_task_key ON sexton_task (queue, limit_key, name, priority, id)",
    ),
    index("sexton_task", "sexton_task_schedule", "CREATE INDEX sexton_task_schedule ON sexton_task (schedule)"),
    index("sexton_task", "sexton_task_state", "CREATE INDEX sexton_task_state ON sexton_task (state, run_at)"),
    index(
        "sexton_task",
        "sexton_task_unique_key",
        "CREATE UNIQUE INDEX sexton_task_unique_key ON sexton_task (unique_key)",
    ),
    index("sexton_task", "sexton_task_unknown", "CREATE INDEX sexton_task_unknown ON sexton_task (unknown_since)"),
];

/// The indexes on a kind of database (`postgres`, `mysql` or `sqlite`), without those of primary keys.
pub fn expected_indexes(database: &str) -> Vec<IndexDefinition> {
    let particular: [&[IndexDefinition]; 3] = match database {
        "postgres" => [&PARTIAL, &OF_SERVERS, &OF_POSTGRES],
        "mysql" => [&OF_MYSQL, &OF_SERVERS, &[]],
        _ => [&PARTIAL, &[], &[]],
    };
    let mut all = EVERYWHERE.to_vec();
    all.extend(particular.concat());
    all
}
