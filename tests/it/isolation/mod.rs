//! One bad thing never stops the rest: rows, attempts, files and schedules that are bad are isolated and reported.

mod finishes;
mod rescues;
mod rows;
mod schedules;
mod spools;
mod unknown;

use std::{path::PathBuf, time::Duration};

use sea_orm::{ConnectionTrait as _, DbBackend, Statement, TransactionTrait as _};
use sexton::{
    daemon::Components,
    domain::task::{ClaimedTask, FinishedAttempt, Report},
    store::{Heartbeat, Store},
};
use sexton_entities::states::{NodeState, Outcome, Verdict};

use crate::support::{Database, Kind};

/// Runs statements as an application does.
async fn run(store: &Store, statements: &[&str]) {
    // One session for all: on MySQL it has to accept the zero date, as older servers do.
    let transaction = store.connection().begin().await.unwrap();
    let is_mysql = transaction.get_database_backend() == DbBackend::MySql;
    let loose = "SET SESSION sql_mode = REPLACE(REPLACE(@@sql_mode, 'NO_ZERO_DATE', ''), 'NO_ZERO_IN_DATE', '')";
    for sql in is_mysql.then_some(&loose).into_iter().chain(statements) {
        transaction.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }
    transaction.commit().await.unwrap();
}

/// Whether the database refuses a statement.
async fn is_refused(store: &Store, sql: &str) -> bool {
    store.connection().execute_unprepared(sql).await.is_err()
}

async fn count(store: &Store, sql: &str) -> i64 {
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), format!("SELECT {sql}"));
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Takes away what refuses bad tasks, as in a database of an earlier version.
async fn accept_bad_tasks(database: &Database, store: &Store) {
    let sql = match database.kind {
        Kind::Postgres => {
            "SELECT CAST(conname AS text) FROM pg_constraint WHERE contype = 'c' AND conrelid = CAST('sexton_task' AS regclass)"
        }
        Kind::MariaDb | Kind::MySql => {
            "SELECT CAST(constraint_name AS char) FROM information_schema.table_constraints WHERE table_schema = DATABASE() \
             AND table_name = 'sexton_task' AND constraint_type = 'CHECK' AND constraint_name LIKE 'sexton%'"
        }
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'sexton_task'",
    };
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let found = connection.query_all_raw(statement).await.unwrap();
    assert!(!found.is_empty(), "nothing refuses bad tasks");
    for row in found {
        let name: String = row.try_get_by_index(0).unwrap();
        let sql = match database.kind {
            Kind::Sqlite => format!("DROP TRIGGER {name}"),
            _ => format!("ALTER TABLE sexton_task DROP CONSTRAINT {name}"),
        };
        run(store, &[&sql]).await;
    }
}

/// Makes the database refuse an event on the rows of one name, whatever the reason may be in the field.
async fn refuse(database: &Database, store: &Store, table: &str, event: &str, name: &str) {
    let row = if event == "DELETE" { "OLD" } else { "NEW" };
    let trigger = format!("refuse_{table}_{event}");
    let statements = match database.kind {
        Kind::Postgres => vec![
            format!(
                "CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF {row}.name = '{name}' THEN RAISE EXCEPTION 'cursed'; END IF; RETURN {row}; END $$"
            ),
            format!("CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()"),
        ],
        Kind::MariaDb | Kind::MySql => vec![format!(
            "CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW \
             IF {row}.name = '{name}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cursed'; END IF"
        )],
        Kind::Sqlite => vec![format!(
            "CREATE TRIGGER {trigger} BEFORE {event} ON {table} WHEN {row}.name = '{name}' \
             BEGIN SELECT RAISE(ABORT, 'cursed'); END"
        )],
    };
    for sql in statements {
        run(store, &[&sql]).await;
    }
}

/// A node's sign of life.
fn beat(id: &str, lease: Duration) -> Heartbeat {
    Heartbeat {
        id: id.into(),
        name: id.to_owned(),
        host: "here".to_owned(),
        pid: 1,
        state: NodeState::Running,
        lease,
        modules: serde_json::json!([]),
    }
}

/// A success of a claimed task.
fn succeeded(task: &ClaimedTask, node: &str) -> FinishedAttempt {
    FinishedAttempt {
        outcome: Outcome::Succeeded,
        verdict: Some(Verdict::Completed),
        error: None,
        report: Report::default(),
        ..task.interrupted(&node.into(), Some("noop".to_owned()), "", task.started_at, Duration::ZERO)
    }
}

/// The directory of what the daemon put aside.
fn refused_files(database: &Database) -> Vec<PathBuf> {
    let dir = database.folder.path().join("state/spool/refused");
    std::fs::read_dir(dir).map(|files| files.flatten().map(|file| file.path()).collect()).unwrap_or_default()
}

/// No module of the daemon has failed.
fn no_module_fell(daemon: &Components) {
    for module in daemon.modules.all() {
        assert_eq!(module.failures, 0, "{module:?}");
    }
}
