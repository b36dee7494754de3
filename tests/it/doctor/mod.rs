//! `sexton doctor`: faults that are planted are found, and what is sound is not blamed.

mod channels;
mod host;

use std::{collections::BTreeSet, fs, path::Path};

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::Value;
use sexton::store::expected_indexes;

use crate::support::{
    Daemon, Database, Kind, Printed as _, Role, block_on, document::block, eventually, on_each_database, sexton,
};

/// What the doctor says, with the exit code that goes with it.
struct Said {
    code: i32,
    answer: Value,
}

impl Said {
    fn texts(&self, severity: &str, area: &str) -> Vec<&str> {
        let findings = self.answer["findings"].as_array().unwrap();
        let is_meant = |finding: &&Value| finding["severity"] == severity && finding["area"] == area;
        findings.iter().filter(is_meant).map(|finding| finding["found"].as_str().unwrap()).collect()
    }

    fn finds(&self, severity: &str, area: &str, words: &str) {
        let texts = self.texts(severity, area);
        assert!(texts.iter().any(|text| text.contains(words)), "`{words}` is missing: {:#}", self.answer);
    }

    fn does_not_find(&self, area: &str) {
        for severity in ["note", "warning", "error"] {
            assert_eq!(self.texts(severity, area), Vec::<&str>::new(), "{:#}", self.answer);
        }
    }

    fn unseen(&self) -> Vec<&str> {
        self.answer["unseen"].as_array().unwrap().iter().map(|unseen| unseen["what"].as_str().unwrap()).collect()
    }
}

fn examined_with(file: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = sexton(file);
    command.args(["--json", "doctor"]).args(arguments).envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert_eq!(output.errors(), "");
    let (code, answer) = (output.status.code().unwrap(), output.json());
    let severity = answer["severity"].as_str().unwrap();
    let expected = ["ok", "warning", "error"].iter().position(|word| *word == severity).unwrap_or(0);
    assert_eq!(code, expected as i32, "{severity}");
    for finding in answer["findings"].as_array().unwrap() {
        let has_advice = finding["why"].is_string() && finding["remedy"].is_string();
        assert_eq!(has_advice, finding["severity"] != "ok", "{finding}");
    }
    Said { code, answer }
}

fn examined(file: &Path) -> Said {
    examined_with(file, &[], &[])
}

async fn run(database: &Database, sql: &str) {
    let store = database.bare_store();
    store.connection().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
}

const SETTINGS: &str = "heartbeat = \"200ms\"\n[task.fine]\nkind = \"noop\"\n[task.fail]\ncommand = [\"false\"]\n";

on_each_database! {
    async fn a_daemon_at_work_is_sound(database: Database) {
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        eventually("the node has registered", async || examined(&file).texts("note", "nodes").is_empty()).await;
        let said = examined(&file);
        if matches!(database.kind, Kind::Sqlite | Kind::Postgres) {
            said.does_not_find("configuration");
        } else {
            said.finds("warning", "configuration", "contains a password, and everybody may read it");
        }
        for area in ["tables", "transactions", "directories", "nodes", "clock", "limits"] {
            said.does_not_find(area);
        }
        assert_eq!(said.unseen(), Vec::<&str>::new(), "{:#}", said.answer);
        let product = ["SQLite", "PostgreSQL", "MariaDB", "MySQL"][database.kind as usize];
        said.finds("ok", "database", &format!("The database is {product} "));
        said.finds("ok", "tables", "with all their indexes");
        said.finds("note", "notices", "No channel for notices");
        // The servers of the tests are quick and careless, and their accounts are almighty.
        match database.kind {
            Kind::Sqlite => said.does_not_find("database"),
            Kind::Postgres => {
                said.finds("error", "database", "fsync is off.");
                said.finds("warning", "database", "synchronous_commit is off.");
                said.finds("warning", "rights", "postgres is a superuser");
            }
            Kind::MariaDb | Kind::MySql => {
                said.finds("warning", "database", "innodb_flush_log_at_trx_commit is 0.");
                said.finds("warning", "rights", "has rights on the whole server");
            }
        }
        let words = sexton(&file).arg("doctor").output().unwrap();
        assert!(words.text().lines().any(|line| line.starts_with("note     notices       No channel")), "{}", words.text());
        assert!(words.text().contains("         do            Add a [notify.NAME] table"), "{}", words.text());
        daemon.stop();
        examined(&file).finds("note", "nodes", "No daemon with this configuration is running");
    }

    async fn a_database_without_tables_is_said(database: Database) {
        let file = database.config("n", "");
        let said = examined(&file);
        match database.kind {
            Kind::Sqlite => said.finds("note", "database", "does not exist yet"),
            _ => said.finds("note", "tables", "has no tables of Sexton yet"),
        }
        assert!(!database.folder.path().join("sexton.db").exists(), "a look creates nothing");
        assert!(sexton(&file).args(["db", "migrate"]).status().unwrap().success());
        run(&database, "DELETE FROM sexton_migration WHERE version LIKE '%deploy_configurations'").await;
        let said = examined(&file);
        said.finds("note", "tables", "1 migration to apply: m20261122_000037_deploy_configurations");
        run(&database, "INSERT INTO sexton_migration (version, applied_at) VALUES ('m99990101_000001_later', 1)").await;
        let said = examined(&file);
        said.finds("error", "tables", "(step m99990101_000001_later)");
        assert_eq!(said.code, 2);
    }

    async fn each_missing_index_is_found_and_its_statement_creates_it(database: Database) {
        let file = database.config("n", "");
        let store = database.store().await;
        let all = expected_indexes(store.database());
        for index in &all {
            match database.kind {
                Kind::Sqlite => run(&database, &format!("DROP INDEX {}", index.name)).await,
                Kind::Postgres => {
                    run(&database, &format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", index.table, index.name)).await;
                    run(&database, &format!("DROP INDEX IF EXISTS {}", index.name)).await;
                }
                Kind::MariaDb | Kind::MySql => run(&database, &format!("DROP INDEX {} ON {}", index.name, index.table)).await,
            }
        }
        let said = examined(&file);
        assert_eq!(said.texts("error", "tables").len(), all.len(), "{:#}", said.answer);
        for finding in said.answer["findings"].as_array().unwrap().iter().filter(|finding| finding["area"] == "tables") {
            if finding["severity"] == "error" {
                run(&database, finding["remedy"].as_str().unwrap().trim_end_matches(';')).await;
            }
        }
        examined(&file).does_not_find("tables");
    }

    async fn old_history_and_open_problems_are_found(database: Database) {
        let file = database.config("n", SETTINGS);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        assert!(call(&["db", "migrate"]).status.success());
        assert!(call(&["task", "add", "fail"]).status.success());
        assert_eq!(call(&["run", "--once"]).status.code(), Some(1), "the task failed");
        run(&database, "UPDATE sexton_history SET finished_at = '2020-01-01 00:00:00'").await;
        let said = examined(&file);
        said.finds("warning", "nodes", "1 open problem: 1 task fail: exit code 1");
        said.finds("warning", "tables", "The oldest attempt in the history is ");
    }
}

/// Every index of a fresh database is one that the doctor misses if it is gone.
async fn every_index_is_expected(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let sql = match kind {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        Kind::Postgres => {
            "SELECT CAST(indexname AS text) AS name FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'"
        }
        Kind::MariaDb | Kind::MySql => {
            "SELECT DISTINCT CAST(index_name AS CHAR) AS name FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY'"
        }
    };
    let statement = sea_orm::Statement::from_string(store.connection().get_database_backend(), sql);
    let rows = store.connection().query_all_raw(statement).await.unwrap();
    let present: BTreeSet<String> = rows.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    let expected = expected_indexes(store.database()).into_iter().map(|index| index.name.to_owned());
    assert_eq!(present, expected.collect(), "src/store/doctor/indexes.rs lists them");
}

#[test]
fn every_index_of_a_fresh_database_is_expected() {
    block_on(async {
        for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb, Kind::MySql] {
            every_index_is_expected(kind).await;
        }
    });
}

#[test]
fn an_invalid_index_and_dead_rows_are_found() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let file = database.config("n", "");
        let _store = database.store().await;
        run(&database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sexton_task_claim'::regclass").await;
        let said = examined(&file);
        said.finds("error", "tables", "The index sexton_task_claim is invalid.");
        run(&database, "ALTER TABLE sexton_task SET (autovacuum_enabled = false)").await;
        run(&database, "INSERT INTO sexton_task (name) SELECT 'x' FROM generate_series(1, 30000)").await;
        run(&database, "DELETE FROM sexton_task").await;
        eventually("the statistics of the server know of it", async || {
            examined(&file).texts("warning", "tables").iter().any(|text| text.contains("30000 dead rows beside 0 live"))
        })
        .await;
    });
}

#[test]
fn a_transaction_that_lasts_is_found() {
    block_on(async {
        for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
            let begin = "2026-11-22T10:00:00Z".parse().unwrap();
            let (database, _server, clock) = Database::with_clock(kind, begin).await;
            let file = database.config("n", "");
            let store = database.store().await;
            let forgotten = database.application().await.begin().await.unwrap();
            forgotten.execute_unprepared("INSERT INTO sexton_queue (name) VALUES ('forgotten')").await.unwrap();
            clock.set(begin + chrono::TimeDelta::minutes(20));
            let end = begin + chrono::TimeDelta::minutes(19);
            eventually("the server's clock is ahead", async || store.now().await.unwrap() > end).await;
            let found = async || examined(&file);
            let said = found().await;
            said.finds("warning", "transactions", "has lasted for ");
            let remedy =
                said.answer["findings"].as_array().unwrap().iter().find(|finding| finding["area"] == "transactions");
            let remedy = remedy.unwrap()["remedy"].as_str().unwrap().split(" or: ").nth(1).unwrap().to_owned();
            run(&database, remedy.trim_end_matches(';')).await;
            eventually("it is ended by the command", async || {
                found().await.texts("warning", "transactions").is_empty()
            })
            .await;
            drop(forgotten);
        }
    });
}

/// The doctor names the rights that a role lacks, and the statement that it shows gives them.
async fn a_role_without_rights(kind: Kind) {
    let database = Database::new(kind).await;
    let _store = database.store().await;
    let role = Role::new(&database).await;
    let file = database.config("n", "");
    let text = fs::read_to_string(&file).unwrap().replace(&database.url, role.url.as_str());
    fs::write(&file, text).unwrap();
    let said = examined(&file);
    assert_eq!(said.code, 2);
    said.finds("error", "rights", "may not INSERT, UPDATE, DELETE in sexton_history, ");
    let remedies: Vec<String> = said.answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["area"] == "rights" && finding["severity"] == "error")
        .map(|finding| finding["remedy"].as_str().unwrap().split_once(": ").unwrap().1.to_owned())
        .collect();
    assert!(!remedies.is_empty());
    // On MySQL a role sees only the tables for which it has a right: after each round there may be more.
    for statement in remedies.iter().flat_map(|remedy| remedy.split_terminator(';')) {
        run(&database, statement.trim()).await;
    }
    for table in sexton_tables(&database).await {
        run(&database, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {}", grantee(&role, kind))).await;
    }
    let said = examined(&file);
    assert_eq!(said.texts("error", "rights"), Vec::<&str>::new(), "{:#}", said.answer);
    said.finds("note", "rights", "may not create tables");
    assert_eq!(said.texts("warning", "rights"), Vec::<&str>::new(), "it has few rights");
    if kind != Kind::Postgres {
        assert!(said.unseen().contains(&"transactions"), "{:#}", said.answer);
        run(&database, &format!("GRANT PROCESS ON *.* TO {}", grantee(&role, kind))).await;
        assert!(!examined(&file).unseen().contains(&"transactions"));
    }
}

fn grantee(role: &Role, kind: Kind) -> String {
    if kind == Kind::Postgres { role.name.clone() } else { format!("{}@'%'", role.name) }
}

async fn sexton_tables(database: &Database) -> Vec<String> {
    database.bare_store().table_facts().await.unwrap().into_iter().map(|table| table.name).collect()
}

#[test]
fn a_role_without_rights_gets_them_by_what_is_shown_on_postgres() {
    block_on(a_role_without_rights(Kind::Postgres));
}

#[test]
fn a_role_without_rights_gets_them_by_what_is_shown_on_mariadb() {
    block_on(a_role_without_rights(Kind::MariaDb));
}

#[test]
fn a_role_without_rights_gets_them_by_what_is_shown_on_mysql() {
    block_on(a_role_without_rights(Kind::MySql));
}

#[test]
fn the_statements_of_the_page_make_a_role_that_is_enough() {
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
        block_on(async {
            let database = Database::new(kind).await;
            let dialect = if kind == Kind::Postgres { "postgresql" } else { "mysql" };
            let name = format!("d{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
            let mut url = url::Url::parse(&database.url).unwrap();
            let shop = url.path().trim_start_matches('/').to_owned();
            let page = block("docs/DOCTOR.md", &format!("sql {dialect} daemon"));
            for statement in page.split_terminator(';').map(str::trim).filter(|sql| !sql.is_empty()) {
                let sql =
                    statement.replace("sexton", &name).replace("shop.", &format!("{shop}.")).replace("localhost", "%");
                run(&database, &sql).await;
            }
            url.set_username(&name).unwrap();
            url.set_password(Some("secret")).unwrap();
            let file = database.config("n", "");
            let schema = if kind == Kind::Postgres { format!("schema = \"{name}\"\n") } else { String::new() };
            let text = fs::read_to_string(&file).unwrap();
            let text = text.replace(&format!("url = \"{}\"\n", database.url), &format!("url = \"{url}\"\n{schema}"));
            fs::write(&file, text).unwrap();
            assert!(sexton(&file).args(["db", "migrate"]).status().unwrap().success());
            let said = examined(&file);
            said.does_not_find("rights");
            said.finds("ok", "rights", "may do what the daemon needs");
            said.finds("ok", "tables", "with all their indexes");
        });
    }
}
