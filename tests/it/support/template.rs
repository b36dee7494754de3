//! Databases with Sexton's tables, copied from one that this build has migrated: tests need not wait for each step of the
//! schema's history. The tests of the steps themselves migrate (`Database::bare_store`).

use std::{fs::File, path::Path, time::UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use sea_orm::{ConnectionTrait as _, Database as SeaOrm, DatabaseConnection, DbBackend, Statement};
use sexton::store::{ConnectOptions, Store};

use super::{
    database::{Kind, home},
    eventually,
};

/// Gives an empty database its tables, if it is on `server` or a file. Returns false if it is not empty, or in use.
pub(super) async fn fill(kind: Kind, url: &str, server: Option<&str>) -> bool {
    if url.contains('?') {
        return false;
    }
    let is_there = |server: &&str| url.rsplit_once('/').unwrap().0 == server.rsplit_once('/').unwrap().0;
    match (kind, server.filter(is_there), url.strip_prefix("sqlite://")) {
        (Kind::Sqlite, _, Some(file)) => copy_file(Path::new(file)).await,
        (Kind::Postgres, Some(server), _) => copy_postgres(url, server).await,
        (Kind::MariaDb | Kind::MySql, Some(server), _) => copy_tables(kind, url, server).await,
        _ => false,
    }
}

async fn copy_file(file: &Path) -> bool {
    if file.exists() {
        return false;
    }
    let templates = home("sqlite");
    std::fs::create_dir_all(&templates).unwrap();
    let template = templates.join(format!("{}.db", build()));
    let _lock = locked(&templates);
    if !template.exists() {
        // Those of other builds.
        for other in std::fs::read_dir(&templates).unwrap() {
            std::fs::remove_file(other.unwrap().path()).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("sexton.db").display());
        migrate(&url).await;
        let made = SeaOrm::connect(&url).await.unwrap();
        let complete = folder.path().join("complete.db");
        made.execute_unprepared(&format!("VACUUM INTO '{}'", complete.display())).await.unwrap();
        std::fs::copy(&complete, &template).unwrap();
    }
    std::fs::copy(&template, file).unwrap();
    true
}

async fn copy_postgres(url: &str, server: &str) -> bool {
    let template = template_on(Kind::Postgres, server).await;
    let name = name_of(url);
    let connection = SeaOrm::connect(server).await.unwrap();
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace) AS empty";
    let is_empty = {
        let own = SeaOrm::connect(url).await.unwrap();
        let row = own.query_one_raw(statement(DbBackend::Postgres, empty)).await.unwrap().unwrap();
        own.close().await.unwrap();
        row.try_get::<bool>("", "empty").unwrap()
    };
    is_empty
        && connection.execute_unprepared(&format!("DROP DATABASE {name}")).await.is_ok()
        && connection.execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.is_ok()
}

async fn copy_tables(kind: Kind, url: &str, server: &str) -> bool {
    let template = template_on(kind, server).await;
    let own = SeaOrm::connect(url).await.unwrap();
    if !tables_of(&own, name_of(url)).await.is_empty() {
        return false;
    }
    for table in tables_of(&own, &template).await {
        own.execute_unprepared(&format!("CREATE TABLE {table} LIKE {template}.{table}")).await.unwrap();
        own.execute_unprepared(&format!("INSERT INTO {table} SELECT * FROM {template}.{table}")).await.unwrap();
    }
    own.close().await.unwrap();
    true
}

async fn tables_of(connection: &DatabaseConnection, database: &str) -> Vec<String> {
    let sql = format!("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = '{database}'");
    let rows = connection.query_all_raw(statement(DbBackend::MySql, &sql)).await.unwrap();
    rows.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}

/// The name of the template on a server, which the first test makes.
async fn template_on(kind: Kind, server: &str) -> String {
    let template = format!("template_{}", build());
    let _lock = locked(&home(kind.server()));
    let connection = SeaOrm::connect(server).await.unwrap();
    // It is complete once the mark exists.
    let mark = format!("made_{}", build());
    let known = match kind {
        Kind::Postgres => format!("SELECT datname AS name FROM pg_database WHERE datname = '{mark}'"),
        _ => format!("SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name = '{mark}'"),
    };
    if connection.query_one_raw(statement(connection.get_database_backend(), &known)).await.unwrap().is_none() {
        connection.execute_unprepared(&format!("DROP DATABASE IF EXISTS {template}")).await.unwrap();
        connection.execute_unprepared(&format!("CREATE DATABASE {template}")).await.unwrap();
        let (before, _) = server.rsplit_once('/').unwrap();
        migrate(&format!("{before}/{template}")).await;
        if kind == Kind::Postgres {
            // A database with sessions cannot be copied.
            let used = format!("SELECT 1 AS name FROM pg_stat_activity WHERE datname = '{template}'");
            eventually("the template is free", async || {
                connection.query_one_raw(statement(DbBackend::Postgres, &used)).await.unwrap().is_none()
            })
            .await;
        }
        connection.execute_unprepared(&format!("CREATE DATABASE {mark}")).await.unwrap();
    }
    connection.close().await.unwrap();
    template
}

async fn migrate(url: &str) {
    let options = ConnectOptions::new(url.to_owned());
    Store::connect(&options).unwrap().migrate(&options).await.unwrap();
}

/// What tells this build of the tests from another one, which may have other steps.
fn build() -> String {
    let built = std::env::current_exe().and_then(|file| file.metadata()?.modified()).unwrap();
    format!("{:x}", built.duration_since(UNIX_EPOCH).unwrap().as_nanos())
}

/// Excludes other tests that need the same template.
fn locked(what: &Path) -> Flock<File> {
    let file = File::options().create(true).append(true).open(what.with_extension("template")).unwrap();
    Flock::lock(file, FlockArg::LockExclusive).unwrap_or_else(|(_, error)| panic!("{error}"))
}

fn name_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

fn statement(backend: DbBackend, sql: &str) -> Statement {
    Statement::from_string(backend, sql)
}
