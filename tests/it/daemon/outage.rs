//! The database goes away and comes back: nothing exits, nothing is lost, and the operator sees it.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sexton::{Client, NewTask};
use sexton_entities::states::Verdict;

use super::{completed, count, history};
use crate::{
    commands::{processes, unusual},
    support::{Daemon, Database, Kind, Proxy, block_on, eventually},
};

async fn survives_an_outage(kind: Kind) {
    let mut database = Database::new(kind).await;
    let store = database.store().await;
    let proxy = Proxy::to(&database.url);
    database.url = proxy.url.clone();
    let settings = "heartbeat = \"500ms\"\nlease = \"4s\"\n[task.nap]\ncommand = [\"sleep\", \"1\"]\n[task.nothing]\nkind = \"noop\"";
    let daemon = database.daemon("n", settings);
    let client = Client::new(store.clone());
    client.enqueue_all(vec![NewTask::new("nap"); 5]).await.unwrap();
    eventually("five run", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 5)
        .await;
    proxy.cut();
    daemon.wait_for_log("the database is not available");
    let spool = database.folder.path().join("n/state/spool");
    eventually("what finished meanwhile waits on disk", async || {
        std::fs::read_dir(&spool)
            .is_ok_and(|files| files.flatten().any(|file| file.path().extension() == Some("json".as_ref())))
    })
    .await;
    client.enqueue_all(vec![NewTask::new("nothing"); 100]).await.unwrap();
    assert_eq!(completed(&store).await, 0, "it cannot know of them");
    proxy.restore();
    eventually("all is done", async || completed(&store).await == 105).await;
    let rows = history(&store).await;
    assert_eq!(rows.len(), 105, "nothing was done twice");
    assert!(rows.iter().all(|row| row.verdict == Some(Verdict::Completed)));
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    daemon.wait_for_log("the database answers again: it was away for ");
    let log = daemon.stop();
    for internal in ["testing the connection", "on-release", "at line ", "PoolTimedOut", "DbErr", "SqlxError"] {
        assert!(!log.contains(internal), "{internal}: {log}");
    }
}

async fn is_stopped_in_an_outage(kind: Kind) {
    let mut database = Database::new(kind).await;
    let store = database.store().await;
    let proxy = Proxy::to(&database.url);
    database.url = proxy.url.clone();
    let settings = "heartbeat = \"500ms\"\nlease = \"4s\"\n[task.one]\ncommand = [\"sleep\", \"1\"]\n[task.two]\ncommand = [\"sleep\", \"1.7\"]";
    let file = database.config("n", settings);
    let daemon = Daemon::start(&file, &["run"]);
    let client = Client::new(store.clone());
    client
        .enqueue_all(vec![NewTask::new("one"), NewTask::new("one"), NewTask::new("two"), NewTask::new("two")])
        .await
        .unwrap();
    eventually("four run", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 4)
        .await;
    proxy.cut();
    daemon.wait_for_log("two succeeded");
    daemon.stop();
    assert_eq!(completed(&store).await, 0, "nobody could tell");
    proxy.restore();
    let daemon = Daemon::start(&file, &["run"]);
    eventually("all is on record", async || completed(&store).await == 4).await;
    assert_eq!(history(&store).await.len(), 4, "and nothing was done twice, though the lease had run out");
    daemon.stop();
}

#[test]
fn what_ended_in_an_outage_of_postgres_outlives_the_daemon() {
    block_on(is_stopped_in_an_outage(Kind::Postgres));
}

#[test]
fn what_ended_in_an_outage_of_mariadb_outlives_the_daemon() {
    block_on(is_stopped_in_an_outage(Kind::MariaDb));
}

#[test]
fn what_ended_in_an_outage_of_mysql_outlives_the_daemon() {
    block_on(is_stopped_in_an_outage(Kind::MySql));
}

#[test]
fn an_outage_of_postgres_is_survived() {
    block_on(survives_an_outage(Kind::Postgres));
}

#[test]
fn an_outage_of_mariadb_is_survived() {
    block_on(survives_an_outage(Kind::MariaDb));
}

#[test]
fn an_outage_of_mysql_is_survived() {
    block_on(survives_an_outage(Kind::MySql));
}

#[test]
fn a_database_that_is_down_at_the_start_is_waited_for() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let store = database.bare_store();
        let proxy = Proxy::to(&database.url);
        proxy.cut();
        database.url = proxy.url.clone();
        let daemon = Daemon::spawn(&database.config("n", "[task.nothing]\nkind = \"noop\""), &["run"]);
        daemon.wait_for_log("trying again every second");
        proxy.restore();
        daemon.wait_for_log(" runs on ");
        let told = daemon.log().matches("trying again every second").count();
        assert_eq!(told, 1, "once a minute");
        Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("it works", async || completed(&store).await == 1).await;
        daemon.stop();
    });
}

#[test]
fn a_stop_before_the_database_is_there_is_in_order() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        database.url = "postgres://nobody:secret-word@127.0.0.1:1/none".to_owned();
        let daemon = Daemon::spawn(&database.config("n", ""), &["run"]);
        daemon.wait_for_log("trying again every second");
        let log = daemon.stop();
        assert!(!log.contains("secret-word"), "{log}");
    });
}

#[test]
fn a_program_that_needs_the_database_waits_for_it() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let _store = database.store().await;
        let proxy = Proxy::to(&database.url);
        database.url = proxy.url.clone();
        let (needy, other) = (unusual(), unusual());
        let daemon = database.daemon(
            "n",
            &format!(
                "[module.needy]\ncommand = [\"sleep\", \"{needy}\"]\nneeds_database = true\nrestart_delay = \"10ms\"\n\
                 [module.other]\ncommand = [\"sleep\", \"{other}\"]\nrestart_delay = \"10ms\"\n"
            ),
        );
        let pid = |text: &str| processes(text).first().map(|(pid, _)| *pid);
        eventually("both run", async || pid(&needy).is_some() && pid(&other).is_some()).await;
        proxy.cut();
        let (first, its) = (pid(&needy).unwrap(), pid(&other).unwrap());
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        kill(Pid::from_raw(its), Signal::SIGKILL).unwrap();
        eventually("the other one runs again", async || pid(&other).is_some_and(|pid| pid != its)).await;
        eventually("it waits", async || {
            daemon.log().lines().any(|line| line.contains(" needy: ") && line.contains("trying again every second"))
        })
        .await;
        assert_eq!(pid(&needy), None);
        proxy.restore();
        eventually("it runs again", async || pid(&needy).is_some()).await;
        daemon.stop();
        assert_eq!((pid(&needy), pid(&other)), (None, None));
    });
}

#[test]
fn an_outage_of_seconds_costs_a_schedule_of_seconds_nothing() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let proxy = Proxy::to(&database.url);
        database.url = proxy.url.clone();
        let settings =
            "heartbeat = \"500ms\"\nlease = \"4s\"\n[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }";
        let daemon = database.daemon("n", settings);
        let fired = "COUNT(*) FROM sexton_occurrence WHERE fate IN ('fired', 'late')";
        eventually("it fires", async || count(&store, fired).await >= 2).await;
        proxy.cut();
        let until = store.now().await.unwrap() + chrono::TimeDelta::seconds(5);
        eventually("five seconds pass", async || store.now().await.unwrap() > until).await;
        let before = count(&store, fired).await;
        proxy.restore();
        eventually("what was missed runs", async || count(&store, fired).await >= before + 6).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_occurrence WHERE fate NOT IN ('fired', 'late')").await, 0);
        let seconds = "CAST(EXTRACT(EPOCH FROM MAX(due_at) - MIN(due_at)) AS bigint) - COUNT(*) FROM sexton_occurrence";
        assert_eq!(count(&store, seconds).await, -1, "each second has its run");
        daemon.stop();
    });
}
