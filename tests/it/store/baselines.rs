//! Baselines: learned once from the history, and what is far outside is marked.

use sexton::{
    domain::task::FinishedAttempt,
    store::{HistoryFilter, OnStale, Store},
};
use sexton_entities::states::{Outcome, ProblemKind, ProblemState, Unusual, Verdict};

use super::{ended, enqueue, problems::problems, register};
use crate::support::on_each_database;

/// Runs tasks of these durations, in this order.
async fn run(store: &Store, durations: &[i64]) {
    enqueue(store, "work", durations.len()).await;
    let tasks = store.claim(&"n".into(), &"default".into(), durations.len()).await.unwrap().tasks;
    let batch: Vec<FinishedAttempt> = tasks
        .iter()
        .zip(durations)
        .map(|(task, duration)| FinishedAttempt {
            duration_ms: *duration,
            ..ended(task, "n", Outcome::Succeeded, Verdict::Completed)
        })
        .collect();
    assert_eq!(store.finish(&batch, OnStale::Record).await.unwrap().counted, batch.len());
}

async fn learn(store: &Store, wanted: bool) -> usize {
    let to = store.last_history_id().await.unwrap();
    store.learn_baselines(to, &|name, queue, _| wanted && (name, queue) == ("work", Some("default"))).await.unwrap()
}

/// What was unusual, by the durations of the runs.
async fn unusual(store: &Store) -> Vec<(Unusual, i64, i64)> {
    let rows = store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    store.unusual(&ids).await.unwrap().into_iter().map(|row| (row.what, row.value, row.usual)).collect()
}

on_each_database! {
    async fn what_is_far_from_usual_is_marked_once(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        assert_eq!(learn(&store, true).await, 0, "there is no history");
        run(&store, &[60_000; 30]).await;
        assert_eq!(learn(&store, true).await, 30);
        assert_eq!(learn(&store, true).await, 0, "nothing is learned twice");
        assert_eq!(store.baselines(&["work"]).await.unwrap()["work"].duration().unwrap().median, 60_000);
        assert_eq!(unusual(&store).await, []);
        run(&store, &[61_000, 300_000, 5_000, 60_000]).await;
        let nodes: Vec<Store> = (0..3).map(|_| database.bare_store()).collect();
        let read: usize = futures::future::join_all(nodes.iter().map(|node| learn(node, false))).await.into_iter().sum();
        assert_eq!(read, 4, "of several nodes, one learns");
        assert_eq!(unusual(&store).await, [(Unusual::Slow, 300_000, 60_000), (Unusual::Quick, 5_000, 60_000)]);
        let since = store.now().await.unwrap() - chrono::TimeDelta::days(2);
        let counts = store.unusual_by_day(since, Some("work")).await.unwrap();
        assert_eq!((counts.values().sum::<i64>(), counts.keys().next().unwrap().1.as_str()), (2, "work"));
        assert!(problems(&store).await.is_empty(), "nobody wants to hear of it");
        assert_eq!(store.history(&HistoryFilter { limit: 99, ..HistoryFilter::default() }).await.unwrap().len(), 34);
    }

    async fn a_problem_is_opened_where_it_is_wanted_and_the_next_usual_run_ends_it(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        // It is learned from the history before the first look, too.
        run(&store, &[60_000; 30]).await;
        let before = store.last_history_id().await.unwrap();
        assert_eq!(store.learn_baselines(before, &|_, _, _| true).await.unwrap(), 30);
        run(&store, &[60_000, 400_000]).await;
        learn(&store, true).await;
        let row = problems(&store).await.remove(0);
        assert_eq!((row.kind, &*row.name, row.state, row.times), (ProblemKind::Slow, "work", ProblemState::Open, 1));
        assert_eq!(row.what, "slow: it took 6m 40s, usually 1m");
        assert!(row.task_id.is_some() && row.fence.is_some());
        store.close_problems().await.unwrap();
        assert_eq!(problems(&store).await[0].state, ProblemState::Open, "another success is no end");
        run(&store, &[61_000]).await;
        learn(&store, true).await;
        assert_eq!(problems(&store).await[0].state, ProblemState::Closed);
    }
}
