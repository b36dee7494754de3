//! Tasks that no node can read or finish are refused when they are written: an unknown state, running without a node, an
//! instant that does not exist. Rows that are there already are repaired first, so that the step never fails on them.
//!
//! `run_at` may be far beyond the calendar (`infinity` on PostgreSQL): such a task is on hold.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::dialect::{Also, run};

/// The constraints, and their conditions on PostgreSQL and on MySQL.
const CHECKS: [(&str, &str, &str); 3] = [
    ("sexton_task_known_state", KNOWN_STATE, KNOWN_STATE),
    ("sexton_task_runs_somewhere", RUNS_SOMEWHERE, RUNS_SOMEWHERE),
    (
        "sexton_task_instants",
        "enqueued_at >= '0001-01-01 00:00:00+00' AND enqueued_at < '10000-01-01 00:00:00+00' \
         AND (due_at IS NULL OR (due_at >= '0001-01-01 00:00:00+00' AND due_at < '10000-01-01 00:00:00+00'))",
        "run_at >= '1000-01-01' AND enqueued_at >= '1000-01-01' AND (due_at IS NULL OR due_at >= '1000-01-01')",
    ),
];
const KNOWN_STATE: &str = "state IN ('scheduled', 'available', 'running', 'retryable')";
const RUNS_SOMEWHERE: &str = "state <> 'running' OR node IS NOT NULL";

/// Triggers of SQLite, which cannot add a constraint to a table.
const TRIGGERS: [(&str, &str, &str, &str); 4] = [
    ("sexton_task_known_state", "state, node", BAD_STATE, "the state is unknown, or the task runs without a node"),
    (
        "sexton_task_due_at",
        "due_at",
        "NEW.due_at IS NOT NULL AND strftime('%s', NEW.due_at) IS NULL",
        "due_at is not a time that SQLite understands",
    ),
    (
        "sexton_task_enqueued_at",
        "enqueued_at",
        "strftime('%s', NEW.enqueued_at) IS NULL",
        "enqueued_at is not a time that SQLite understands",
    ),
    (
        "sexton_task_later_run_at",
        "run_at",
        "strftime('%s', NEW.run_at) IS NULL",
        "run_at is not a time that SQLite understands",
    ),
];
const BAD_STATE: &str = "NEW.state NOT IN ('scheduled', 'available', 'running', 'retryable') \
                         OR (NEW.state = 'running' AND NEW.node IS NULL)";

crate::dialect::step! {
    up: |manager| refuse_bad_tasks(manager),
    down: |manager| accept_all(manager)
}

async fn refuse_bad_tasks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    repair(manager).await?;
    let connection = manager.get_connection();
    match connection.get_database_backend() {
        DbBackend::Sqlite => {
            for (name, columns, condition, problem) in TRIGGERS {
                for (suffix, event) in [("insert", "INSERT".to_owned()), ("update", format!("UPDATE OF {columns}"))] {
                    let sql = format!(
                        "CREATE TRIGGER IF NOT EXISTS {name}_{suffix} BEFORE {event} ON sexton_task WHEN {condition}
                         BEGIN SELECT RAISE(ABORT, '{problem}'); END"
                    );
                    connection.execute_unprepared(&sql).await?;
                }
            }
        }
        DbBackend::MySql => {
            for (name, _, condition) in CHECKS {
                if !has_check(manager, name).await? {
                    let sql = format!("ALTER TABLE sexton_task ADD CONSTRAINT {name} CHECK ({condition})");
                    connection.execute_unprepared(&sql).await?;
                }
            }
        }
        _ => {
            for (name, condition, _) in CHECKS {
                // Not validated: the rows that are there are repaired, and the table is not read under the lock.
                let sql = format!(
                    "ALTER TABLE sexton_task DROP CONSTRAINT IF EXISTS {name}, \
                     ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
                );
                connection.execute_unprepared(&sql).await?;
            }
        }
    }
    Ok(())
}

/// Repairs the rows that the constraints refuse. A task in an unknown state is on hold: nobody can tell what it means. A
/// task that runs nowhere is rescued from a node that does not exist.
async fn repair(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let backend = manager.get_connection().get_database_backend();
    let never = match backend {
        DbBackend::Sqlite => "'9999-12-31T23:59:59.999999+00:00'",
        DbBackend::MySql => "'9999-12-31 23:59:59'",
        _ => "'infinity'",
    };
    let is_bad = |column: &str| match backend {
        DbBackend::Sqlite => format!("strftime('%s', {column}) IS NULL"),
        DbBackend::MySql => format!("{column} < '1000-01-01'"),
        _ => format!("({column} < '0001-01-01 00:00:00+00' OR {column} >= '10000-01-01 00:00:00+00')"),
    };
    let update = |set: &str, condition: &str| format!("UPDATE sexton_task SET {set} WHERE {condition}");
    let mut statements = vec![
        update(&format!("state = 'scheduled', run_at = {never}"), &format!("NOT ({KNOWN_STATE})")),
        update("node = 'unknown'", "state = 'running' AND node IS NULL"),
        update("enqueued_at = {now}", &is_bad("enqueued_at")),
        update("due_at = NULL", &format!("due_at IS NOT NULL AND {}", is_bad("due_at"))),
    ];
    match backend {
        // What is no time at all never came; the zero date always had.
        DbBackend::Sqlite => statements.push(update(&format!("run_at = {never}"), &is_bad("run_at"))),
        DbBackend::MySql => statements.extend([
            update("run_at = {now}", &is_bad("run_at")),
            // The table is copied, and MySQL refuses to copy the zero date.
            update("started_at = NULL", &is_bad("started_at")),
            update("cancel_requested_at = {now}", &is_bad("cancel_requested_at")),
        ]),
        _ => {}
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    run(manager, &statements, Also::default()).await
}

/// Whether the table has a constraint. Only MariaDB can add one "if it does not exist".
async fn has_check(manager: &SchemaManager<'_>, name: &str) -> Result<bool, DbErr> {
    let sql = "SELECT constraint_name FROM information_schema.table_constraints \
               WHERE table_schema = DATABASE() AND table_name = 'sexton_task' AND constraint_name = ?";
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, [name.into()]);
    Ok(manager.get_connection().query_one_raw(statement).await?.is_some())
}

async fn accept_all(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    match connection.get_database_backend() {
        DbBackend::Sqlite => {
            for (name, ..) in TRIGGERS {
                for suffix in ["insert", "update"] {
                    connection.execute_unprepared(&format!("DROP TRIGGER IF EXISTS {name}_{suffix}")).await?;
                }
            }
        }
        DbBackend::MySql => {
            for (name, ..) in CHECKS {
                if has_check(manager, name).await? {
                    connection.execute_unprepared(&format!("ALTER TABLE sexton_task DROP CONSTRAINT {name}")).await?;
                }
            }
        }
        _ => {
            for (name, ..) in CHECKS {
                let sql = format!("ALTER TABLE sexton_task DROP CONSTRAINT IF EXISTS {name}");
                connection.execute_unprepared(&sql).await?;
            }
        }
    }
    Ok(())
}
