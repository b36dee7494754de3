//! What ended is on record exactly once, whatever happens around it.

use serde_json::json;
use sexton::{
    domain::task::Report,
    store::{HistoryFilter, OnStale, Recorded, Store},
};
use sexton_entities::{
    history,
    states::{Outcome, TaskState, Verdict},
};

use super::{ended, enqueue, one_claimed, register};
use crate::support::on_each_database;

async fn history(store: &Store) -> Vec<history::Model> {
    let mut rows = store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

on_each_database! {
    async fn a_completed_task_becomes_a_row_of_history(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        assert_eq!(store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap().counted, 1);
        assert_eq!(store.task(task.id).await.unwrap(), None);
        let row = history(&store).await.remove(0);
        assert_eq!((row.task_id, row.name.as_str(), row.kind.as_deref()), (Some(task.id), "work", Some("noop")));
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Succeeded, Some(Verdict::Completed), 1));
        assert_eq!((row.duration_ms, row.started_at, row.enqueued_at), (Some(7), Some(finished.started_at), Some(task.enqueued_at)));
        assert_eq!((row.finished_at, row.payload), (finished.finished_at, Some(json!(0))));
        assert_eq!(store.output(row.id).await.unwrap(), None);
    }

    async fn a_failed_task_waits_for_its_next_attempt(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let mut finished = ended(&task, "n", Outcome::Failed, Verdict::Retry);
        finished.retry_ms = 3_600_000;
        finished.error = Some("it's \"broken\" \\ 🦀".to_owned());
        let recorded = store.finish(&[finished], OnStale::Record).await.unwrap();
        assert_eq!(recorded, Recorded { counted: 1, retrying: 1, ..Recorded::default() });
        let row = store.task(task.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node), (TaskState::Retryable, 1, None));
        let wait = (row.run_at - sexton::clock::machine_time()).num_seconds();
        assert!((3_500..3_700).contains(&wait), "{wait}");
        assert_eq!(history(&store).await[0].error.as_deref(), Some("it's \"broken\" \\ 🦀"));
        assert!(store.hurry(task.id).await.unwrap());
        let again = store.claim("n", "default", 1).await.unwrap().tasks.remove(0);
        assert_eq!((again.attempt, again.fence), (2, 2));
    }

    async fn an_interrupted_attempt_is_on_record_and_does_not_count(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        store.finish(&[ended(&task, "n", Outcome::Interrupted, Verdict::Released)], OnStale::Record).await.unwrap();
        let row = store.task(task.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node), (TaskState::Available, 0, None));
        let again = store.claim("n", "default", 1).await.unwrap().tasks.remove(0);
        assert_eq!((again.attempt, again.fence), (1, 2));
    }

    async fn a_finish_that_comes_too_late_changes_nothing_but_history(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        store.finish(&[ended(&task, "n", Outcome::Interrupted, Verdict::Released)], OnStale::Record).await.unwrap();
        let other = store.claim("n", "default", 1).await.unwrap().tasks.remove(0);
        let late = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        for _ in 0..2 {
            store.finish(std::slice::from_ref(&late), OnStale::Record).await.unwrap();
        }
        let row = store.task(task.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.fence), (TaskState::Running, other.fence), "the new claim still holds");
        store.finish(&[ended(&other, "n", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
        let outcomes: Vec<Outcome> = history(&store).await.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Superseded, Outcome::Succeeded]);
    }

    async fn a_finish_that_is_repeated_is_recorded_once(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let finished = ended(&one_claimed(&store, "n").await, "n", Outcome::Succeeded, Verdict::Completed);
        for _ in 0..3 {
            store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap();
        }
        assert_eq!(history(&store).await.len(), 1);
    }

    async fn a_batch_of_every_kind_is_one_transaction(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 500).await;
        let claimed = store.claim("n", "default", 500).await.unwrap().tasks;
        let kinds = [
            (Outcome::Succeeded, Verdict::Completed),
            (Outcome::Failed, Verdict::Retry),
            (Outcome::Crashed, Verdict::Discarded),
            (Outcome::Cancelled, Verdict::Cancelled),
            (Outcome::Interrupted, Verdict::Released),
        ];
        let batch: Vec<_> = claimed
            .iter()
            .zip(kinds.iter().cycle())
            .map(|(task, (outcome, verdict))| {
                let mut finished = ended(task, "n", *outcome, *verdict);
                finished.report = Report { exit_code: Some(3), signal: Some(9), stdout: format!("out {}", task.id), ..Report::default() };
                finished
            })
            .collect();
        let recorded = store.finish(&batch, OnStale::Record).await.unwrap();
        assert_eq!((recorded.counted, recorded.retrying, recorded.released), (500, 100, 100));
        let rows = history(&store).await;
        assert_eq!(rows.len(), 500);
        assert_eq!((rows[7].exit_code, rows[7].signal), (Some(3), Some(9)));
        let output = store.output(rows[7].id).await.unwrap().unwrap();
        assert_eq!(output.stdout, format!("out {}", rows[7].task_id.unwrap()));
        assert!(!output.truncated);
        let queue = store.queues(&[]).await.unwrap().remove(0);
        assert_eq!((queue.available, queue.retryable, queue.running), (100, 100, 0));
    }

    async fn large_output_is_kept(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let mut finished = ended(&one_claimed(&store, "n").await, "n", Outcome::Succeeded, Verdict::Completed);
        finished.report.stdout = "wörter\n".repeat(150_000);
        finished.report.truncated = true;
        store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap();
        let output = store.output(history(&store).await[0].id).await.unwrap().unwrap();
        assert_eq!(output.stdout, finished.report.stdout);
        assert!(output.truncated);
    }
}
