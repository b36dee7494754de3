//! What ended is on record exactly once, whatever happens around it.

use serde_json::json;
use sexton::{
    domain::{
        command::{Usage, answer::Progress, capture::Kept},
        task::{
            FinishedAttempt, NewTask, Report,
            claim::{Claim, ClaimIdentity},
        },
    },
    store::{HistoryFilter, OnStale, Recorded, Store, StoreError},
};
use sexton_entities::{
    history,
    states::{Outcome, TaskState, Verdict},
};

use super::{ended, enqueue, one_claimed, register};
use crate::support::{on_each_database, value};

async fn history(store: &Store) -> Vec<history::Model> {
    let mut rows = store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

fn kept(text: String) -> Kept {
    Kept { text, ..Kept::default() }
}

on_each_database! {
    async fn what_a_command_cost_and_answered_is_kept(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let usage = Usage { user_ms: 12, system_ms: 3, peak_memory: 5_000_000_000, output_bytes: 20_000_000_000 };
        let mut finished = ended(&task, "n", Outcome::Failed, Verdict::Retry);
        finished.report = Report {
            core_dumped: Some(true),
            usage: Some(usage),
            result: Some(json!({"rows": [1, 2]}).into()),
            next_payload: Some(json!("page 2").into()),
            stderr: Kept { text: "one\ntwo\n".to_owned(), truncated: false, stamps: vec![(0, 5), (1, 700)], ..Kept::default() },
            ..Report::default()
        };
        store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap();
        let row = history(&store).await.remove(0);
        assert_eq!((row.core_dumped, row.cpu_user_ms, row.cpu_system_ms), (Some(true), Some(12), Some(3)));
        assert_eq!((row.peak_memory, row.output_bytes), (Some(5_000_000_000), Some(20_000_000_000)));
        assert_eq!(value(&row.result), Some(json!({"rows": [1, 2]})));
        let output = store.output(row.id).await.unwrap().unwrap();
        assert_eq!(output.times, Some(json!({"stdout": [], "stderr": [[0, 5], [1, 700]]})));
        let waiting = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((waiting.state, value(&waiting.payload)), (TaskState::Retryable, Some(json!("page 2"))));
    }

    async fn a_snooze_counts_no_attempt(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let mut snoozed = ended(&task, "n", Outcome::Snoozed, Verdict::Retry);
        snoozed.retry_ms = 3_600_000;
        snoozed.report.next_payload = Some(json!("page 2").into());
        let failed = ended(&one_claimed(&store, "n").await, "n", Outcome::Failed, Verdict::Retry);
        let recorded = store.finish(&[snoozed, failed], OnStale::Record).await.unwrap();
        assert_eq!((recorded.counted, recorded.retrying), (2, 2));
        let waiting = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((waiting.state, waiting.attempt, waiting.snoozes), (TaskState::Scheduled, 0, 1));
        assert_eq!((value(&waiting.payload), waiting.node), (Some(json!("page 2")), None));
        let other = store.task(task.claim.task_id + 1).await.unwrap().unwrap();
        assert_eq!((other.state, other.attempt, other.snoozes), (TaskState::Retryable, 1, 0));
        assert!(store.run_now(task.claim.task_id).await.unwrap());
        let again = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        assert_eq!((again.claim.task_id, again.attempt, again.snoozes), (task.claim.task_id, 1, 1));
        assert_eq!(history(&store).await[0].outcome, Outcome::Snoozed);
    }

    async fn what_a_database_leaves_out_is_told_and_never_lost(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let mut finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        // Deeper than MariaDB keeps; it would leave out the row with a warning.
        finished.report.result = Some((0..60).fold(json!(1), |inner, _| json!([inner])).into());
        match store.finish(std::slice::from_ref(&finished), OnStale::Record).await {
            Ok(recorded) => assert_eq!((recorded.counted, history(&store).await.len()), (1, 1)),
            Err(error) => {
                assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
                assert_eq!(store.task(task.claim.task_id).await.unwrap().unwrap().state, TaskState::Running, "nothing was changed");
            }
        }
    }

    async fn running_tasks_can_be_taken_over_while_their_claim_holds(database: Database) {
        let store = database.store().await;
        register(&store, "old").await;
        register(&store, "new").await;
        let task = one_claimed(&store, "old").await;
        let claim = task.identity();
        let of = |claim| ClaimIdentity { claim, ..task.identity() };
        let later = of(Claim { fence: task.claim.fence + 1, ..task.claim });
        // The database has given the same number again, or has lost the claim and made it once more.
        let a_moment = chrono::TimeDelta::milliseconds(1);
        let again = [
            ClaimIdentity { enqueued_at: task.enqueued_at - a_moment, ..claim },
            ClaimIdentity { claimed_at: Some(task.started_at - a_moment), ..claim },
        ];
        let progress = Progress { percent: Some(12.5), text: Some("half of a quarter".to_owned()) };
        let others = [(later, Progress::default()), (again[0], Progress::default())];
        store.set_progress(&"old".into(), &[&[(claim, progress.clone())][..], &others].concat()).await.unwrap();
        store.set_progress(&"new".into(), &[(claim, Progress::default())]).await.unwrap();
        let unknown = of(Claim::new(task.claim.task_id + 1, 1));
        assert!(store.adopt(&"new".into(), &[later, unknown, again[0], again[1]]).await.unwrap().held.is_empty());
        let held = store.adopt(&"new".into(), &[claim, later]).await.unwrap().held;
        assert_eq!(held, [task.claim].into());
        let row = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.node.as_deref(), row.progress), (Some("new"), Some(json!(progress))));
        assert_eq!(store.running_of(&"old".into()).await.unwrap(), []);
        assert_eq!(store.adopt(&"new".into(), &[claim]).await.unwrap().held.len(), 1, "twice does no harm");
        // A rescuer that looked before the adoption comes too late.
        let rescue = ended(&task, "old", Outcome::Interrupted, Verdict::Released);
        assert_eq!(store.finish(&[rescue], OnStale::Ignore).await.unwrap().counted, 0);
        assert_eq!(store.task(task.claim.task_id).await.unwrap().unwrap().node.as_deref(), Some("new"));
        let finished = ended(&task, "new", Outcome::Interrupted, Verdict::Released);
        store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap();
        assert!(store.adopt(&"new".into(), &[claim]).await.unwrap().held.is_empty(), "it is nobody's now");
        assert_eq!(store.task(task.claim.task_id).await.unwrap().unwrap().progress, None);
    }
}

on_each_database! {
    async fn a_completed_task_becomes_a_row_of_history(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        assert_eq!(store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap().counted, 1);
        assert_eq!(store.task(task.claim.task_id).await.unwrap(), None);
        let row = history(&store).await.remove(0);
        assert_eq!((row.task_id, row.name.as_str(), row.kind.as_deref()), (Some(task.claim.task_id), "work", Some("noop")));
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Succeeded, Some(Verdict::Completed), 1));
        assert_eq!((row.duration_ms, row.started_at, row.enqueued_at), (Some(7), Some(finished.started_at), Some(task.enqueued_at)));
        assert_eq!((row.finished_at, value(&row.payload)), (finished.finished_at, Some(json!(0))));
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
        let row = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node), (TaskState::Retryable, 1, None));
        let wait = (row.run_at - sexton::clock::machine_time()).num_seconds();
        assert!((3_500..3_700).contains(&wait), "{wait}");
        assert_eq!(history(&store).await[0].error.as_deref(), Some("it's \"broken\" \\ 🦀"));
        assert!(store.run_now(task.claim.task_id).await.unwrap());
        let again = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        assert_eq!(again.attempt, 2);
        assert!(again.claim.fence > task.claim.fence);
    }

    async fn an_interrupted_attempt_is_on_record_and_does_not_count(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        store.finish(&[ended(&task, "n", Outcome::Interrupted, Verdict::Released)], OnStale::Record).await.unwrap();
        let row = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node), (TaskState::Available, 0, None));
        let again = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        assert_eq!(again.attempt, 1);
        assert!(again.claim.fence > task.claim.fence);
    }

    async fn a_finish_that_comes_too_late_changes_nothing_but_history(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        store.finish(&[ended(&task, "n", Outcome::Interrupted, Verdict::Released)], OnStale::Record).await.unwrap();
        let other = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        let late = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        for _ in 0..2 {
            store.finish(std::slice::from_ref(&late), OnStale::Record).await.unwrap();
        }
        let row = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.fence), (TaskState::Running, other.claim.fence), "the new claim still holds");
        store.finish(&[ended(&other, "n", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
        let outcomes: Vec<Outcome> = history(&store).await.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Superseded, Outcome::Succeeded]);
    }

    async fn who_takes_over_what_is_recorded_adds_nothing(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        store.finish(&[ended(&task, "n", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
        // Its daemon died before it had deleted the attempt's directory, and the next one finds no task.
        let taken_over = FinishedAttempt { verdict: None, ..ended(&task, "n", Outcome::Superseded, Verdict::Completed) };
        store.finish(&[taken_over], OnStale::Record).await.unwrap();
        let outcomes: Vec<Outcome> = history(&store).await.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Succeeded]);
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
        let claimed = store.claim(&"n".into(), &"default".into(), 500).await.unwrap().tasks;
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
                finished.report = Report { exit_code: Some(3), signal: Some(9), stdout: kept(format!("out {}", task.claim.task_id)), ..Report::default() };
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

    async fn odd_values_reach_the_history_unchanged(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let payload = r#"{"a, b": ["{\"x\"}", "\\\\", "NULL", null, 1.5], "ü": ""}"#;
        let new = NewTask { payload: Some(payload.parse().unwrap()), ..NewTask::new("odd:name/1.0").queue("default") };
        store.enqueue(store.connection(), &new).await.unwrap();
        enqueue(&store, "work", 1).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 2).await.unwrap().tasks;
        let mut odd = ended(&claimed[0], "n", Outcome::Crashed, Verdict::Discarded);
        odd.error = Some("it said \"NULL\", {a,b}\\n\n'é'".to_owned());
        odd.report.result = Some(json!({"said": "\"{,}\""}).into());
        odd.kind = None;
        let bare = ended(&claimed[1], "n", Outcome::Succeeded, Verdict::Completed);
        let bare = FinishedAttempt { payload: None, ..bare };
        let recorded = store.finish(&[odd.clone(), bare.clone()], OnStale::Record).await.unwrap();
        assert_eq!((recorded.counted, recorded.stale), (2, 0));
        let rows = history(&store).await;
        let of = |task: i64| rows.iter().find(|row| row.task_id == Some(task)).unwrap();
        let row = of(odd.claim.task_id);
        assert_eq!((row.name.as_str(), &row.error, &row.kind), (&*odd.name, &odd.error, &None));
        assert_eq!(value(&row.payload), value(&new.payload));
        assert_eq!(value(&row.result), Some(json!({"said": "\"{,}\""})));
        assert_eq!((row.verdict, row.attempt, row.duration_ms), (Some(Verdict::Discarded), 1, Some(7)));
        assert_eq!((row.enqueued_at, row.claimed_at), (Some(odd.enqueued_at), odd.claimed_at));
        assert_eq!((row.started_at, row.finished_at), (Some(odd.started_at), odd.finished_at));
        let row = of(bare.claim.task_id);
        assert_eq!((value(&row.payload), row.exit_code, &row.error), (None, None, &None));
        assert_eq!((row.node.as_deref(), row.kind.as_deref(), row.fence), (Some("n"), Some("noop"), bare.claim.fence));
    }

    async fn each_finish_needs_its_very_own_claim(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 4).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 4).await.unwrap().tasks;
        let mut batch: Vec<_> =
            claimed.iter().map(|task| ended(task, "n", Outcome::Succeeded, Verdict::Completed)).collect();
        batch[0].claim.fence -= 1;
        batch[1].node = "another".into();
        batch[2].enqueued_at -= chrono::TimeDelta::seconds(1);
        let recorded = store.finish(&batch, OnStale::Record).await.unwrap();
        let (running, done) = (store.queues(&[]).await.unwrap().remove(0).running, history(&store).await);
        assert_eq!(running, 3, "their claims are others");
        let counted: Vec<_> = done.iter().filter(|row| row.outcome == Outcome::Succeeded).collect();
        assert_eq!((counted.len(), counted[0].task_id), (1, Some(claimed[3].claim.task_id)));
        assert_eq!((done.len(), recorded.stale), (4, 3), "three came too late");
    }

    async fn large_output_is_kept(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let mut finished = ended(&one_claimed(&store, "n").await, "n", Outcome::Succeeded, Verdict::Completed);
        finished.report.stdout = Kept { truncated: true, ..kept("wörter\n".repeat(150_000)) };
        store.finish(std::slice::from_ref(&finished), OnStale::Record).await.unwrap();
        let output = store.output(history(&store).await[0].id).await.unwrap().unwrap();
        assert_eq!(output.stdout, finished.report.stdout.text);
        assert!(output.truncated);
    }
}
