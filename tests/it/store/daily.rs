//! Sums for each day: what is pruned from the history is kept in them, once.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use sexton::{
    domain::{
        statistics::{Sums, day},
        task::{ClaimedTask, FinishedAttempt},
    },
    store::{OnStale, Store},
};
use sexton_entities::{
    states::{Outcome, Verdict},
    task,
};

use super::{ended, enqueue, register};
use crate::support::on_each_database;

const KEEP: Duration = Duration::from_secs(5 * 86_400);

/// Claims tasks, and records an attempt of each.
async fn record(store: &Store, count: usize, attempt: impl Fn(usize, &ClaimedTask) -> FinishedAttempt) {
    register(store, "n").await;
    enqueue(store, "work", count).await;
    let claimed = store.claim(&"n".into(), &"default".into(), count).await.unwrap().tasks;
    let batch: Vec<_> = claimed.iter().enumerate().map(|(number, task)| attempt(number, task)).collect();
    for finished in batch.iter().filter(|finished| finished.due_at.is_some()) {
        // The history may take it from the task's row.
        let due = Expr::value(finished.due_at);
        let update = task::Entity::update_many().col_expr(task::Column::DueAt, due);
        update.filter(task::Column::Id.eq(finished.claim.task_id)).exec(store.connection()).await.unwrap();
    }
    store.finish(&batch, OnStale::Record).await.unwrap();
}

fn old(task: &ClaimedTask, outcome: Outcome, days: i64, millis: i64) -> FinishedAttempt {
    let finished = ended(task, "n", outcome, Verdict::Completed);
    let ago = TimeDelta::days(days);
    FinishedAttempt {
        started_at: finished.started_at - ago,
        finished_at: finished.finished_at - ago,
        due_at: Some(finished.started_at - ago - TimeDelta::milliseconds(millis)),
        duration_ms: millis,
        attempt: 1,
        ..finished
    }
}

on_each_database! {
    async fn what_is_pruned_is_in_the_sums_and_counted_once(database: Database) {
        let store = database.store().await;
        let now = store.now().await.unwrap();
        record(&store, 60, |number, task| match number {
            0..30 => old(task, Outcome::Succeeded, 10, 100),
            30..40 => old(task, Outcome::Failed, 10, 700),
            40..50 => old(task, Outcome::Superseded, 10, 100),
            _ => old(task, Outcome::Succeeded, 0, number as i64),
        }).await;
        let since = now - TimeDelta::days(30);
        let before = store.daily_figures(since, None).await.unwrap();
        assert_eq!(before.len(), 2, "{before:?}");
        assert_eq!(store.prune(KEEP, async |_| true).await.unwrap(), 50);
        let after = store.daily_figures(since, Some("work")).await.unwrap();
        let (old_day, of_old) = after.first_key_value().unwrap();
        assert_eq!(old_day, &(day(now - TimeDelta::days(10)), "work".to_owned()));
        let expected = Sums { runs: 40, failed: 10, duration_ms: 10_000, longest_ms: 700, scheduled: 40, delay_ms: 10_000 };
        assert_eq!((of_old.sums, of_old.durations.len()), (expected, 0));
        assert_eq!(before[old_day].sums, expected, "the history said the same");
        let (_, of_today) = after.last_key_value().unwrap();
        assert_eq!((of_today.sums.runs, of_today.durations.len(), of_today.sums.longest_ms), (10, 10, 59));
        assert_eq!(store.prune(KEEP, async |_| true).await.unwrap(), 0);
        // More of the same day is added.
        record(&store, 5, |_, task| old(task, Outcome::Succeeded, 10, 900)).await;
        assert_eq!(store.prune(KEEP, async |_| true).await.unwrap(), 5);
        let sums = store.daily_figures(since, None).await.unwrap()[old_day].sums;
        assert_eq!((sums.runs, sums.failed, sums.longest_ms, sums.duration_ms), (45, 10, 900, 14_500));
        assert!(store.daily_figures(since, Some("other")).await.unwrap().is_empty());
        assert_eq!(store.daily_figures(now - TimeDelta::days(5), None).await.unwrap().len(), 1);
    }

    async fn nodes_that_prune_at_once_count_nothing_twice(database: Database) {
        let store = database.store().await;
        let now = store.now().await.unwrap();
        record(&store, 900, |_, task| old(task, Outcome::Succeeded, 10, 100)).await;
        let nodes: Vec<Store> = (0..4).map(|_| database.bare_store()).collect();
        let pruning = nodes.iter().map(|node| node.prune(KEEP, async |_| true));
        for pruned in futures::future::join_all(pruning).await {
            pruned.unwrap();
        }
        let figures = store.daily_figures(now - TimeDelta::days(30), None).await.unwrap();
        let sums: Vec<i64> = figures.values().map(|of| of.sums.runs).collect();
        assert_eq!(sums, [900]);
        assert!(figures.values().all(|of| of.durations.is_empty()), "the history is pruned");
    }
}
