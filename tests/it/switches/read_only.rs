//! A database that becomes read-only is waited for as one that is away, and the log says why.

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database as SeaOrm, DatabaseConnection};
use sexton::{Client, NewTask};
use sexton_entities::states::Verdict;

use super::{call, done, json, refused};
use crate::{
    daemon::{completed, count, history},
    support::{Daemon, Database, Kind, Mounted, block_on, eventually},
};

const SETTINGS: &str =
    "heartbeat = \"500ms\"\nlease = \"4s\"\n[task.nap]\ncommand = [\"sleep\", \"1\"]\n[task.nothing]\nkind = \"noop\"";

/// One session that began while the database could be written.
async fn session(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    SeaOrm::connect(options).await.unwrap()
}

/// Runs a daemon of that address while `administrator` switches the database.
async fn is_waited_for(
    database: &mut Database,
    url: String,
    administrator: &DatabaseConnection,
    off: &[&str],
    on: &[&str],
) {
    let store = database.store().await;
    database.url = url;
    let file = database.config("n", SETTINGS);
    let daemon = Daemon::start(&file, &["run"]);
    Client::new(store.clone()).enqueue_all(vec![NewTask::new("nap"); 3]).await.unwrap();
    eventually("three run", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 3)
        .await;
    drop(store);
    for statement in off {
        administrator.execute_unprepared(statement).await.unwrap();
    }
    daemon.wait_for_log("the database is read-only (a standby?): ");
    let spool = database.folder.path().join("n/state/spool");
    eventually("what finished meanwhile waits on disk", async || {
        std::fs::read_dir(&spool)
            .is_ok_and(|files| files.flatten().any(|file| file.path().extension() == Some("json".as_ref())))
    })
    .await;
    eventually("the status says why", async || {
        let said = json(&file, &["status"])["daemon"]["waiting_for"].to_string();
        said.starts_with("\"the database is read-only (a standby?): ")
    })
    .await;
    let status = done(&file, &["status"]);
    assert!(status.contains("; the database is read-only (a standby?): "), "{status}");
    let said = refused(&file, &["task", "add", "nothing"]);
    assert!(said.contains("the database is read-only (a standby?): "), "{said}");
    for statement in on {
        administrator.execute_unprepared(statement).await.unwrap();
    }
    let store = database.bare_store();
    eventually("it goes on", async || call(&file, &["task", "add", "nothing"]).status.success()).await;
    eventually("all is done", async || completed(&store).await == 4).await;
    let rows = history(&store).await;
    assert_eq!(rows.len(), 4, "nothing was done twice: {rows:#?}");
    assert!(rows.iter().all(|row| row.verdict == Some(Verdict::Completed)));
    daemon.wait_for_log("the database answers again: it was away for ");
    eventually("the status is clean", async || !done(&file, &["status"]).contains("read-only")).await;
    let log = daemon.stop();
    let told = log.lines().filter(|line| line.contains(" node: the database is read-only")).count();
    assert!(told <= 1, "once: {log}");
}

#[test]
fn a_read_only_postgres_is_waited_for() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let administrator = session(&database.url).await;
        let name = database.url.rsplit_once('/').unwrap().1.to_owned();
        let off = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let on = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
        let url = database.url.clone();
        is_waited_for(&mut database, url, &administrator, &[&off, others], &[&on]).await;
    });
}

/// An administrator may write to a server that is read-only: the daemon has another account.
async fn a_server(kind: Kind, off: &[&str], on: &[&str]) {
    let (mut database, _server) = Database::alone(kind).await;
    let administrator = session(&database.url).await;
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    for statement in [
        "CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'plain'".to_owned(),
        format!("GRANT ALL ON {name}.* TO plain@'127.0.0.1'"),
    ] {
        administrator.execute_unprepared(&statement).await.unwrap();
    }
    let url = database.url.replace("app:app", "plain:plain");
    is_waited_for(&mut database, url, &administrator, off, on).await;
}

#[test]
fn a_read_only_mariadb_is_waited_for() {
    block_on(a_server(Kind::MariaDb, &["SET GLOBAL read_only = 1"], &["SET GLOBAL read_only = 0"]));
}

#[test]
fn a_read_only_mysql_is_waited_for() {
    block_on(a_server(Kind::MySql, &["SET GLOBAL super_read_only = 1"], &["SET GLOBAL read_only = 0"]));
}

#[test]
fn a_file_system_that_is_read_only_is_waited_for() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        let folder = database.folder.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let _disk = Mounted::new(&folder, "tmpfs", "size=64m");
        database.url = format!("sqlite://{}", folder.join("sexton.db").display());
        database.store().await;
        let remount = |how: &str| {
            let mount =
                std::process::Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&folder).status();
            mount.is_ok_and(|status| status.success())
        };
        eventually("nobody writes to it any more", async || remount("ro")).await;
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::spawn(&file, &["run"]);
        daemon.wait_for_log("trying again every second");
        assert!(daemon.log().contains("its file system is mounted read-only"), "{}", daemon.log());
        assert!(remount("rw"));
        daemon.wait_for_log(" runs on ");
        done(&file, &["task", "add", "nothing"]);
        let store = database.bare_store();
        eventually("it works", async || completed(&store).await == 1).await;
        daemon.stop();
    });
}
