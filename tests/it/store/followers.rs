//! Tasks that wait for others: released or skipped in the transaction that ends the last one, exactly once.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, TransactionTrait};
use sexton::{
    Client, NewTask,
    domain::task::{ClaimedTask, FinishedAttempt},
    store::{Enqueued, OnStale, Store},
};
use sexton_client::Required;
use sexton_entities::{
    history,
    states::{AuditAction, AuditTarget, Outcome, TaskState, Verdict},
};

use super::{ended, register};
use crate::support::{Kind, on_each_database, value};

fn task(name: &str) -> NewTask {
    NewTask::new(name).queue("default")
}

pub(super) async fn enqueued(store: &Store, task: NewTask) -> i64 {
    match Client::new(store.clone()).enqueue(task).await.unwrap() {
        Enqueued::New(id) => id,
        there => panic!("{there:?}"),
    }
}

/// The state of a task; none once it has ended.
pub(super) async fn state(store: &Store, id: i64) -> Option<TaskState> {
    store.task(id).await.unwrap().map(|task| task.state)
}

pub(super) async fn claimed(store: &Store) -> Vec<ClaimedTask> {
    store.claim(&"n".into(), &"default".into(), 100).await.unwrap().tasks
}

pub(super) async fn finish(store: &Store, ends: &[FinishedAttempt]) -> sexton::store::Recorded {
    store.finish(ends, OnStale::Record).await.unwrap()
}

pub(super) fn completed(task: &ClaimedTask) -> FinishedAttempt {
    ended(task, "n", Outcome::Succeeded, Verdict::Completed)
}

fn failed(task: &ClaimedTask) -> FinishedAttempt {
    ended(task, "n", Outcome::Failed, Verdict::Discarded)
}

pub(super) async fn run(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

/// The row that ended a task.
pub(super) async fn last(store: &Store, id: i64) -> history::Model {
    store.last_row(id).await.unwrap().unwrap()
}

/// Three tasks that wait for a task, each for another end of it.
async fn one_for_each_end(store: &Store, after: i64) -> [i64; 3] {
    let mut ids = [0; 3];
    for (id, required) in ids.iter_mut().zip([Required::Success, Required::Failure, Required::Always]) {
        *id = enqueued(store, task("next").after([after]).when(required)).await;
    }
    ids
}

async fn states(store: &Store, ids: [i64; 3]) -> [Option<TaskState>; 3] {
    [state(store, ids[0]).await, state(store, ids[1]).await, state(store, ids[2]).await]
}

on_each_database! {
    async fn a_task_begins_after_the_success_of_another_and_knows_its_result(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let next = enqueued(&store, task("index").payload(serde_json::json!({"a": 1})).after([first])).await;
        assert_eq!(state(&store, next).await, Some(TaskState::Waiting));
        let tasks = claimed(&store).await;
        assert_eq!(tasks.iter().map(|task| task.claim.task_id).collect::<Vec<_>>(), [first]);
        let mut end = completed(&tasks[0]);
        end.report.result = Some(serde_json::json!({"rows": 7}).into());
        assert_eq!(finish(&store, &[end]).await.followers, 1);
        let tasks = claimed(&store).await;
        assert_eq!(tasks[0].claim.task_id, next);
        assert_eq!(value(&tasks[0].payload), Some(serde_json::json!({"a": 1})), "it is what the application wrote");
        let told = serde_json::json!([{
            "id": first, "task": "import", "group": null, "outcome": "succeeded", "result": {"rows": 7}
        }]);
        assert_eq!(value(&tasks[0].predecessors), Some(told));
        finish(&store, &[completed(&tasks[0])]).await;
        assert_eq!(last(&store, next).await.verdict, Some(Verdict::Completed));
    }

    async fn all_are_waited_for_and_the_first_of_any_is_enough(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(enqueued(&store, task("part")).await);
        }
        let all = enqueued(&store, task("all").after(ids.clone())).await;
        let any = enqueued(&store, task("any").after(ids.clone()).any()).await;
        let tasks = claimed(&store).await;
        finish(&store, &[completed(&tasks[1])]).await;
        assert_eq!((state(&store, all).await, state(&store, any).await), (Some(TaskState::Waiting), Some(TaskState::Available)));
        finish(&store, &[completed(&tasks[0])]).await;
        assert_eq!(state(&store, all).await, Some(TaskState::Waiting));
        finish(&store, &[completed(&tasks[2])]).await;
        assert_eq!(state(&store, all).await, Some(TaskState::Available));
        // Of any, the last one that fails decides.
        let (one, two) = (enqueued(&store, task("part")).await, enqueued(&store, task("part")).await);
        let any = enqueued(&store, task("any").after([one, two]).any()).await;
        let tasks: Vec<ClaimedTask> = claimed(&store).await.into_iter().filter(|task| task.name == "part").collect();
        finish(&store, &[failed(&tasks[0])]).await;
        assert_eq!(state(&store, any).await, Some(TaskState::Waiting));
        finish(&store, &[failed(&tasks[1])]).await;
        assert_eq!(state(&store, any).await, None);
    }

    async fn what_can_never_begin_ends_as_skipped_with_its_own_followers(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let ids = one_for_each_end(&store, first).await;
        let chain = enqueued(&store, task("last").after([ids[0]])).await;
        let alert = enqueued(&store, task("alert").after([ids[0]]).when(Required::Failure)).await;
        let report = enqueued(&store, task("report").after([ids[0]]).when(Required::Always)).await;
        finish(&store, &[failed(&claimed(&store).await[0])]).await;
        assert_eq!(states(&store, ids).await, [None, Some(TaskState::Available), Some(TaskState::Available)]);
        let row = last(&store, ids[0]).await;
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Skipped, Some(Verdict::Discarded), 0));
        assert_eq!(row.reason_code.as_deref(), Some("predecessor"));
        let error = format!("task {first} ended as failed, and this task runs only after its success");
        assert_eq!(row.error, Some(error));
        assert_eq!(last(&store, chain).await.outcome, Outcome::Skipped);
        assert_eq!(last(&store, alert).await.outcome, Outcome::Skipped, "a task that was skipped has not failed");
        assert_eq!(state(&store, report).await, Some(TaskState::Available));
    }

    async fn a_retry_is_no_end(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let ids = one_for_each_end(&store, first).await;
        for (outcome, verdict) in [(Outcome::Failed, Verdict::Retry), (Outcome::Interrupted, Verdict::Released)] {
            finish(&store, &[ended(&claimed(&store).await[0], "n", outcome, verdict)]).await;
            store.promote().await.unwrap();
            assert_eq!(store.settle_all().await.unwrap(), Default::default());
            assert_eq!(states(&store, ids).await, [Some(TaskState::Waiting); 3]);
            run(&store, "UPDATE sexton_task SET state = 'available' WHERE state = 'retryable'").await;
        }
    }

    /// Each way in which a task ends without a finish.
    async fn whatever_ends_a_task_settles_its_followers(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        register(&store, "gone").await;
        let waiting = Some(TaskState::Waiting);
        let followed = async |new: NewTask| {
            let id = enqueued(&store, new).await;
            (id, one_for_each_end(&store, id).await)
        };
        let neither = [None, None, Some(TaskState::Available)];
        let failure = [None, Some(TaskState::Available), Some(TaskState::Available)];

        let (id, ids) = followed(task("a")).await;
        store.cancel(id).await.unwrap();
        assert_eq!(states(&store, ids).await, neither, "cancelled by hand");

        let (id, ids) = followed(task("a")).await;
        run(&store, &format!("UPDATE sexton_task SET cancel_requested_at = enqueued_at WHERE id = {id}")).await;
        assert_eq!(store.end_requested().await.unwrap(), 1);
        assert_eq!(states(&store, ids).await, neither, "cancelled by a request");

        let (id, ids) = followed(task("a").expires(Duration::from_secs(3_600))).await;
        let past = (sexton::clock::machine_time() - TimeDelta::minutes(5)).format("%Y-%m-%d %H:%M:%S");
        run(&store, &format!("UPDATE sexton_task SET expires_at = '{past}' WHERE id = {id}")).await;
        assert_eq!(store.skip_expired(Some(&"default".into()), "it is late").await.unwrap(), 1);
        assert_eq!(states(&store, ids).await, neither, "expired");

        let (_, ids) = followed(NewTask::new("nobody").queue("other")).await;
        let known = sexton::domain::task::names::TaskNames::from_iter(["nobody"]);
        assert_eq!(store.set_unknown_aside(Some(&"other".into()), &known).await.unwrap(), 1);
        assert_eq!(states(&store, ids).await, [waiting; 3], "it is set aside");
        assert_eq!(store.discard_set_aside("nobody", Duration::ZERO, "nobody defines it").await.unwrap(), 1);
        assert_eq!(states(&store, ids).await, failure, "no node defines it");

        run(&store, "UPDATE sexton_task SET queue = 'later' WHERE name = 'next'").await;
        let (_, ids) = followed(task("a")).await;
        let _ = store.claim(&"gone".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        run(&store, "DELETE FROM sexton_node WHERE id = 'gone'").await;
        let orphans = store.orphans(&"n".into()).await.unwrap();
        assert_eq!(store.rescue(&orphans, "it died", |_| 1).await.unwrap().discarded.len(), 1);
        assert_eq!(states(&store, ids).await, failure, "it took down its node");

        run(&store, "UPDATE sexton_task SET queue = 'later' WHERE name = 'next'").await;
        let (id, ids) = followed(task("a")).await;
        run(&store, &format!("UPDATE sexton_task SET fence = 9223372036854775807 WHERE id = {id}")).await;
        assert!(claimed(&store).await.is_empty());
        assert_eq!(states(&store, ids).await, failure, "it cannot be claimed");

        run(&store, "UPDATE sexton_task SET queue = 'later' WHERE name = 'next'").await;
        let (_, ids) = followed(task("a")).await;
        let end = failed(&claimed(&store).await[0]);
        assert!(store.finish_unrecorded(&end).await.unwrap());
        assert_eq!(states(&store, ids).await, [None; 3], "its end is on no record");
        assert!(last(&store, ids[2]).await.error.unwrap().ends_with("which is neither unfinished nor in the history"));
    }

    async fn what_has_ended_long_ago_counts_and_what_never_was_is_refused(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        finish(&store, &[failed(&claimed(&store).await[0])]).await;
        let ids = one_for_each_end(&store, first).await;
        let settled = store.settle_all().await.unwrap();
        assert_eq!((settled.released, settled.skipped), (2, 1));
        assert_eq!(states(&store, ids).await, [None, Some(TaskState::Available), Some(TaskState::Available)]);
        let deed = sexton::store::Deed::new(AuditAction::Enqueue, AuditTarget::Task, "next");
        let by_hand = store.enqueue_by_hand(&task("next").after([first]), &deed).await.unwrap().id();
        assert_eq!(last(&store, by_hand).await.outcome, Outcome::Skipped, "by hand it is settled at once");
        let before = store.tasks(&sexton::store::TaskFilter { limit: 99, ..Default::default() }).await.unwrap().len();
        let client = Client::new(store.clone());
        let error = client.enqueue(task("next").after([first, 4_711])).await.unwrap_err().to_string();
        assert_eq!(error, "there is no task 4711: it is neither unfinished nor in the history (it never was, or its history is pruned)");
        let error = client.enqueue(task("next").after_group("g")).await.unwrap_err().to_string();
        assert!(error.starts_with("there is no group g: "), "{error}");
        let after = store.tasks(&sexton::store::TaskFilter { limit: 99, ..Default::default() }).await.unwrap().len();
        assert_eq!(after, before, "nothing was enqueued");
    }

    async fn a_chain_is_enqueued_in_the_transaction_of_the_application(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let client = Client::new(store.clone());
        for is_committed in [false, true] {
            let transaction = client.connection().begin().await.unwrap();
            let first = client.enqueue_in(&transaction, task("import")).await.unwrap().id();
            let next = client.enqueue_in(&transaction, task("index").after([first])).await.unwrap().id();
            match is_committed {
                true => transaction.commit().await.unwrap(),
                false => transaction.rollback().await.unwrap(),
            }
            let expected = is_committed.then_some(TaskState::Waiting);
            assert_eq!(state(&store, next).await, expected);
        }
        finish(&store, &[completed(&claimed(&store).await[0])]).await;
        assert_eq!(claimed(&store).await[0].name, "index");
    }

    async fn predecessors_that_end_at_once_release_a_task_once(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for round in 0..10 {
            let mut ids = Vec::new();
            for _ in 0..6 {
                ids.push(enqueued(&store, task("part")).await);
            }
            let next = enqueued(&store, task("next").after(ids)).await;
            let ends: Vec<FinishedAttempt> = claimed(&store).await.iter().map(completed).collect();
            assert_eq!(ends.len(), 6);
            let (a, b, c) = tokio::join!(
                store.finish(&ends[..2], OnStale::Record),
                store.finish(&ends[2..4], OnStale::Record),
                store.finish(&ends[4..], OnStale::Record)
            );
            let released = [a, b, c].into_iter().map(|recorded| recorded.unwrap().followers).sum::<usize>();
            assert_eq!((released, state(&store, next).await), (1, Some(TaskState::Available)), "round {round}");
            finish(&store, &[completed(&claimed(&store).await[0])]).await;
        }
    }

    async fn plain_sql_makes_chains_and_cycles_end_on_record(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let application = database.application().await;
        let execute = async |sql: &str| {
            application.execute_unprepared(sql).await.unwrap();
        };
        execute("INSERT INTO sexton_task (name, queue) VALUES ('import', 'default')").await;
        for name in ["index", "a", "b", "c", "d", "lonely"] {
            execute(&format!("INSERT INTO sexton_task (name, queue, state) VALUES ('{name}', 'default', 'waiting')")).await;
        }
        // Task 2 after 1; 3, 4 and 5 wait for one another; 6 waits for 5; 7 waits for nothing.
        execute("INSERT INTO sexton_task_dependency (task_id, after_id) VALUES (2, 1), (3, 4), (4, 5), (5, 3)").await;
        execute("INSERT INTO sexton_task_dependency (task_id, after_id, required) VALUES (6, 5, 'always')").await;
        let end = completed(&claimed(&store).await[0]);
        assert_eq!(finish(&store, &[end]).await.followers, 1, "in the same transaction");
        let settled = store.settle_all().await.unwrap();
        assert_eq!((settled.skipped, settled.released), (3, 1));
        let row = last(&store, 4).await;
        assert_eq!((row.outcome, row.reason_code.as_deref()), (Outcome::Skipped, Some("cycle")));
        assert_eq!(row.error.as_deref(), Some("tasks 3, 4, 5 wait for one another"));
        assert_eq!(state(&store, 6).await, Some(TaskState::Available), "the others are settled by their rules");
        assert_eq!(state(&store, 7).await, Some(TaskState::Waiting), "its rows may be on their way");
        let past = match database.kind {
            Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', '-2 minutes')",
            Kind::Postgres => "now() - interval '2 minutes'",
            Kind::MariaDb | Kind::MySql => "utc_timestamp(6) - INTERVAL 2 MINUTE",
        };
        execute(&format!("UPDATE sexton_task SET enqueued_at = {past} WHERE id = 7")).await;
        assert_eq!(store.settle_all().await.unwrap().skipped, 1);
        assert!(last(&store, 7).await.error.unwrap().contains("no row in sexton_task_dependency"));
        // What an earlier version ended, or what was deleted by hand, is noticed as well.
        execute("INSERT INTO sexton_task (name, queue, state) VALUES ('x', 'default', 'waiting')").await;
        execute("INSERT INTO sexton_task_dependency (task_id, after_id) VALUES (8, 1)").await;
        execute("INSERT INTO sexton_task (name, queue, state) VALUES ('y', 'default', 'waiting')").await;
        execute("INSERT INTO sexton_task_dependency (task_id, after_id, required) VALUES (9, 999, 'always')").await;
        let settled = store.settle_all().await.unwrap();
        assert_eq!((settled.released, settled.skipped), (1, 1));
        assert_eq!(state(&store, 8).await, Some(TaskState::Available));
        assert!(last(&store, 9).await.error.unwrap().starts_with("it waited for task 999"));
    }

    async fn who_does_not_use_it_sends_no_statement_for_it(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        super::enqueue(&store, "work", 20).await;
        let ends: Vec<FinishedAttempt> = claimed(&store).await.iter().map(completed).collect();
        let before = store.statements();
        finish(&store, &ends).await;
        let expected = match database.kind {
            // The beginning, the commit, and the move or its parts.
            Kind::Postgres => 3,
            Kind::Sqlite => 4,
            Kind::MariaDb | Kind::MySql => 5,
        };
        assert_eq!(store.statements() - before, expected);
    }

    async fn a_waiting_task_is_started_cancelled_moved_and_expires(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let ids = one_for_each_end(&store, first).await;
        assert!(store.run_now(ids[0]).await.unwrap(), "by hand it starts at once");
        assert_eq!(state(&store, ids[0]).await, Some(TaskState::Available));
        store.cancel(ids[1]).await.unwrap();
        assert_eq!(last(&store, ids[1]).await.outcome, Outcome::Cancelled);
        assert_eq!(store.move_tasks(&"default".into(), &"other".into()).await.unwrap(), 3);
        let moved = store.task(ids[2]).await.unwrap().unwrap();
        assert_eq!((moved.state, moved.queue.as_deref()), (TaskState::Waiting, Some("other")));
        let past = (sexton::clock::machine_time() - TimeDelta::minutes(5)).format("%Y-%m-%d %H:%M:%S");
        run(&store, &format!("UPDATE sexton_task SET expires_at = '{past}' WHERE id = {}", ids[2])).await;
        assert_eq!(store.skip_expired(Some(&"other".into()), "too late").await.unwrap(), 1);
        assert_eq!(last(&store, ids[2]).await.reason_code.as_deref(), Some("expired"));
    }

    async fn what_a_task_waited_for_is_kept_as_long_as_its_history(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let next = enqueued(&store, task("next").after([first])).await;
        let left = async || store.predecessors(&[next]).await.unwrap().len();
        finish(&store, &[completed(&claimed(&store).await[0])]).await;
        store.prune(Duration::ZERO, async |_| true).await.unwrap();
        assert_eq!(left().await, 1, "the task is unfinished");
        finish(&store, &[completed(&claimed(&store).await[0])]).await;
        store.prune(Duration::from_secs(3_600), async |_| true).await.unwrap();
        assert_eq!(left().await, 1, "its history is kept");
        run(&store, "DELETE FROM sexton_history").await;
        store.prune(Duration::from_secs(3_600), async |_| true).await.unwrap();
        assert_eq!(left().await, 0);
    }

    async fn a_task_that_is_released_early_keeps_its_time(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, task("import")).await;
        let later = enqueued(&store, task("next").after([first]).delay(Duration::from_secs(3_600))).await;
        finish(&store, &[completed(&claimed(&store).await[0])]).await;
        assert_eq!(state(&store, later).await, Some(TaskState::Scheduled));
    }
}
