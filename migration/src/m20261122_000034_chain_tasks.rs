//! A task may wait for others: it has the state `waiting`, and a row in `sexton_task_dependency` for each task or group for
//! which it waits. Tasks may belong to a group.
//!
//! A node of the version before leaves a waiting task alone, and says that its state is unknown. What such a node finishes
//! is noticed by the others.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::dialect::{Also, add_columns, add_index, drop_columns, drop_index, drop_tables, run};

const GROUPS: [(&str, &str, &str); 2] =
    [("sexton_task", "group_name", "varchar(190)"), ("sexton_history", "group_name", "varchar(190)")];
/// MySQL's own JSON type rounds numbers.
const PREDECESSORS: [(&str, &str, &str); 1] = [("sexton_task", "predecessors", "{json}")];
const PREDECESSORS_OF_MYSQL: [(&str, &str, &str); 1] = [("sexton_task", "predecessors", "{long}")];
/// Tables and columns of indexes that have the rows with a value only.
const GROUP_INDEXES: [(&str, &str); 2] =
    [("sexton_task", "sexton_task_group"), ("sexton_history", "sexton_history_group")];
const DEPENDENCY: &str = "CREATE TABLE IF NOT EXISTS sexton_task_dependency (
        id {id},
        task_id bigint NOT NULL,
        after_id bigint,
        after_group varchar(190),
        required varchar(16) NOT NULL DEFAULT 'success',
        fan_in varchar(8) NOT NULL DEFAULT 'all',
        outcome varchar(16)
        [mysql], INDEX sexton_task_dependency_task (task_id), INDEX sexton_task_dependency_after (after_id)
        [mysql], INDEX sexton_task_dependency_group (after_group)
    {end}";
const INDEXES: [&str; 4] = [
    "CREATE INDEX IF NOT EXISTS sexton_task_dependency_task ON sexton_task_dependency (task_id)",
    "CREATE INDEX IF NOT EXISTS sexton_task_dependency_after ON sexton_task_dependency (after_id)",
    "CREATE INDEX IF NOT EXISTS sexton_task_dependency_group ON sexton_task_dependency (after_group)",
    "CREATE INDEX IF NOT EXISTS sexton_task_waiting ON sexton_task (run_at) WHERE state = 'waiting'",
];
const CHECK: &str = "sexton_task_known_state";
const STATES: &str = "'scheduled', 'available', 'running', 'retryable', 'waiting'";
const STATES_BEFORE: &str = "'scheduled', 'available', 'running', 'retryable'";

crate::dialect::step! {
    up: |manager| chain_tasks(manager),
    down: |manager| undo(manager)
}

async fn chain_tasks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    allow(manager, STATES).await?;
    run(manager, &[DEPENDENCY], Also { postgres: &INDEXES, sqlite: &INDEXES }).await?;
    add_columns(manager, &GROUPS).await?;
    let predecessors = match manager.get_connection().get_database_backend() {
        DbBackend::MySql => &PREDECESSORS_OF_MYSQL,
        _ => &PREDECESSORS,
    };
    add_columns(manager, predecessors).await?;
    for (table, index) in GROUP_INDEXES {
        add_index(manager, table, index, "group_name").await?;
    }
    Ok(())
}

/// What waits is on hold then: a state that is unknown would be refused.
async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let never = match manager.get_connection().get_database_backend() {
        DbBackend::Sqlite => "'9999-12-31T23:59:59.999999+00:00'",
        DbBackend::MySql => "'9999-12-31 23:59:59'",
        _ => "'infinity'",
    };
    let hold = format!("UPDATE sexton_task SET state = 'scheduled', run_at = {never} WHERE state = 'waiting'");
    manager.get_connection().execute_unprepared(&hold).await?;
    for (table, index) in GROUP_INDEXES {
        drop_index(manager, table, index).await?;
    }
    drop_index(manager, "sexton_task", "sexton_task_waiting").await?;
    drop_tables(manager, &["sexton_task_dependency"]).await?;
    drop_columns(manager, &PREDECESSORS).await?;
    drop_columns(manager, &GROUPS).await?;
    allow(manager, STATES_BEFORE).await
}

/// Allows these states of a task, and no others.
async fn allow(manager: &SchemaManager<'_>, states: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let statements = match connection.get_database_backend() {
        DbBackend::Sqlite => {
            let trigger = |(suffix, event): (&str, &str)| {
                let name = format!("{CHECK}_{suffix}");
                [
                    format!("DROP TRIGGER IF EXISTS {name}"),
                    format!(
                        "CREATE TRIGGER {name} BEFORE {event} ON sexton_task WHEN NEW.state NOT IN ({states}) \
                         OR (NEW.state = 'running' AND NEW.node IS NULL)
                         BEGIN SELECT RAISE(ABORT, 'the state is unknown, or the task runs without a node'); END"
                    ),
                ]
            };
            [("insert", "INSERT"), ("update", "UPDATE OF state, node")].map(trigger).concat()
        }
        DbBackend::MySql => {
            let add = format!("ADD CONSTRAINT {CHECK} CHECK (state IN ({states}))");
            match has_check(manager).await? {
                true => vec![format!("ALTER TABLE sexton_task DROP CONSTRAINT {CHECK}, {add}")],
                false => vec![format!("ALTER TABLE sexton_task {add}")],
            }
        }
        // Not validated: the table is not read under the lock.
        _ => vec![format!(
            "ALTER TABLE sexton_task DROP CONSTRAINT IF EXISTS {CHECK}, \
             ADD CONSTRAINT {CHECK} CHECK (state IN ({states})) NOT VALID"
        )],
    };
    for sql in statements {
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Whether the table has the constraint. Only MariaDB can drop one "if it exists".
async fn has_check(manager: &SchemaManager<'_>) -> Result<bool, DbErr> {
    let sql = "SELECT constraint_name FROM information_schema.table_constraints \
               WHERE table_schema = DATABASE() AND table_name = 'sexton_task' AND constraint_name = ?";
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, [CHECK.into()]);
    Ok(manager.get_connection().query_one_raw(statement).await?.is_some())
}
