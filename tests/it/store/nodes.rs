//! Leases, and what dead nodes leave behind.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use sexton::{
    NewTask,
    domain::{identity::NodeId, problem::Sighting, task::names::TaskNames},
    store::{CancelResult, HistoryFilter, NextInstants, NodeOutlook, OnStale, OutlookOf, Store},
};
use sexton_entities::states::{Outcome, ProblemKind, TaskState, Verdict};

use super::{beat, ended, enqueue, one_claimed, register};
use crate::support::{Kind, on_each_database};

on_each_database! {
    async fn a_dead_nodes_tasks_are_given_back_once(database: Database) {
        let store = database.store().await;
        register(&store, "dead").await;
        register(&store, "alive").await;
        let task = one_claimed(&store, "dead").await;
        assert!(store.orphans(&"alive".into()).await.unwrap().is_empty(), "the lease holds");
        store.heartbeat(&beat("dead", Duration::ZERO)).await.unwrap();
        let orphans = store.orphans(&"alive".into()).await.unwrap();
        assert_eq!((orphans.len(), orphans[0].claim.task_id, orphans[0].node.clone()), (1, task.claim.task_id, Some(NodeId::from("dead"))));
        let (first, second) = tokio::join!(store.rescue(&orphans, "it died", |_| 5), store.rescue(&orphans, "it died", |_| 5));
        assert_eq!(first.unwrap().released + second.unwrap().released, 1, "two rescuers, one rescue");
        let row = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node), (TaskState::Available, 0, None));
        let history = store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!((history[0].outcome, history[0].verdict), (Outcome::Interrupted, Some(Verdict::Released)));
        assert_eq!(store.remove_dead_nodes(&"alive".into()).await.unwrap(), 1);
        assert!(!store.heartbeat(&beat("dead", Duration::from_secs(60))).await.unwrap(), "it is not listed any more");
        assert!(store.heartbeat(&beat("alive", Duration::from_secs(60))).await.unwrap());
    }

    async fn a_node_with_running_tasks_is_not_buried(database: Database) {
        let store = database.store().await;
        register(&store, "dead").await;
        let task = one_claimed(&store, "dead").await;
        store.heartbeat(&beat("dead", Duration::ZERO)).await.unwrap();
        assert_eq!(store.remove_dead_nodes(&"alive".into()).await.unwrap(), 0);
        store.finish(&[ended(&task, "dead", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
        assert_eq!(store.remove_dead_nodes(&"alive".into()).await.unwrap(), 1);
    }

    async fn a_node_learns_which_of_its_tasks_are_to_be_cancelled(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        assert!(store.cancel_requests(&"n".into()).await.unwrap().is_empty());
        assert_eq!(store.cancel(task.claim.task_id).await.unwrap(), CancelResult::Requested);
        assert_eq!(store.cancel_requests(&"n".into()).await.unwrap(), [task.claim.task_id]);
        assert!(store.cancel_requests(&"other".into()).await.unwrap().is_empty());
        assert_eq!(store.cancel(4_711).await.unwrap(), CancelResult::NotThere);
    }

    async fn a_waiting_task_is_cancelled_on_record(database: Database) {
        let store = database.store().await;
        enqueue(&store, "work", 1).await;
        assert_eq!(store.cancel(1).await.unwrap(), CancelResult::Cancelled);
        assert_eq!(store.task(1).await.unwrap(), None);
        let history = store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!((history[0].outcome, history[0].verdict, history[0].attempt), (Outcome::Cancelled, Some(Verdict::Cancelled), 0));
        assert_eq!(history[0].started_at, None);
    }

    async fn a_request_ends_a_task_that_waits(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 3).await;
        let later = NewTask::new("work").queue("default").delay(Duration::from_secs(3_600));
        store.enqueue(store.connection(), &later).await.unwrap();
        enqueue(&store, "other", 1).await;
        let execute = async |sql: &str| store.connection().execute_unprepared(sql).await.unwrap();
        execute("UPDATE sexton_task SET state = 'retryable', attempt = 1, fence = 7 WHERE id = 2").await;
        execute("INSERT INTO sexton_audit (action, target, name, task_id, via, login, reason) \
                 VALUES ('cancel', 'task', 'work', 4, 'client', 'alice', 'wrong month')").await;
        let now = match database.kind {
            Kind::Sqlite => "datetime('now')",
            _ => "CURRENT_TIMESTAMP",
        };
        execute(&format!("UPDATE sexton_task SET cancel_requested_at = {now} WHERE name = 'work' AND id <> 3")).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks;
        let mut names: Vec<_> = claimed.iter().map(|task| (task.claim.task_id, task.name.clone())).collect();
        names.sort();
        assert_eq!(names, [(3, "work".to_owned()), (5, "other".to_owned())], "no claim takes them");
        execute(&format!("UPDATE sexton_task SET cancel_requested_at = {now} WHERE id = 3")).await;
        assert!(store.next_instants().await.unwrap().is_cancel_requested);
        assert!(store.peek(&["default".into()]).await.unwrap().due, "the dispatcher wakes the future manager");
        let (first, second) = tokio::join!(store.end_requested(), store.end_requested());
        assert_eq!(first.unwrap() + second.unwrap(), 3, "each once");
        assert!(!store.next_instants().await.unwrap().is_cancel_requested, "the running one is its node's");
        assert!(!store.peek(&["default".into()]).await.unwrap().due);
        let mut rows = store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
        rows.sort_by_key(|row| row.task_id);
        let ends: Vec<_> = rows.iter().map(|row| (row.task_id, row.attempt, row.verdict, row.cancelled_by.as_deref())).collect();
        let cancelled = Some(Verdict::Cancelled);
        assert_eq!(ends, [(Some(1), 0, cancelled, None), (Some(2), 1, cancelled, None), (Some(4), 0, cancelled, Some("alice"))]);
        assert_eq!(rows[2].cancel_reason.as_deref(), Some("wrong month"));
    }

    async fn a_node_learns_which_claims_it_still_holds(database: Database) {
        let store = database.store().await;
        for node in ["n", "other"] {
            register(&store, node).await;
        }
        enqueue(&store, "work", 4).await;
        let tasks = store.claim(&"n".into(), &"default".into(), 4).await.unwrap().tasks;
        let claims: Vec<_> = tasks.iter().map(|task| task.identity()).collect();
        let held = async || store.held_claims(&"n".into(), &claims).await.unwrap();
        assert_eq!(held().await.len(), 4);
        assert!(store.held_claims(&"n".into(), &[]).await.unwrap().is_empty());
        // The first is done, the second is released and claimed by another node, the third is adopted there.
        store.finish(&[ended(&tasks[0], "n", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
        store.release(&"n".into(), &claims[1..2]).await.unwrap();
        assert_eq!(held().await, [claims[2].claim, claims[3].claim].into());
        store.claim(&"other".into(), &"default".into(), 1).await.unwrap();
        store.adopt(&"other".into(), &claims[2..3]).await.unwrap();
        assert_eq!(held().await, [claims[3].claim].into());
    }

    async fn a_node_learns_whether_it_is_alone(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        assert_eq!(store.live_nodes_beside(&"n".into()).await.unwrap(), 0);
        register(&store, "other").await;
        assert_eq!(store.live_nodes_beside(&"n".into()).await.unwrap(), 1);
        let own = beat("n", Duration::from_secs(60));
        assert_eq!(store.heartbeat_beside(&own).await.unwrap(), Some(1));
        assert_eq!(store.heartbeat_beside(&beat("stranger", Duration::ZERO)).await.unwrap(), None, "it is not listed");
        store.heartbeat(&beat("other", Duration::ZERO)).await.unwrap();
        assert_eq!(store.live_nodes_beside(&"n".into()).await.unwrap(), 0, "it is dead");
        assert_eq!(store.heartbeat_beside(&own).await.unwrap(), Some(0), "it is alone");
    }

    async fn heartbeats_do_not_wait_for_one_another(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        register(&store, "other").await;
        if database.kind == Kind::Sqlite {
            // Its file has one writer at a time.
            return;
        }
        let application = database.application().await;
        let transaction = application.begin().await.unwrap();
        transaction.execute_unprepared("UPDATE sexton_node SET pid = 2 WHERE id = 'other'").await.unwrap();
        assert_eq!(store.heartbeat_beside(&beat("n", Duration::from_secs(60))).await.unwrap(), Some(1));
        transaction.rollback().await.unwrap();
    }

    async fn one_statement_says_what_an_idle_node_has_to_do(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let known: TaskNames = ["work"].into_iter().collect();
        let look = async || {
            let of = OutlookOf { node: &"n".into(), set_aside: true };
            store.peek_and_look(&known, &["default".into()], of).await.unwrap()
        };
        let nothing = look().await;
        let NodeOutlook {
            at, next_expiry, is_paused, has_waiting, has_own, has_foreign, is_unpublished, has_schedules, has_waiting_events, has_set_aside, database: id,
            newest_step, has_problems, has_notices, last_history_id,
        } = nothing.outlook;
        assert_eq!((has_problems, has_notices, last_history_id), (false, false, None));
        assert!(at.is_some() && next_expiry.is_none());
        assert_eq!((is_paused, has_waiting, has_own, has_foreign, has_schedules), (false, false, false, false, false));
        assert!(!has_waiting_events && !nothing.events);
        assert_eq!((id, has_set_aside), (None, Some(false)), "no daemon has made an identity");
        assert!(Store::knows_step(&newest_step.unwrap()) && !Store::knows_step("m2999_later"));
        assert!(is_unpublished, "nobody knows what it serves");
        assert_eq!((nothing.next, nothing.due), (NextInstants::default(), false));

        store.publish_names(&"n".into(), &known, &Default::default()).await.unwrap();
        store.publish_queues(&"n".into(), &Default::default()).await.unwrap();
        register(&store, "other").await;
        one_claimed(&store, "other").await;
        one_claimed(&store, "n").await;
        let id = store.database_id().await.unwrap();
        enqueue(&store, "strange", 1).await;
        let cancelled = sexton::Client::new(store.clone()).enqueue(NewTask::new("work")).await.unwrap();
        assert_eq!(store.cancel(cancelled.id()).await.unwrap(), CancelResult::Cancelled);
        store.note_problems(&[Sighting::now(ProblemKind::Task, "work".to_owned(), "a test".to_owned())]).await.unwrap();
        let seen = look().await.outlook;
        let history = store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!((seen.last_history_id, seen.has_problems, seen.has_notices), (Some(history[0].id), true, false));
        assert!(!seen.is_unpublished && seen.has_waiting && seen.has_foreign && seen.has_own && !seen.is_paused);
        assert_eq!(seen.database, Some(id));
        assert!(seen.at.unwrap() < seen.next_expiry.unwrap(), "what runs elsewhere does so under a lease");
        let strange: TaskNames = ["strange"].into_iter().collect();
        store.set_unknown_aside(Some(&"default".into()), &strange).await.unwrap();
        assert_eq!(look().await.outlook.has_set_aside, Some(true));
    }

    async fn the_next_lease_to_run_out_is_known(database: Database) {
        let store = database.store().await;
        assert_eq!(store.next_expiry(&"me".into()).await.unwrap().0, None);
        store.register(&beat("me", Duration::from_secs(1))).await.unwrap();
        store.register(&beat("other", Duration::from_secs(100))).await.unwrap();
        let (expiry, now) = store.next_expiry(&"me".into()).await.unwrap();
        assert!((90..=100).contains(&(expiry.unwrap() - now).num_seconds()));
        let node = store.nodes().await.unwrap().remove(0);
        assert_eq!((node.host.as_str(), node.pid), ("here", 1));
        store.leave(&"me".into()).await.unwrap();
        store.leave(&"other".into()).await.unwrap();
        assert!(store.nodes().await.unwrap().is_empty());
    }
}
