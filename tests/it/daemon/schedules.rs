//! Schedules in the real daemon.

use std::{fmt::Write as _, time::Duration};

use sexton_entities::states::Fate;

use super::{completed, count, history};
use crate::support::{Daemon, Database, Kind, block_on, eventually, on_each_database, within};

on_each_database! {
    async fn with_two_nodes_each_instant_fires_once(database: Database) {
        let store = database.store().await;
        let settings = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"200ms\" }";
        let daemons = [database.daemon("a", settings), database.daemon("b", settings)];
        eventually("it has fired thirty times", async || completed(&store).await >= 30).await;
        for daemon in daemons {
            daemon.stop();
        }
        let rows = history(&store).await;
        let mut instants: Vec<_> = rows.iter().map(|row| row.due_at.unwrap()).collect();
        let all = instants.len();
        instants.sort();
        instants.dedup();
        assert_eq!(instants.len(), all, "no instant twice");
        let ledger = store.occurrences("tick", 10_000).await.unwrap();
        assert_eq!(ledger.iter().filter(|entry| matches!(entry.fate, Fate::Fired | Fate::Late)).count() as i64,
            all as i64 + count(&store, "COUNT(*) FROM sexton_task").await);
        let gaps = ledger.windows(2).filter(|pair| (pair[0].due_at - pair[1].due_at).num_milliseconds() != 200).count();
        assert_eq!(gaps, 0, "no instant is missing from the ledger");
    }

    async fn after_a_downtime_of_seconds_each_instant_runs(database: Database) {
        let store = database.store().await;
        let settings = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it has fired", async || completed(&store).await >= 1).await;
        daemon.stop();
        let before = completed(&store).await;
        let last = store.schedules().await.unwrap()[0].last_at;
        within(Duration::from_secs(30), "some instants have come", async || {
            (store.now().await.unwrap() - last).num_seconds() >= 4
        })
        .await;
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it fires again", async || completed(&store).await >= before + 4).await;
        daemon.stop();
        let mut ledger = store.occurrences("tick", 1_000).await.unwrap();
        ledger.retain(|entry| entry.due_at > last);
        ledger.reverse();
        assert!(ledger.iter().all(|entry| matches!(entry.fate, Fate::Fired | Fate::Late)), "{ledger:?}");
        let gaps = ledger.windows(2).filter(|pair| (pair[1].due_at - pair[0].due_at).num_seconds() != 1).count();
        assert_eq!((gaps, (ledger[0].due_at - last).num_seconds()), (0, 1), "{ledger:?}");
    }
}

#[test]
fn ten_thousand_schedules_fire_once_each_with_two_nodes() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        // All come in the same second, and not again in this test's life.
        let at = store.now().await.unwrap() + chrono::TimeDelta::seconds(70);
        let cron = at.format("%-M %-H %-d %-m *").to_string();
        let mut settings = String::new();
        for number in 0..10_000 {
            write!(settings, "[task.s{number}]\nkind = \"noop\"\nschedule = \"{cron}\"\n").unwrap();
        }
        let daemons = [database.daemon("a", &settings), database.daemon("b", &settings)];
        within(Duration::from_secs(240), "all have fired", async || completed(&store).await >= 10_000).await;
        for daemon in daemons {
            daemon.stop();
        }
        assert_eq!(completed(&store).await, 10_000);
        assert_eq!(count(&store, "COUNT(DISTINCT schedule) FROM sexton_history").await, 10_000);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_occurrence").await, 10_000);
    });
}
