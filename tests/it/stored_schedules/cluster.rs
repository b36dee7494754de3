//! Two nodes, one of which is killed: each instant of a schedule in the database is entered once, and none is missing.

use sexton_entities::states::Fate;

use super::{SETTINGS, execute, fires};
use crate::{
    daemon::{completed, count, history},
    support::{Daemon, eventually, on_each_database},
};

on_each_database! {
    async fn each_instant_fires_once_whichever_node_is_killed(database: Database) {
        let store = database.store().await;
        let settings = SETTINGS.replace("heartbeat = \"500ms\"", "heartbeat = \"500ms\"\nlease = \"3s\"");
        let mut first = database.daemon("a", &settings);
        let second = database.daemon("b", &settings);
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) \
                         VALUES ('tick', 'report', '{\"every\": \"200ms\", \"missed\": \"all\"}')").await;
        fires(&store, "tick", 10).await;
        first.kill();
        let file = database.folder.path().join("a/sexton.toml");
        let more = completed(&store).await + 10;
        eventually("the other node goes on", async || completed(&store).await >= more).await;
        let first = Daemon::start(&file, &["run"]);
        let more = completed(&store).await + 10;
        eventually("both go on", async || completed(&store).await >= more).await;
        execute(&store, "UPDATE sexton_schedule SET paused = true WHERE name = 'tick'").await;
        eventually("all that was entered has ended", async || {
            count(&store, "COUNT(*) FROM sexton_task").await == 0
        }).await;
        for daemon in [first, second] {
            daemon.stop();
        }
        let mut done: Vec<_> = history(&store).await.into_iter().filter(|row| row.verdict.is_some_and(|verdict| verdict.as_str() == "completed"))
            .map(|row| row.due_at.unwrap()).collect();
        let all = done.len();
        done.sort();
        done.dedup();
        assert_eq!(done.len(), all, "no instant ran twice");
        let ledger = store.occurrences("tick", 10_000).await.unwrap();
        let entered = ledger.iter().filter(|entry| matches!(entry.fate, Fate::Fired | Fate::Late)).count();
        assert_eq!(entered, all, "each instant that was entered ran");
        let gaps = ledger.windows(2).filter(|pair| (pair[0].due_at - pair[1].due_at).num_milliseconds() != 200).count();
        assert_eq!(gaps, 0, "no instant is missing from the ledger");
    }
}
