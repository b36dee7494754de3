//! What a killed daemon had claimed and not begun is no attempt: the next daemon on that machine releases it at once.

use std::time::Duration;

use sexton::{
    NewTask,
    shepherd::{BegunJournal, NodeDir},
    store::HistoryFilter,
};
use sexton_entities::states::Outcome;

use super::completed;
use crate::{
    store::beat,
    support::{Database, eventually, on_each_database},
};

const SETTINGS: &str = "heartbeat = \"200ms\"\nlease = \"2s\"\n[task.nothing]\nkind = \"noop\"\n";

/// Ten tasks claimed by a node whose lease lasts that long, of which it began three. It is gone.
async fn killed(database: &Database, lease: Duration, journal: bool) -> sexton::store::Store {
    let store = database.store().await;
    let own = store.database_id().await.unwrap();
    store.register(&beat("killed", Duration::from_secs(3_600))).await.unwrap();
    store.enqueue_all(store.connection(), &vec![NewTask::new("nothing").queue("default"); 10]).await.unwrap();
    let claimed = store.claim(&"killed".into(), &"default".into(), 10).await.unwrap().tasks;
    store.heartbeat(&beat("killed", lease)).await.unwrap();
    let root = database.folder.path().join("n/state/attempts");
    let dir = NodeDir::open(&root, &"killed".into()).unwrap();
    if journal {
        let entries = BegunJournal::default();
        for task in &claimed[..3] {
            entries.enter(task.claim, || Ok(dir.path().to_owned()), Some(&own), |_| true).unwrap();
        }
    }
    store
}

async fn interrupted(store: &sexton::store::Store) -> usize {
    let rows = store.history(&HistoryFilter { limit: 100, ..HistoryFilter::default() }).await.unwrap();
    rows.iter().filter(|row| row.outcome == Outcome::Interrupted).count()
}

on_each_database! {
    async fn what_was_not_begun_is_released_at_once_and_is_no_attempt(database: Database) {
        // Its lease is far from over: a rescuer would wait for an hour.
        let store = killed(&database, Duration::from_secs(3_600), true).await;
        let daemon = database.daemon("n", SETTINGS);
        daemon.wait_for_log("released 7 tasks that killed had claimed and not begun when it ended");
        eventually("they are done", async || completed(&store).await == 7).await;
        let kept = store.running_of(&"killed".into()).await.unwrap();
        assert_eq!(kept.len(), 3, "what it began is the rescuer's");
        assert_eq!(interrupted(&store).await, 0);
        daemon.stop();
    }

    async fn what_was_begun_is_on_record_as_interrupted(database: Database) {
        let store = killed(&database, Duration::from_millis(10), true).await;
        let daemon = database.daemon("n", SETTINGS);
        eventually("all are done", async || completed(&store).await == 10).await;
        assert_eq!(interrupted(&store).await, 3, "the rescuer waits for the adopter");
        daemon.stop();
    }

    async fn without_a_journal_the_rescuer_decides(database: Database) {
        let store = killed(&database, Duration::from_millis(10), false).await;
        let daemon = database.daemon("n", SETTINGS);
        eventually("all are done", async || completed(&store).await == 10).await;
        assert_eq!(interrupted(&store).await, 10);
        daemon.stop();
    }
}
