//! Kind `sql`: statements of the configuration in one transaction, on Sexton's own database exactly once.

use std::{os::unix::process::ExitStatusExt as _, path::Path};

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use sexton::{NewTask, store::Store};
use sexton_client::Client;
use sexton_entities::states::{Outcome, Verdict};

use crate::{
    commands::Stand,
    daemon::count,
    support::{Daemon, Database, Kind, eventually, on_each_database, sexton, value},
};

const TABLES: [&str; 3] = [
    "CREATE TABLE ticket (id integer NOT NULL PRIMARY KEY, state varchar(20))",
    "INSERT INTO ticket (id, state) VALUES (1, 'new'), (2, 'new'), (3, 'new')",
    "CREATE TABLE note (task bigint, attempt bigint, word varchar(20))",
];

async fn execute(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

async fn with_tables(database: &Database) -> Store {
    let store = database.store().await;
    for sql in TABLES {
        execute(&store, sql).await;
    }
    store
}

/// A task `it` of these statements.
fn task(statements: &[&str], more: &str) -> String {
    let statements = toml::Value::from(statements.to_vec());
    format!(
        "heartbeat = \"500ms\"\nlease = \"3s\"\n[task.it]\nkind = \"sql\"\nstatements = {statements}\n\
         retry = {{ delay = \"20ms\", growth = \"fixed\" }}\n{more}\n"
    )
}

async fn stand(database: Database, statements: &[&str], more: &str) -> Stand {
    with_tables(&database).await;
    Stand::on(database, &task(statements, more)).await
}

fn statements(result: Option<&sexton_entities::json_text::JsonText>) -> Value {
    let result = result.map(|result| result.decode::<Value>().unwrap()).unwrap();
    result["statements"].clone()
}

/// A statement that takes long while the table `slow` has a row.
fn slow(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT n.i + 1 FROM n, slow) SELECT COUNT(*) AS slept FROM n"
        }
        Kind::Postgres => "SELECT pg_sleep(600)::text AS slept FROM slow",
        Kind::MariaDb | Kind::MySql => "SELECT SLEEP(600) AS slept FROM slow",
    }
}

/// How many sessions of the database's server execute that statement; unknown without a server.
async fn sleeping(store: &Store, kind: Kind) -> i64 {
    match kind {
        Kind::Sqlite => 0,
        Kind::Postgres => {
            count(store, "COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%'").await
        }
        Kind::MariaDb | Kind::MySql => {
            count(store, "COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'").await
        }
    }
}

const UPDATE: &str = "UPDATE ticket SET state = :state WHERE id = :ticket";
const NOTE: &str = "INSERT INTO note (task, attempt, word) VALUES (:task_id, :attempt, 'done')";

on_each_database! {
    async fn statements_are_executed_with_values_and_are_on_record(database: Database) {
        let list = [UPDATE, NOTE, "SELECT id, state FROM ticket ORDER BY id", "DELETE FROM ticket WHERE id > 100"];
        let mut stand = stand(database, &list, "bind = { ticket = \"$.ticket.id\", state = \"closed\" }").await;
        let (row, _) = stand.run(Some(json!({ "ticket": { "id": 2 } }))).await;
        assert_eq!((row.outcome, row.kind.as_deref()), (Outcome::Succeeded, Some("sql")), "{:?}", row.error);
        let expected = json!([
            { "rows_affected": 1 },
            { "rows_affected": 1 },
            { "rows_affected": 0, "rows": [{ "id": 1, "state": "new" }, { "id": 2, "state": "closed" }, { "id": 3, "state": "new" }] },
            { "rows_affected": 0 },
        ]);
        assert_eq!(statements(row.result.as_ref()), expected);
        let noted = ["COUNT(*) FROM note WHERE attempt = 1 AND task = ", &row.task_id.unwrap().to_string()].concat();
        assert_eq!(count(&stand.store, &noted).await, 1);
        let strange = json!({ "ticket": { "id": "1 OR 1 = 1" } });
        let (_, _) = stand.run(Some(strange)).await;
        assert_eq!(count(&stand.store, "COUNT(*) FROM ticket WHERE state = 'closed' AND id <> 1").await, 1, "a value is no SQL");
        stand.stop();
    }

    async fn a_mistake_is_discarded_and_nothing_is_changed(database: Database) {
        let kind = database.kind;
        let store = with_tables(&database).await;
        let cases: [(&str, Value, &str); 5] = [
            ("UPDATE nowhere SET a = 1", json!({ "id": 1 }), "statement 2: "),
            ("UPDTE ticket SET state = 'x'", json!({ "id": 1 }), "statement 2: "),
            ("INSERT INTO ticket (id, state) VALUES (1, 'twice')", json!({ "id": 1 }), "statement 2: "),
            ("SELECT id, id FROM ticket", json!({ "id": 1 }), "statement 2: it returns two columns `id`"),
            ("SELECT 1 AS one", json!({ "other": 1 }), "the payload has nothing at `$.id`, which `bind` names"),
        ];
        for (statement, payload, expected) in cases {
            let list = ["UPDATE ticket SET state = 'changed' WHERE id = :id", statement];
            let file = database.config("n", &task(&list, "bind = { id = \"$.id\" }\nmax_attempts = 5"));
            let mut stand = Stand { daemon: Some(Daemon::start(&file, &["run"])), database: Database::new(Kind::Sqlite).await, store: store.clone(), config: file };
            let (row, _) = stand.run(Some(payload)).await;
            let error = row.error.unwrap();
            assert!(error.starts_with(expected), "{kind:?}: {error}");
            assert_eq!((row.verdict, row.attempt), (Some(Verdict::Discarded), 1), "{statement}");
            stand.stop();
        }
        assert_eq!(count(&store, "COUNT(*) FROM ticket WHERE state = 'changed'").await, 0);
    }

    async fn a_lost_claim_changes_nothing(database: Database) {
        let lose = "UPDATE sexton_task SET fence = fence + 1 WHERE id = :task_id";
        let mut stand = stand(database, &[NOTE, lose], "max_attempts = 1").await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.error.as_deref(), Some("the statements are rolled back: this attempt lost its claim"));
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 0);
        stand.stop();
    }

    async fn killed_after_the_commit_they_are_not_executed_again(database: Database) {
        let store = with_tables(&database).await;
        let file = database.config("n", &task(&[NOTE, "SELECT attempt FROM note"], ""));
        let id = Client::connect(&database.url).unwrap().enqueue(NewTask::new("it")).await.unwrap().id();
        let path = file.clone();
        tokio::task::spawn_blocking(move || die_at(&path, "attempts ended")).await.unwrap();
        assert_eq!(count(&store, "COUNT(*) FROM note").await, 1);
        let mut stand = Stand { daemon: Some(Daemon::start(&file, &["run"])), database, store, config: file };
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "{:?}", row.error);
        assert_eq!(statements(row.result.as_ref())[1]["rows"], json!([{ "attempt": 1 }]), "the result of the first attempt");
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 1);
        stand.stop();
    }

    async fn killed_before_the_commit_they_are_executed_once(database: Database) {
        let kind = database.kind;
        let store = with_tables(&database).await;
        execute(&store, "CREATE TABLE slow (i integer)").await;
        execute(&store, "INSERT INTO slow VALUES (1)").await;
        let file = database.config("n", &task(&[NOTE, slow(kind)], ""));
        let mut stand = Stand { daemon: Some(Daemon::start(&file, &["run"])), database, store, config: file };
        let id = Client::connect(&stand.database.url).unwrap().enqueue(NewTask::new("it")).await.unwrap().id();
        eventually("it runs", async || match kind {
            Kind::Sqlite => stand.store.task(id).await.unwrap().is_some_and(|task| task.node.is_some()),
            _ => sleeping(&stand.store, kind).await == 1,
        }).await;
        stand.kill();
        execute(&stand.store, "DELETE FROM slow").await;
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 0);
        stand.start();
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 1);
        stand.stop();
    }

    async fn a_cancel_and_the_time_limit_end_them_on_the_server(database: Database) {
        let kind = database.kind;
        let store = with_tables(&database).await;
        execute(&store, "CREATE TABLE slow (i integer)").await;
        execute(&store, "INSERT INTO slow VALUES (1)").await;
        let mut stand = Stand::on(database, &task(&[NOTE, slow(kind)], "timeout = \"2s\"")).await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::TimedOut, "{:?}", row.error);
        eventually("the server has ended it", async || sleeping(&stand.store, kind).await == 0).await;
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 0);
        stand.stop();
        let settings = task(&[NOTE, slow(kind)], "");
        let file = stand.database.config("n", &settings);
        stand.config = file;
        stand.start();
        let id = Client::connect(&stand.database.url).unwrap().enqueue(NewTask::new("it")).await.unwrap().id();
        eventually("it runs", async || match kind {
            Kind::Sqlite => stand.store.task(id).await.unwrap().is_some_and(|task| task.node.is_some()),
            _ => sleeping(&stand.store, kind).await == 1,
        }).await;
        if kind != Kind::Sqlite {
            let cancelled = sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
            assert!(cancelled.status.success());
            let row = stand.finished(id).await;
            assert_eq!(row.outcome, Outcome::Cancelled, "{:?}", row.error);
            eventually("the server has ended it", async || sleeping(&stand.store, kind).await == 0).await;
            assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 0);
        }
        stand.stop();
    }

    async fn a_result_that_is_too_long_is_cut_and_says_so(database: Database) {
        let list = [
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) SELECT i FROM n ORDER BY i",
            "SELECT state FROM ticket",
        ];
        let mut stand = stand(database, &list, "max_rows = 120").await;
        let (row, output) = stand.run(None).await;
        let found = statements(row.result.as_ref());
        assert_eq!((&found[0]["rows_left_out"], found[0]["rows"].as_array().unwrap().len()), (&json!(30), 120));
        assert_eq!(found[1]["rows"].as_array().unwrap().len(), 3);
        let output = output.unwrap().stdout;
        assert!(output.contains("statement 1 returned 30 rows more than the record takes"), "{output}");
        stand.stop();
    }

    async fn an_application_with_a_database_of_its_own_is_changed(database: Database) {
        let shop = Database::new(database.kind).await;
        let theirs = with_tables(&shop).await;
        let more = format!("bind = {{ ticket = 1, state = \"closed\" }}\nurl = \"{}\"", shop.url);
        let mut stand = Stand::on(database, &task(&[UPDATE, NOTE], &more)).await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        assert_eq!(count(&theirs, "COUNT(*) FROM ticket WHERE state = 'closed'").await, 1);
        assert_eq!(count(&theirs, "COUNT(*) FROM note").await, 1);
        stand.stop();
    }

    async fn a_database_that_is_away_is_tried_again(database: Database) {
        let gone = match database.kind {
            Kind::Sqlite => "sqlite:///nowhere/at/all.db",
            Kind::Postgres => "postgres://u:secret@127.0.0.1:1/d",
            _ => "mysql://u:secret@127.0.0.1:1/d",
        };
        let mut stand = Stand::on(database, &task(&["SELECT 1 AS one"], &format!("max_attempts = 2\nurl = \"{gone}\""))).await;
        let (row, _) = stand.run(None).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Failed, 2), "{:?}", row.error);
        assert!(!row.error.unwrap().contains("secret"));
        stand.stop();
    }

    async fn a_conflict_is_tried_again(database: Database) {
        let kind = database.kind;
        let store = with_tables(&database).await;
        // The first attempt meets a conflict, as the servers report it.
        let failing = match kind {
            Kind::Postgres => {
                execute(&store, "CREATE FUNCTION fail(attempt bigint) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF attempt = 1 THEN \
                                 RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF; RETURN 1; END $$").await;
                "SELECT fail(:attempt) AS done"
            }
            Kind::MariaDb | Kind::MySql => {
                execute(&store, "CREATE FUNCTION fail(attempt bigint) RETURNS int DETERMINISTIC BEGIN IF attempt = 1 THEN \
                                 SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'; END IF; RETURN 1; END").await;
                "SELECT fail(:attempt) AS done"
            }
            Kind::Sqlite => "SELECT 1 AS done",
        };
        let file = database.config("n", &task(&[NOTE, failing], "max_attempts = 3"));
        let mut stand = Stand { daemon: Some(Daemon::start(&file, &["run"])), database, store, config: file };
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        assert_eq!(row.attempt, if kind == Kind::Sqlite { 1 } else { 2 });
        assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 1);
        stand.stop();
    }

    async fn procedures_and_returned_rows_are_on_record(database: Database) {
        let kind = database.kind;
        let store = with_tables(&database).await;
        let (statement, expected) = match kind {
            Kind::Sqlite => (
                "UPDATE ticket SET state = 'closed' WHERE id >= :ticket RETURNING id",
                json!({ "rows_affected": 2, "rows": [{ "id": 2 }, { "id": 3 }] }),
            ),
            Kind::Postgres => {
                execute(&store, "CREATE PROCEDURE close_tickets(first bigint, INOUT closed bigint) LANGUAGE plpgsql AS $$ BEGIN \
                                 UPDATE ticket SET state = 'closed' WHERE id >= first; GET DIAGNOSTICS closed = ROW_COUNT; END $$").await;
                ("CALL close_tickets(:ticket, 0)", json!({ "rows_affected": 0, "rows": [{ "closed": 2 }] }))
            }
            Kind::MariaDb | Kind::MySql => {
                execute(&store, "CREATE PROCEDURE close_tickets(first bigint) BEGIN UPDATE ticket SET state = 'closed' WHERE id >= first; \
                                 SELECT ROW_COUNT() AS closed; END").await;
                // MySQL does not count what a procedure changes.
                let affected = if kind == Kind::MariaDb { 2 } else { 0 };
                ("CALL close_tickets(:ticket)", json!({ "rows_affected": affected, "rows": [{ "closed": 2 }] }))
            }
        };
        let file = database.config("n", &task(&[statement], "bind = { ticket = \"$.id\" }"));
        let mut stand = Stand { daemon: Some(Daemon::start(&file, &["run"])), database, store, config: file };
        let (row, _) = stand.run(Some(json!({ "id": 2 }))).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        assert_eq!(statements(row.result.as_ref()), json!([expected]));
        assert_eq!(count(&stand.store, "COUNT(*) FROM ticket WHERE state = 'closed'").await, 2);
        stand.stop();
    }

    async fn values_become_json_as_those_of_a_sweep(database: Database) {
        let (statement, expected) = match database.kind {
            Kind::Sqlite => ("SELECT 9007199254740993 AS i, 1.5 AS f, '12.50' AS d, x'00ff' AS b, NULL AS n", json!({})),
            Kind::Postgres => (
                "SELECT 9007199254740993 AS i, 1.5::float8 AS f, 12.50 AS d, '\\x00ff'::bytea AS b, NULL AS n, \
                 '{\"a\": [1.10]}'::jsonb AS j, timestamptz '2026-01-02 03:04:05.5+02' AS at, date '2026-01-02' AS day, true AS flag, \
                 '00000000-0000-0000-0000-000000000001'::uuid AS u, CAST(ARRAY[1, 2] AS text) AS list, -0.001 AS small",
                json!({
                    "j": { "a": [1.10] }, "at": "2026-01-02T01:04:05.5Z", "day": "2026-01-02", "flag": true,
                    "u": "00000000-0000-0000-0000-000000000001", "list": "{1,2}", "small": "-0.001"
                }),
            ),
            Kind::MariaDb | Kind::MySql => (
                "SELECT 9007199254740993 AS i, CAST(1.5e0 AS DOUBLE) AS f, 12.50 AS d, x'00ff' AS b, NULL AS n, DATE '2026-01-02' AS day",
                json!({ "day": "2026-01-02" }),
            ),
        };
        let mut stand = stand(database, &[statement], "").await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        let mut all = json!({ "i": 9007199254740993_i64, "f": 1.5, "d": "12.50", "b": "AP8=", "n": null });
        all.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!(statements(row.result.as_ref())[0]["rows"], json!([all]));
        assert!(value(&row.result).is_some());
        stand.stop();
    }

    async fn what_ends_the_transaction_is_not_executed(database: Database) {
        let kind = database.kind;
        let mut stand = stand(database, &[NOTE, "CREATE TABLE made (id integer)"], "max_attempts = 3").await;
        let (row, _) = stand.run(None).await;
        match kind {
            Kind::Sqlite | Kind::Postgres => assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error),
            Kind::MariaDb | Kind::MySql => {
                assert_eq!(row.verdict, Some(Verdict::Discarded));
                let error = row.error.unwrap();
                assert!(error.starts_with("statement 2: MariaDB and MySQL end a transaction at `CREATE`"), "{error}");
                assert_eq!(count(&stand.store, "COUNT(*) FROM note").await, 0);
            }
        }
        stand.stop();
    }
}

fn die_at(file: &Path, step: &str) {
    let mut command = sexton(file);
    command.arg("run").env("SEXTON_FAULT_POINT", step);
    let mut daemon = Daemon::spawn_command(command, file);
    assert_eq!(daemon.wait().signal(), Some(9), "killed at `{step}`:\n{}", daemon.log());
}
