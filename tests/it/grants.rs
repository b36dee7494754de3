//! The role that `docs/SQL.md` makes for an application: it enqueues and looks, and cannot change what runs.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, Statement};
use sexton::store::{Store, TaskFilter, Wakeup};
use sexton_entities::states::{
    TaskState::{Running, Scheduled, Waiting},
    Verdict,
};

use crate::{
    daemon::{completed, history},
    support::{
        Database, Kind, PATIENCE, Role, block_on,
        document::{block, blocks},
        eventually,
    },
};

/// The columns that the role may write in a new task.
const OWN_COLUMNS: [&str; 9] =
    ["name", "payload", "queue", "priority", "unique_key", "run_at", "expires_at", "traceparent", "tracestate"];
/// The columns that the role may write in an entry of the audit, once it may cancel.
const DEED_COLUMNS: [&str; 11] =
    ["action", "target", "name", "task_id", "via", "account", "login", "host", "reason", "value_before", "value_after"];
const SETTINGS: &str =
    "heartbeat = \"500ms\"\n[task.cleanup]\nkind = \"noop\"\n[task.long]\ncommand = [\"sleep\", \"600\"]";

/// All columns of Sexton's tables, each with its table.
async fn columns(store: &Store, kind: Kind) -> Vec<(String, String)> {
    let (here, text) = if kind == Kind::Postgres { ("current_schema()", "text") } else { ("database()", "char(64)") };
    let sql = format!(
        "SELECT CAST(table_name AS {text}) AS t, CAST(column_name AS {text}) AS c FROM information_schema.columns \
         WHERE table_schema = {here} ORDER BY 1, 2"
    );
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "t").unwrap(), row.try_get("", "c").unwrap())).collect()
}

/// Tries to change everything. `may_update` are columns of tasks, `may_enter` those of the audit.
async fn changes_nothing(
    role: &Role,
    columns: &[(String, String)],
    kind: Kind,
    may_update: &[&str],
    may_enter: &[&str],
) {
    let mut tables: Vec<&String> = columns.iter().map(|(table, _)| table).collect();
    tables.dedup();
    assert!(tables.len() >= 9, "{tables:?}");
    for (table, column) in columns {
        let quoted = if kind == Kind::Postgres { format!("\"{column}\"") } else { format!("`{column}`") };
        let of_tasks = table == "sexton_task";
        let own = if of_tasks { &OWN_COLUMNS[..] } else { may_enter };
        if !((of_tasks || table == "sexton_audit") && own.contains(&column.as_str())) {
            role.is_denied(&format!("INSERT INTO {table} ({quoted}) VALUES (NULL)")).await;
        }
        if !(of_tasks && may_update.contains(&column.as_str())) {
            role.is_denied(&format!("UPDATE {table} SET {quoted} = NULL")).await;
        }
    }
    for table in tables {
        role.is_denied(&format!("DELETE FROM {table}")).await;
        role.is_denied(&format!("TRUNCATE TABLE {table}")).await;
        role.is_denied(&format!("DROP TABLE {table}")).await;
    }
}

async fn enqueues_and_looks_only(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let role = Role::new(&database).await;
    let columns = columns(&store, kind).await;

    let mut listener = store.listen(&database.options(), None).await.unwrap();
    for statement in blocks("docs/SQL.md", "sql") {
        let needs_more = ["sexton_output", "INTO sexton_schedule", "INTO sexton_event"];
        match needs_more.iter().any(|word| statement.contains(word)) {
            true => role.is_denied(statement.trim_end().trim_end_matches(';')).await,
            false => role.execute(statement.trim_end().trim_end_matches(';')).await,
        }
    }
    if kind == Kind::Postgres {
        role.execute(&block("docs/SQL.md", "sql postgresql")).await;
        let heard = tokio::time::timeout(PATIENCE, listener.wait()).await.expect("the NOTIFY arrives");
        assert_eq!(heard.unwrap(), Wakeup::Anything);
    }
    changes_nothing(&role, &columns, kind, &[], &[]).await;
    role.is_denied("SELECT login FROM sexton_audit").await;
    let waiting = store.tasks(&TaskFilter { limit: 10, ..Default::default() }).await.unwrap();
    let mut found = String::new();
    for task in &waiting {
        write!(found, "{} {:?} ", task.name, task.queue.as_deref()).unwrap();
    }
    assert_eq!(found, "report Some(\"reports\") cleanup None ", "its tasks are there, and nothing else has changed");

    // What it takes to cancel and to start.
    role.grant_block("control").await;
    changes_nothing(&role, &columns, kind, &["cancel_requested_at", "run_at"], &DEED_COLUMNS).await;
    role.is_denied("SELECT login FROM sexton_audit").await;
    let now = if kind == Kind::Postgres { "now()" } else { "utc_timestamp(6)" };
    let daemon = database.daemon("n", SETTINGS);
    eventually("its task is done", async || completed(&store).await == 1).await;
    role.execute("INSERT INTO sexton_task (name, run_at) VALUES ('cleanup', '9999-12-31 00:00:00')").await;
    role.execute("INSERT INTO sexton_task (name) VALUES ('long')").await;
    let state = async |name: &str| {
        let tasks = store.tasks(&TaskFilter { limit: 10, ..Default::default() }).await.unwrap();
        tasks.iter().find(|task| task.name == name).map(|task| task.state)
    };
    eventually("it runs", async || state("long").await == Some(Running)).await;
    eventually("it is on hold", async || state("cleanup").await == Some(Scheduled)).await;
    let tasks = store.tasks(&TaskFilter { limit: 10, ..Default::default() }).await.unwrap();
    let long = tasks.iter().find(|task| task.name == "long").unwrap().id;
    let deed = block("docs/SQL.md", "sql deed").replace("42", &long.to_string());
    role.execute(deed.trim_end().trim_end_matches(';')).await;
    role.execute(&format!("UPDATE sexton_task SET cancel_requested_at = {now} WHERE name = 'long'")).await;
    role.execute(&format!("UPDATE sexton_task SET run_at = {now} WHERE name = 'cleanup'")).await;
    eventually("it is started", async || completed(&store).await == 2).await;
    eventually("it is cancelled", async || state("long").await.is_none()).await;
    let rows = history(&store).await;
    let row = rows.iter().find(|row| row.name == "long").unwrap();
    assert_eq!(row.verdict, Some(Verdict::Cancelled), "{row:?}");
    assert_eq!((row.cancelled_by.as_deref(), row.cancel_reason.as_deref()), (Some("alice"), Some("wrong month")));
    let again =
        blocks("docs/SQL.md", "sql").into_iter().find(|sql| sql.contains("SELECT name, payload, queue")).unwrap();
    let first = rows.iter().find(|row| row.name == "cleanup").unwrap().task_id.unwrap();
    assert!(again.contains("task_id = 42"), "{again}");
    role.execute(&again.replace("task_id = 42", &format!("task_id = {first}"))).await;
    eventually("it is done again", async || completed(&store).await == 3).await;

    // What it takes to let a task wait for another one.
    role.is_denied(&format!("INSERT INTO sexton_task_dependency (task_id, after_id) VALUES (1, {first})")).await;
    role.grant_block("chain").await;
    role.execute("INSERT INTO sexton_task (name, state, group_name) VALUES ('cleanup', 'waiting', 'g')").await;
    let waiting = store.tasks(&TaskFilter { limit: 10, ..Default::default() }).await.unwrap();
    let waiting = waiting.iter().find(|task| task.state == Waiting).unwrap().id;
    role.execute(&format!("INSERT INTO sexton_task_dependency (task_id, after_id) VALUES ({waiting}, {first})")).await;
    eventually("it has begun after a task of the history", async || completed(&store).await == 4).await;
    role.is_denied("UPDATE sexton_task_dependency SET outcome = 'succeeded'").await;
    daemon.stop();
}

#[test]
fn an_application_role_enqueues_and_looks_only_on_postgres() {
    block_on(enqueues_and_looks_only(Kind::Postgres));
}

#[test]
fn an_application_role_enqueues_and_looks_only_on_mariadb() {
    block_on(enqueues_and_looks_only(Kind::MariaDb));
}

#[test]
fn an_application_role_enqueues_and_looks_only_on_mysql() {
    block_on(enqueues_and_looks_only(Kind::MySql));
}
