//! Bulk commands: what filters select, in portions, and what is left alone.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sexton::{
    NewTask,
    principal::Principal,
    store::{AuditFilter, CancelResult, FinishedSelection, HistoryFilter, OnStale, Store, TaskSelection},
};
use sexton_entities::states::{AuditAction, Outcome, TaskState, Verdict, Via};

use super::{ended, enqueue, register, schedules::tasks};
use crate::support::on_each_database;

/// The numbers of all selected tasks, portion by portion.
async fn selected(store: &Store, selection: &TaskSelection) -> Vec<Vec<i64>> {
    let mut portions = Vec::new();
    let mut selected = store.selected(selection).await.unwrap();
    loop {
        let portion = selected.next().await.unwrap();
        if portion.is_empty() {
            return portions;
        }
        portions.push(portion);
    }
}

async fn names(store: &Store, selection: TaskSelection) -> Vec<String> {
    let ids: Vec<i64> = selected(store, &selection).await.concat();
    let all = tasks(store).await;
    let mut names: Vec<String> = all.into_iter().filter(|task| ids.contains(&task.id)).map(|task| task.name).collect();
    names.sort();
    names
}

fn discarded() -> FinishedSelection {
    FinishedSelection { verdict: Verdict::Discarded, name: None, queue: None, schedule: None, since: None, group: None }
}

async fn finished(store: &Store, selection: &FinishedSelection) -> Vec<i64> {
    let mut found = Vec::new();
    let mut finished = store.finished(selection).await.unwrap();
    loop {
        let portion = finished.next().await.unwrap();
        if portion.is_empty() {
            return found;
        }
        found.extend(portion);
    }
}

on_each_database! {
    async fn filters_select(database: Database) {
        let store = database.store().await;
        let hour = Duration::from_secs(3_600);
        let new = [
            NewTask::new("a").queue("mail"),
            NewTask::new("b").queue("mail").delay(hour),
            NewTask::new("b").queue("reports"),
        ];
        store.enqueue_all(store.connection(), &new).await.unwrap();
        let none = TaskSelection::default;
        assert_eq!(names(&store, none()).await, ["a", "b", "b"]);
        assert_eq!(names(&store, TaskSelection { queue: Some("mail".into()), ..none() }).await, ["a", "b"]);
        assert_eq!(names(&store, TaskSelection { name: Some("b".to_owned()), states: vec![TaskState::Available], ..none() }).await, ["b"]);
        assert_eq!(names(&store, TaskSelection { states: vec![TaskState::Scheduled, TaskState::Available], ..none() }).await.len(), 3);
        assert_eq!(names(&store, TaskSelection { schedule: Some("s".to_owned()), ..none() }).await, [""; 0]);
        let now = store.now().await.unwrap();
        assert_eq!(names(&store, TaskSelection { since: Some(now - TimeDelta::minutes(5)), ..none() }).await.len(), 3);
        assert_eq!(names(&store, TaskSelection { since: Some(now + TimeDelta::minutes(5)), ..none() }).await, [""; 0]);
        let counts = store.count_selected(&TaskSelection { queue: Some("mail".into()), ..none() }).await.unwrap();
        assert_eq!(counts, BTreeMap::from([("available".to_owned(), 1), ("scheduled".to_owned(), 1)]));
    }

    async fn many_tasks_are_cancelled_in_portions(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1_205).await;
        enqueue(&store, "other", 1).await;
        let running = store.claim(&"n".into(), &"default".into(), 3).await.unwrap().tasks;
        let selection = TaskSelection { name: Some("work".to_owned()), ..TaskSelection::default() };
        let mut at_once = store.selected(&selection).await.unwrap();
        // What comes later is not selected, and what has ended meanwhile is left.
        enqueue(&store, "work", 1).await;
        let mut results = Vec::new();
        let mut portions = 0;
        loop {
            let ids = at_once.next().await.unwrap();
            if ids.is_empty() {
                break;
            }
            assert!(ids.len() <= 500, "{}", ids.len());
            if portions == 1 {
                store.cancel(ids[0]).await.unwrap();
            }
            portions += 1;
            results.extend(store.cancel_all(&ids, &selection).await.unwrap().into_iter().map(|(_, result)| result));
        }
        let count = |wanted: CancelResult| results.iter().filter(|result| **result == wanted).count();
        assert_eq!((portions, results.len()), (3, 1_205));
        assert_eq!([CancelResult::Cancelled, CancelResult::Requested, CancelResult::NotThere].map(count), [1_201, 3, 1]);
        let left = tasks(&store).await;
        let count = |name: &str| left.iter().filter(|task| task.name == name).count();
        assert_eq!((count("work"), count("other")), (4, 1), "the running ones, the new one and the other");
        let requested: Vec<i64> = running.iter().map(|task| task.claim.task_id).collect();
        let mut asked = store.cancel_requests(&"n".into()).await.unwrap();
        asked.sort_unstable();
        assert_eq!(asked, requested);
        let history = store.history(&HistoryFilter { verdict: Some(Verdict::Cancelled), limit: 2_000, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!(history.len(), 1_202);
        let audit = store.deeds(&AuditFilter { action: Some(AuditAction::Cancel), limit: 2_000, ..AuditFilter::default() }).await.unwrap();
        assert_eq!(audit.len(), 1_205, "each of them once");
    }

    async fn a_task_that_is_not_selected_any_more_is_left_alone(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 2).await;
        let selection = TaskSelection { states: vec![TaskState::Available], ..TaskSelection::default() };
        let ids = selected(&store, &selection).await.concat();
        let claimed = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks;
        let results = store.cancel_all(&ids, &selection).await.unwrap();
        assert_eq!(results, [(ids[0], CancelResult::NotThere), (ids[1], CancelResult::Cancelled)]);
        assert!(store.cancel_requests(&"n".into()).await.unwrap().is_empty(), "{claimed:?} goes on");
    }

    async fn waiting_tasks_are_retried_at_once(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 4).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 3).await.unwrap().tasks;
        let retry: Vec<_> = claimed[..2].iter().map(|task| {
            let mut finished = ended(task, "n", Outcome::Failed, Verdict::Retry);
            finished.retry_ms = 3_600_000;
            finished
        }).collect();
        store.finish(&retry, OnStale::Record).await.unwrap();
        let later = NewTask::new("work").queue("default").delay(Duration::from_secs(60));
        store.enqueue_all(store.connection(), &[later]).await.unwrap();
        let selection = TaskSelection { states: vec![TaskState::Retryable], ..TaskSelection::default() };
        let ids = selected(&store, &selection).await.concat();
        assert_eq!(ids.len(), 2);
        assert_eq!(store.run_all_now(&ids, &selection).await.unwrap(), ids);
        assert!(store.run_all_now(&ids, &selection).await.unwrap().is_empty(), "they are available by now");
        let counts = store.count_selected(&TaskSelection::default()).await.unwrap();
        assert_eq!(counts, BTreeMap::from([("available", 3), ("running", 1), ("scheduled", 1)].map(|(state, count)| (state.to_owned(), count))));
        assert!(!tasks(&store).await.iter().any(|task| task.state == TaskState::Available && task.run_at > store_now()));
    }

    async fn discarded_tasks_are_enqueued_again_once(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 603).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 603).await.unwrap().tasks;
        let ends: Vec<_> = claimed
            .iter()
            .enumerate()
            .map(|(number, task)| match number {
                0 => ended(task, "n", Outcome::Succeeded, Verdict::Completed),
                1 => {
                    let mut long_ago = ended(task, "n", Outcome::Failed, Verdict::Discarded);
                    long_ago.finished_at -= TimeDelta::days(2);
                    long_ago
                }
                _ => ended(task, "n", Outcome::Failed, Verdict::Discarded),
            })
            .collect();
        store.finish(&ends, OnStale::Record).await.unwrap();
        let since = Some(store.now().await.unwrap() - TimeDelta::hours(1));
        let selection = FinishedSelection { name: Some("work".to_owned()), queue: Some("default".into()), since, ..discarded() };
        assert_eq!(finished(&store, &FinishedSelection { schedule: Some("s".to_owned()), ..discarded() }).await, [0; 0]);
        assert_eq!(finished(&store, &discarded()).await.len(), 602);
        let ids = finished(&store, &selection).await;
        assert_eq!((ids.len(), store.count_retried(&ids).await.unwrap()), (601, 0));
        let acting = store.acting(Principal { login: Some("alice".to_owned()), ..Principal::unknown(Via::Cli) });
        let rows: Vec<_> = store.history_rows(&ids).await.unwrap().into_iter().map(|row| {
            let task = NewTask { payload: row.payload.clone(), ..NewTask::new(row.name.clone()).queue("default") };
            (row, task)
        }).collect();
        // Two of them at once, as two operators would.
        let twice = futures::future::join_all([acting.retry_finished(&rows), acting.retry_finished(&rows)]).await;
        let counts: Vec<u64> = twice.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts.iter().sum::<u64>(), 601, "{counts:?}");
        assert_eq!(store.count_retried(&ids).await.unwrap(), 601);
        let again = tasks(&store).await;
        assert_eq!((again.len(), again[0].payload.clone()), (601, Some(json!(2).into())));
        let audit = store.deeds(&AuditFilter { action: Some(AuditAction::Retry), task_id: rows[0].0.task_id, limit: 9, ..AuditFilter::default() }).await.unwrap();
        assert_eq!((audit.len(), audit[0].login.as_deref()), (1, Some("alice")));
    }

    async fn the_history_is_filtered(database: Database) {
        let store = database.store().await;
        let node = "shop_1-0123456789ab";
        for id in [node, "shopx1-0123456789ab", "shop_1-2-0123456789ab"] {
            register(&store, id).await;
            enqueue(&store, "work", 1).await;
            let task = store.claim(&id.into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
            let mut finished = ended(&task, id, Outcome::Failed, Verdict::Discarded);
            if id == node {
                // The history may take it from the task's row.
                finished.schedule = Some("s".to_owned());
                store.connection().execute_unprepared("UPDATE sexton_task SET schedule = 's'").await.unwrap();
            }
            store.finish(&[finished], OnStale::Record).await.unwrap();
        }
        let none = || HistoryFilter { limit: 9, ..HistoryFilter::default() };
        let nodes = async |filter: HistoryFilter| {
            let found = store.history(&filter).await.unwrap();
            found.into_iter().filter_map(|row| row.node).collect::<Vec<_>>()
        };
        assert_eq!(nodes(HistoryFilter { node: Some("shop_1".to_owned()), ..none() }).await, [node], "by its name");
        assert_eq!(nodes(HistoryFilter { node: Some(node.to_owned()), ..none() }).await, [node]);
        assert_eq!(nodes(HistoryFilter { node: Some("shop_1-2".to_owned()), ..none() }).await, ["shop_1-2-0123456789ab"]);
        assert_eq!(nodes(HistoryFilter { node: Some("shop%".to_owned()), ..none() }).await, [""; 0]);
        assert_eq!(nodes(HistoryFilter { schedule: Some("s".to_owned()), ..none() }).await, [node]);
        assert_eq!(nodes(HistoryFilter { verdict: Some(Verdict::Discarded), queue: Some("default".into()), ..none() }).await.len(), 3);
        assert_eq!(nodes(HistoryFilter { verdict: Some(Verdict::Completed), ..none() }).await, [""; 0]);
        assert_eq!(nodes(HistoryFilter { queue: Some("mail".into()), ..none() }).await, [""; 0]);
    }
}

/// The machine's time, which is that of the servers on it, with slack.
fn store_now() -> chrono::DateTime<chrono::Utc> {
    sexton::clock::machine_time() + TimeDelta::minutes(1)
}
