//! Who did what is on record, in the transaction in which it was done; and what a pause keeps.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sexton::{
    NewTask,
    principal::Principal,
    store::{AuditFilter, CancelResult, Deed, Enqueued, HistoryFilter, OnStale, PauseDetails, QueueRow, Store},
};
use sexton_entities::{
    audit,
    states::{AuditAction, AuditTarget, Fate, Outcome, TaskState, Verdict, Via},
};

use super::{
    about_now, ended, enqueue, one_claimed, register,
    schedules::{ahead, firing, sighting, tasks},
};
use crate::support::{Kind, on_each_database};

/// Alice, who has become root on shop01.
fn alice(reason: &str) -> Principal {
    Principal {
        via: Via::Cli,
        account: Some("deploy".to_owned()),
        login: Some("alice".to_owned()),
        host: Some("shop01".to_owned()),
        reason: Some(reason.to_owned()),
    }
}

/// All deeds but the migration, the oldest first.
async fn deeds(store: &Store) -> Vec<audit::Model> {
    let mut deeds = store.deeds(&AuditFilter { limit: 100_000, ..AuditFilter::default() }).await.unwrap();
    deeds.retain(|deed| deed.action != AuditAction::Migrate);
    deeds.reverse();
    deeds
}

async fn history(store: &Store) -> Vec<sexton_entities::history::Model> {
    store.history(&HistoryFilter { limit: 100, ..HistoryFilter::default() }).await.unwrap()
}

async fn queue(store: &Store, name: &str) -> QueueRow {
    store.queues(&[]).await.unwrap().into_iter().find(|queue| queue.name == *name).unwrap()
}

fn by_alice(details: &PauseDetails, reason: &str) -> bool {
    let PauseDetails { paused_at, paused_by, paused_host, pause_reason, paused_until: _ } = details;
    paused_at.is_some_and(about_now)
        && paused_by.as_deref() == Some("alice")
        && paused_host.as_deref() == Some("shop01")
        && pause_reason.as_deref() == Some(reason)
}

on_each_database! {
    async fn a_queue_keeps_who_paused_it(database: Database) {
        let store = database.store().await;
        let name = "mail".into();
        assert!(store.acting(alice("the server is away")).pause_queue(&name, true).await.unwrap());
        assert!(by_alice(&queue(&store, "mail").await.pause, "the server is away"));
        // A second pause changes nothing, and is no deed.
        let bob = Principal { login: Some("bob".to_owned()), ..alice("me too") };
        assert!(!store.acting(bob.clone()).pause_queue(&name, true).await.unwrap());
        assert!(by_alice(&queue(&store, "mail").await.pause, "the server is away"));
        assert!(store.acting(bob).pause_queue(&name, false).await.unwrap());
        let resumed = queue(&store, "mail").await;
        assert_eq!((resumed.paused, resumed.pause), (false, PauseDetails::default()));
        assert!(!store.pause_queue(&"never".into(), false).await.unwrap());
        let deeds = deeds(&store).await;
        assert_eq!(deeds.len(), 2, "{deeds:?}");
        let [pause, resume] = [&deeds[0], &deeds[1]];
        assert!(about_now(pause.done_at));
        assert_eq!((pause.action, pause.target, pause.name.as_deref()), (AuditAction::Pause, AuditTarget::Queue, Some("mail")));
        assert_eq!((pause.via, pause.account.as_deref(), pause.login.as_deref()), (Via::Cli, Some("deploy"), Some("alice")));
        assert_eq!((pause.host.as_deref(), pause.reason.as_deref()), (Some("shop01"), Some("the server is away")));
        assert_eq!((pause.value_before.clone(), pause.value_after.clone()), (Some(json!({"paused": false})), Some(json!({"paused": true}))));
        assert_eq!((resume.action, resume.login.as_deref()), (AuditAction::Resume, Some("bob")));
        assert_eq!(resume.value_before.as_ref().unwrap()["paused_by"], "alice", "what it was like before");
    }

    async fn without_a_principal_the_application_did_it(database: Database) {
        let store = database.store().await;
        store.pause_queue(&"mail".into(), true).await.unwrap();
        let deed = deeds(&store).await.remove(0);
        assert_eq!((deed.via, deed.reason), (Via::Client, None));
        let own = Principal::of_this_process(Via::Client);
        assert_eq!((deed.account, deed.login, deed.host), (own.account, own.login, own.host));
        let migrated = store.deeds(&AuditFilter { action: Some(AuditAction::Migrate), limit: 9, ..AuditFilter::default() }).await.unwrap();
        assert_eq!((migrated.len(), migrated[0].target), (1, AuditTarget::Database));
        assert!(migrated[0].value_after.as_ref().unwrap()["applied"].as_array().unwrap().len() > 10);
    }

    async fn odd_words_are_kept_or_cut(database: Database) {
        let store = database.store().await;
        let reason = "it's \"down\" \\ ö 🦉\0 '); DROP TABLE sexton_audit; --";
        let odd = Principal { login: Some("x".repeat(300)), host: Some("h".repeat(400)), ..alice(reason) };
        store.acting(odd).pause_queue(&"mail".into(), true).await.unwrap();
        let deed = deeds(&store).await.remove(0);
        assert_eq!(deed.reason.as_deref(), Some(reason.replace('\0', "").as_str()));
        assert_eq!((deed.login.unwrap().len(), deed.host.unwrap().len()), (100, 255));
        assert_eq!(queue(&store, "mail").await.pause.pause_reason.as_deref(), Some(reason.replace('\0', "").as_str()));
    }

    async fn a_pause_outlives_the_schedule(database: Database) {
        let store = database.store().await;
        let sync = async || store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        sync().await;
        let at = ahead();
        store.fire("n", &[firing("s", at, Fate::Fired)]).await.unwrap();
        assert!(store.acting(alice("not during the fair")).pause_schedule("s", true).await.unwrap());
        // It leaves the file.
        store.forget_schedules(&["s".to_owned()]).await.unwrap();
        assert!(store.schedules().await.unwrap().is_empty(), "it is no schedule any more");
        assert!(store.is_any_unlisted(&[firing("s", at, Fate::Fired)]).await.unwrap());
        assert!(store.fire("n", &[firing("s", at + TimeDelta::hours(1), Fate::Fired)]).await.unwrap().is_empty());
        assert_eq!(store.occurrences("s", 9).await.unwrap().len(), 1, "nothing is entered for it");
        // It comes back.
        let begins = sync().await["s"];
        assert!(about_now(begins), "as a new one does: {begins}");
        let back = store.schedules().await.unwrap().remove(0);
        assert!(back.paused && by_alice(&PauseDetails::from(&back), "not during the fair"), "{back:?}");
        assert!(store.fire("n", &[firing("s", at + TimeDelta::hours(2), Fate::Fired)]).await.unwrap().is_empty());
        assert!(store.pause_schedule("s", false).await.unwrap());
        assert_eq!(store.fire("n", &[firing("s", at + TimeDelta::hours(3), Fate::Fired)]).await.unwrap(), ["s"]);
        // One that is not paused is deleted as before, and one that is resumed while it is away as well.
        store.forget_schedules(&["s".to_owned()]).await.unwrap();
        assert_eq!(store.schedule("s").await.unwrap(), None);
        sync().await;
        store.pause_schedule("s", true).await.unwrap();
        store.forget_schedules(&["s".to_owned()]).await.unwrap();
        assert!(store.pause_schedule("s", false).await.unwrap());
        assert_eq!(store.schedule("s").await.unwrap(), None);
        assert!(!store.pause_schedule("s", false).await.unwrap());
    }

    async fn retention_keeps_the_pause_of_a_schedule(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("paused", "@daily"), sighting("active", "@daily")]).await.unwrap();
        store.pause_schedule("paused", true).await.unwrap();
        let long_ago = store.now().await.unwrap() - TimeDelta::days(40);
        store.set_next_run(&[("paused".to_owned(), long_ago), ("active".to_owned(), long_ago)]).await.unwrap();
        store.prune_schedules(Duration::from_secs(30 * 86_400), &[].into()).await.unwrap();
        assert!(store.schedules().await.unwrap().is_empty());
        store.sync_schedules(&[sighting("paused", "@daily"), sighting("active", "@daily")]).await.unwrap();
        let paused: Vec<bool> = store.schedules().await.unwrap().iter().map(|schedule| schedule.paused).collect();
        assert_eq!(paused, [false, true]);
    }

    async fn everything_is_paused_in_the_whole_cluster(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 2).await;
        assert_eq!(store.all_paused().await.unwrap(), None);
        let limits = sexton::domain::task::limits::ConcurrencyLimits::default();
        assert!(store.acting(alice("the move")).pause_all(true).await.unwrap());
        assert!(!store.pause_all(true).await.unwrap());
        assert!(by_alice(&store.all_paused().await.unwrap().unwrap(), "the move"));
        let queues = ["default".into()];
        let claim = async || store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.len();
        let claim_within = async || store.claim_within(&limits, &"n".into(), &"default".into(), 1).await.unwrap().tasks.len();
        assert_eq!((claim().await, claim_within().await), (0, 0));
        assert!(store.peek(&queues).await.unwrap().queues.is_empty(), "nobody looks again and again");
        // Another process sees it as well: it is in the database.
        assert!(database.bare_store().all_paused().await.unwrap().is_some());
        assert!(store.acting(alice("the move is done")).pause_all(false).await.unwrap());
        assert_eq!(store.all_paused().await.unwrap(), None);
        assert_eq!(store.peek(&queues).await.unwrap().queues, queues);
        assert_eq!((claim().await, claim_within().await), (1, 1));
        let actions: Vec<_> = deeds(&store).await.into_iter().map(|deed| (deed.action, deed.target, deed.name)).collect();
        assert_eq!(actions, [(AuditAction::Pause, AuditTarget::Cluster, None), (AuditAction::Resume, AuditTarget::Cluster, None)]);
    }

    async fn the_history_says_who_cancelled(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let other = one_claimed(&store, "n").await;
        enqueue(&store, "work", 1).await;
        let acting = store.acting(alice("wrong month"));
        assert_eq!(acting.cancel(task.claim.task_id).await.unwrap(), CancelResult::Requested);
        let waiting = tasks(&store).await.iter().find(|task| task.state == TaskState::Available).unwrap().id;
        assert_eq!(acting.cancel(waiting).await.unwrap(), CancelResult::Cancelled);
        let row = history(&store).await.remove(0);
        let signed = |row: &sexton_entities::history::Model| {
            (row.cancelled_by.as_deref() == Some("alice"), row.cancelled_host.as_deref() == Some("shop01"), row.cancel_reason.as_deref() == Some("wrong month"))
        };
        assert_eq!((row.verdict, signed(&row)), (Some(Verdict::Cancelled), (true, true, true)), "{row:?}");
        // The node of the running one records its end, together with another one.
        let batch = [ended(&task, "n", Outcome::Cancelled, Verdict::Cancelled), ended(&other, "n", Outcome::Succeeded, Verdict::Completed)];
        store.finish(&batch, OnStale::Record).await.unwrap();
        for row in history(&store).await {
            let expected = row.verdict == Some(Verdict::Cancelled);
            assert_eq!(signed(&row), (expected, expected, expected), "{row:?}");
        }
        let deeds = deeds(&store).await;
        let told: Vec<_> = deeds.iter().map(|deed| (deed.action, deed.task_id, deed.name.as_deref())).collect();
        assert_eq!(told, [(AuditAction::Cancel, Some(task.claim.task_id), Some("work")), (AuditAction::Cancel, Some(waiting), Some("work"))]);
        assert_eq!(deeds[0].value_after, Some(json!({"state": "running", "cancel_requested": true})));
        assert_eq!(deeds[1].value_before, Some(json!({"state": "available"})));
    }

    async fn what_is_added_and_retried_by_hand_is_on_record(database: Database) {
        let store = database.store().await;
        let acting = store.acting(alice("for the audit"));
        let deed = Deed::new(AuditAction::Enqueue, AuditTarget::Task, "work");
        let later = NewTask::new("work").queue("default").unique_key("k").delay(Duration::from_secs(600));
        let Enqueued::New(id) = acting.enqueue_by_hand(&later, &deed).await.unwrap() else { panic!("a new one") };
        assert_eq!(acting.enqueue_by_hand(&later, &deed).await.unwrap(), Enqueued::AlreadyThere(id), "no deed");
        assert!(acting.run_now(id).await.unwrap());
        assert!(!acting.run_now(id).await.unwrap(), "no deed");
        assert_eq!(store.task(id).await.unwrap().unwrap().state, TaskState::Available);
        let again = Deed::new(AuditAction::Retry, AuditTarget::Task, "work").of_task(4_711);
        let Enqueued::New(new) = acting.enqueue_by_hand(&NewTask::new("work"), &again).await.unwrap() else { panic!("a new one") };
        let told: Vec<_> = deeds(&store).await.into_iter().map(|deed| (deed.action, deed.task_id, deed.value_after)).collect();
        let available = Some(json!({"state": "available"}));
        assert_eq!(told, [
            (AuditAction::Enqueue, Some(id), None),
            (AuditAction::Retry, Some(id), available),
            (AuditAction::Retry, Some(4_711), Some(json!({"task": new}))),
        ]);
    }

    async fn the_audit_is_filtered_and_pruned(database: Database) {
        let store = database.store().await;
        let begin = store.now().await.unwrap();
        for (who, queue) in [("alice", "mail"), ("bob", "reports")] {
            let principal = Principal { login: Some(who.to_owned()), ..alice("r") };
            store.acting(principal).pause_queue(&queue.into(), true).await.unwrap();
        }
        store.acting(Principal::unknown(Via::Signal)).audit(&Deed::new(AuditAction::Reload, AuditTarget::Node, "n")).await.unwrap();
        let names = async |filter: AuditFilter| {
            let found = store.deeds(&AuditFilter { limit: 9, ..filter }).await.unwrap();
            found.into_iter().filter_map(|deed| deed.name).collect::<Vec<_>>()
        };
        let none = AuditFilter::default;
        assert_eq!(names(AuditFilter { by: Some("bob".to_owned()), ..none() }).await, ["reports"]);
        assert_eq!(names(AuditFilter { by: Some("deploy".to_owned()), ..none() }).await, ["reports", "mail"]);
        assert_eq!(names(AuditFilter { via: Some(Via::Signal), ..none() }).await, ["n"]);
        assert_eq!(names(AuditFilter { target: Some(AuditTarget::Queue), name: Some("mail".to_owned()), ..none() }).await, ["mail"]);
        assert_eq!(names(AuditFilter { host: Some("shop02".to_owned()), ..none() }).await, [""; 0]);
        // The tables were made before, and that has a row too.
        assert_eq!(names(none()).await.len(), 4);
        assert_eq!(names(AuditFilter { since: Some(begin), ..none() }).await, ["n", "reports", "mail"]);
        assert_eq!(names(AuditFilter { since: Some(begin + TimeDelta::minutes(5)), ..none() }).await, [""; 0]);
        let long_ago = match database.kind {
            Kind::Sqlite => "'2020-01-01T00:00:00.000000+00:00'",
            _ => "'2020-01-01 00:00:00'",
        };
        let older = format!("UPDATE sexton_audit SET done_at = {long_ago} WHERE login = 'bob'");
        store.connection().execute_unprepared(&older).await.unwrap();
        store.prune(Duration::from_secs(86_400), async |_| true).await.unwrap();
        assert_eq!(names(AuditFilter { action: Some(AuditAction::Pause), ..none() }).await, ["mail"]);
    }

    async fn a_node_of_the_version_before_pauses_beside_new_ones(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1).await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        // Its statements name no column that it does not know.
        for sql in [
            "INSERT INTO sexton_queue (name, paused) VALUES ('default', true)",
            "UPDATE sexton_schedule SET paused = true WHERE name = 's'",
        ] {
            store.connection().execute_unprepared(sql).await.unwrap();
        }
        let paused = queue(&store, "default").await;
        assert_eq!((paused.paused, paused.pause), (true, PauseDetails::default()));
        assert!(store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.is_empty());
        store.pause_queue(&"default".into(), false).await.unwrap();
        assert_eq!(store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.len(), 1);
        // It resumes what a new one has paused: nothing of the pause counts any more.
        store.acting(alice("r")).pause_schedule("s", true).await.unwrap();
        store.connection().execute_unprepared("UPDATE sexton_schedule SET paused = false WHERE name = 's'").await.unwrap();
        assert_eq!(store.fire("n", &[firing("s", ahead(), Fate::Fired)]).await.unwrap(), ["s"]);
    }
}
