//! Several Sextons beside each other: on PostgreSQL in schemas, each with a channel for wake-ups; elsewhere in databases.

use std::{fs, path::PathBuf};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, TransactionTrait as _};
use sexton::{
    Client, NewTask,
    store::{ConnectOptions, Store, Wakeup},
};

use super::count;
use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, sexton};

/// Polling is so slow here that a task which is done was announced.
const SETTINGS: &str = "poll_interval = \"10m\"\n[task.nothing]\nkind = \"noop\"";

/// A configuration with these lines more in `[database]`.
fn config(database: &Database, name: &str, lines: &str) -> PathBuf {
    let file = database.config(name, SETTINGS);
    let text = fs::read_to_string(&file).unwrap().replacen("\n\n[daemon]", &format!("\n{lines}\n[daemon]"), 1);
    fs::write(&file, text).unwrap();
    file
}

fn store(database: &Database, schema: Option<&str>) -> (Store, ConnectOptions) {
    let schema = schema.map(|name| name.parse().unwrap());
    let options = ConnectOptions { schema, ..database.options() };
    (Store::connect(&options).unwrap(), options)
}

#[test]
fn sextons_in_schemas_of_their_own_do_not_see_each_other() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let first = config(&database, "first", "schema = \"first\"\nnotify_on_insert = true\n");
        let second = config(&database, "second", "schema = \"second\"\n");
        let plain = config(&database, "plain", "");
        let daemons = [&first, &second, &plain].map(|file| Daemon::start(file, &["run"]));
        let application = database.application().await;
        let stores = [Some("first"), Some("second"), None].map(|schema| store(&database, schema).0);
        let finished = async || {
            let mut counts = Vec::new();
            for store in &stores {
                counts.push(count(store, "COUNT(*) FROM sexton_history").await);
            }
            counts
        };
        let insert = async |application: &DatabaseConnection, sql: &str| {
            application.execute_unprepared(sql).await.unwrap();
        };
        insert(&application, "INSERT INTO first.sexton_task (name) VALUES ('nothing')").await;
        eventually("the first one hears of a plain insert", async || finished().await == [1, 0, 0]).await;
        let added = sexton(&second).args(["task", "add", "nothing"]).output().unwrap();
        assert!(added.status.success(), "{}", added.errors());
        eventually("the second one hears of the command line", async || finished().await == [1, 1, 0]).await;
        Client::connect(&database.url).unwrap().enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("the one in `public` hears of a client", async || finished().await == [1, 1, 1]).await;
        let client = Client::connect_in_schema(&database.url, "first").unwrap();
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("the first one hears of a client", async || finished().await == [2, 1, 1]).await;
        insert(&application, "INSERT INTO second.sexton_task (name) VALUES ('nothing'); NOTIFY sexton_wakeup_second")
            .await;
        eventually("the second one hears of an application", async || finished().await == [2, 2, 1]).await;
        for store in &stores {
            assert_eq!(count(store, "COUNT(*) FROM sexton_node").await, 1, "each sees itself alone");
            assert!(count(store, "COUNT(*) FROM sexton_migration").await > 5, "each has its own steps");
        }
        let shown = sexton(&first).args(["config", "show"]).output().unwrap().text();
        assert!(shown.contains("schema = \"first\""), "{shown}");
        for daemon in daemons {
            daemon.stop();
        }
    });
}

#[test]
fn a_wake_up_stays_in_its_schema() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let (first, options) = store(&database, Some("first"));
        let (second, _) = store(&database, Some("second"));
        let (plain, plain_options) = store(&database, None);
        let (public, _) = store(&database, Some("public"));
        let mut in_first = first.listen(&options, None).await.unwrap();
        let mut in_public = plain.listen(&plain_options, None).await.unwrap();
        // They arrive in this order, so the first one that is heard is the first one that can be heard.
        second.wake(Wakeup::Anything).await.unwrap();
        public.wake(Wakeup::Cancel).await.unwrap();
        first.wake(Wakeup::Later).await.unwrap();
        assert_eq!(in_first.wait().await.unwrap(), Wakeup::Later);
        assert_eq!(in_public.wait().await.unwrap(), Wakeup::Cancel, "`public` is what is meant without a schema");
    });
}

#[test]
fn a_schema_that_is_missing_is_named() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let role = format!("r{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
        let owner = database.application().await;
        owner.execute_unprepared(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
        let own_url = database.url.clone();
        database.url = database.url.replacen("postgres@", &format!("{role}@"), 1);
        let file = config(&database, "n", "schema = \"chores\"\n");
        let run = |words: [&str; 2]| sexton(&file).args(words).output().unwrap();
        let migrated = run(["db", "migrate"]);
        assert!(!migrated.status.success(), "{}", migrated.text());
        for part in ["there is no schema `chores`, and this role cannot create it", "permission denied for database"] {
            assert!(migrated.errors().contains(part), "{}", migrated.errors());
        }
        let status = run(["db", "status"]);
        assert!(status.errors().contains("the database has no schema `chores`"), "{}", status.errors());
        // The way out that the message names.
        owner.execute_unprepared(&format!("CREATE SCHEMA chores AUTHORIZATION {role}")).await.unwrap();
        let migrated = run(["db", "migrate"]);
        assert!(migrated.status.success(), "{}", migrated.errors());
        database.url = own_url;
        let in_public = "COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'";
        assert_eq!(count(&database.bare_store(), in_public).await, 0, "nothing was made elsewhere");
    });
}

#[test]
fn a_schema_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let problem = |url: &str, schema: &str| {
        fs::write(&file, format!("[database]\nurl = \"{url}\"\nschema = \"{schema}\"\n")).unwrap();
        let output = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(!output.status.success(), "{}", output.text());
        output.errors()
    };
    for url in ["sqlite://a.db", "mysql://h/d"] {
        let found = problem(url, "chores");
        assert!(found.contains("sexton.toml:3") && found.contains("a schema is for PostgreSQL only"), "{found}");
    }
    let found = problem("postgres://h/d", "My Schema");
    assert!(found.contains("`My Schema` is not the name of a schema"), "{found}");
    assert!(problem("postgres://h/d", "pg_toast").contains("belongs to PostgreSQL itself"));
}

/// On MySQL and MariaDB a database is what a schema is on PostgreSQL.
async fn enqueues_into_another_database(kind: Kind) {
    let (own, other) = (Database::new(kind).await, Database::new(kind).await);
    let (own_store, store) = (own.store().await, other.store().await);
    let application = own.application().await;
    let name = other.url.rsplit('/').next().unwrap();
    for (number, is_committed) in [(1, false), (2, true)] {
        let transaction = application.begin().await.unwrap();
        transaction.execute_unprepared("INSERT INTO sexton_task (name) VALUES ('here')").await.unwrap();
        let sql = format!("INSERT INTO {name}.sexton_task (name) VALUES ('there{number}')");
        transaction.execute_unprepared(&sql).await.unwrap();
        if is_committed { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
    }
    assert_eq!(count(&own_store, "COUNT(*) FROM sexton_task WHERE name = 'here'").await, 1);
    assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE name = 'there2'").await, 1);
    assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 1, "what was rolled back is in neither");
}

#[test]
fn one_transaction_enqueues_into_two_databases_of_mariadb() {
    block_on(enqueues_into_another_database(Kind::MariaDb));
}

#[test]
fn one_transaction_enqueues_into_two_databases_of_mysql() {
    block_on(enqueues_into_another_database(Kind::MySql));
}
