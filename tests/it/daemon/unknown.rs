//! Task names that not every node defines, and names that none does.

use std::path::Path;

use sexton::{Client, NewTask};
use sexton_entities::states::{Outcome, Verdict};

use super::{completed, count, history};
use crate::support::{Database, Kind, Printed, block_on, eventually, on_each_database, sexton};

const KNOWS_IT: &str = "poll_interval = \"20ms\"\n[task.new]\nkind = \"noop\"\nqueue = \"default\"";
const KNOWS_IT_NOT: &str = "poll_interval = \"20ms\"\n[task.old]\nkind = \"noop\"\nqueue = \"default\"";

fn said(config: &Path, arguments: &[&str]) -> String {
    sexton(config).args(arguments).output().unwrap().text()
}

on_each_database! {
    async fn a_node_leaves_what_only_another_one_defines(database: Database) {
        let store = database.store().await;
        let ignorant = database.daemon("ignorant", KNOWS_IT_NOT);
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("new").queue("default"); 200]).await.unwrap();
        // Without a queue as well, as a plain insert.
        client.enqueue_all(vec![NewTask::new("new"); 9]).await.unwrap();
        client.enqueue_all(vec![NewTask::new("old").queue("default"); 9]).await.unwrap();
        eventually("what it knows is done", async || completed(&store).await == 9).await;
        let knowing = database.daemon("knowing", KNOWS_IT);
        eventually("all are done", async || completed(&store).await == 218).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history").await, 218, "none was discarded, and none tried without a chance");
        let row = history(&store).await.pop().unwrap();
        assert!(row.name == "old" || row.node.unwrap().starts_with("knowing-"));
        ignorant.stop();
        knowing.stop();
    }

    async fn what_no_node_defines_waits_in_nobodys_way(database: Database) {
        let store = database.store().await;
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("nwe").queue("default").priority(-1); 1_500]).await.unwrap();
        client.enqueue_all(vec![NewTask::new("new"), NewTask::new("nobody")]).await.unwrap();
        let config = database.config("n", KNOWS_IT);
        let daemon = crate::support::Daemon::start(&config, &["run"]);
        eventually("what it defines is done", async || completed(&store).await == 1).await;
        let line = "no node defines `nwe`: 1500 tasks set aside since ";
        eventually("the status says it", async || said(&config, &["status"]).contains(line)).await;
        let shown = said(&config, &["task", "show", "1"]);
        assert!(shown.contains("\nno node defines nwe; it waits since "), "{shown}");
        daemon.wait_for_log("no node defines task `nwe`; did you mean `new`?: 1500 tasks set aside, to be discarded if none does within 7days");
        daemon.wait_for_log("no node defines task `nobody`: 1 task set aside");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history").await, 1);
        assert_eq!(daemon.log().matches("no node defines task `nwe`").count(), 1, "it is logged once");
        // A reload defines it.
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}\n[task.nwe]\nkind = \"noop\"\n")).unwrap();
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        eventually("what waited is done", async || completed(&store).await == 1_501).await;
        eventually("the status is clean", async || !said(&config, &["status"]).contains("`nwe`")).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 1);
        daemon.stop();
    }

    async fn what_no_node_defines_is_discarded_where_that_is_wanted(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", "unknown_tasks = \"discard\"\n[task.cleanup]\nkind = \"noop\"");
        Client::new(store.clone()).enqueue(NewTask::new("claenup")).await.unwrap();
        eventually("it is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.verdict, row.kind), (Outcome::Failed, Some(Verdict::Discarded), None));
        assert_eq!(row.error.as_deref(), Some("no node defines task `claenup`; did you mean `cleanup`?"));
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 0);
        daemon.stop();
    }
}

#[test]
fn what_no_node_has_defined_for_long_is_discarded() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let daemon = database.daemon("n", &format!("discard_unknown_after = \"1s\"\n{KNOWS_IT}"));
        Client::new(store.clone()).enqueue(NewTask::new("gone")).await.unwrap();
        daemon.wait_for_log("no node defines task `gone`");
        // As if it had waited.
        let waited = "UPDATE sexton_task SET unknown_since = '2026-01-01T00:00:00.000000+00:00'";
        sea_orm::ConnectionTrait::execute_unprepared(store.connection(), waited).await.unwrap();
        // Another one makes the node look at once.
        Client::new(store.clone()).enqueue(NewTask::new("gone").queue("default")).await.unwrap();
        eventually("it is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        assert_eq!(row.error.as_deref(), Some("no node defines task `gone`, and it has waited for 1s"));
        daemon.stop();
    });
}

#[test]
fn run_once_ends_although_unknown_tasks_wait() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let tasks = ["gone", "new"].map(|name| NewTask::new(name).queue("default"));
        Client::new(store.clone()).enqueue_all(tasks.to_vec()).await.unwrap();
        let config = database.config("n", KNOWS_IT);
        let output = sexton(&config).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        assert_eq!((completed(&store).await, count(&store, "COUNT(*) FROM sexton_task").await), (1, 1));
    });
}
