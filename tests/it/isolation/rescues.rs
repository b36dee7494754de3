//! Tasks of dead nodes, however large and however many, and those that cannot be released.

use std::time::Duration;

use serde_json::json;
use sexton::{
    domain::{
        command::answer::Progress,
        task::{ClaimedTask, NewTask, claim::ClaimIdentity, limits::ConcurrencyLimits},
    },
    store::{HistoryFilter, OnStale, Store},
};

use super::{beat, count, refuse, run, succeeded};
use crate::support::{on_each_database, value};

/// A dead node with this number of running tasks.
async fn dead_node(store: &Store, tasks: &[NewTask]) {
    store.register(&beat("dead", Duration::from_secs(600))).await.unwrap();
    store.register(&beat("alive", Duration::from_secs(600))).await.unwrap();
    for portion in tasks.chunks(500) {
        store.enqueue_all(store.connection(), portion).await.unwrap();
        assert_eq!(store.claim(&"dead".into(), &"default".into(), 500).await.unwrap().tasks.len(), portion.len());
    }
    store.heartbeat(&beat("dead", Duration::ZERO)).await.unwrap();
}

on_each_database! {
    async fn more_than_fits_into_a_packet_is_given_back(database: Database) {
        let store = database.store().await;
        let payload = json!("x".repeat(4_096));
        let tasks = vec![NewTask::new("large").queue("default").payload(payload.clone()); 4_200];
        dead_node(&store, &tasks).await;
        let orphans = store.orphans(&"alive".into()).await.unwrap();
        assert_eq!(orphans.len(), 4_200);
        let rescue = store.rescue(&orphans, "it died", |_| 5).await.unwrap();
        assert_eq!((rescue.released, rescue.refused.len()), (4_200, 0));
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE state = 'available' AND attempt = 0 AND node IS NULL").await, 4_200);
        let history = store.history(&HistoryFilter { limit: 1, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!((value(&history[0].payload).as_ref(), history[0].error.as_deref()), (Some(&payload), Some("it died")));
        assert!(history[0].started_at.is_some() && history[0].duration_ms.is_some() && history[0].enqueued_at.is_some());
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history WHERE outcome = 'interrupted'").await, 4_200);
    }

    async fn what_cannot_be_released_keeps_nothing_back(database: Database) {
        let store = database.store().await;
        let mut tasks = vec![NewTask::new("good").queue("default"); 600];
        tasks[77] = NewTask::new("cursed").queue("default");
        dead_node(&store, &tasks).await;
        refuse(&database, &store, "sexton_task", "UPDATE", "cursed").await;
        let orphans = store.orphans(&"alive".into()).await.unwrap();
        let rescue = store.rescue(&orphans, "it died", |_| 5).await.unwrap();
        assert_eq!((rescue.released, rescue.refused.len()), (599, 1));
        let told = store.isolated().sentences(9);
        assert!(told.len() == 1 && told[0].starts_with("task 78 cannot be released: ") && told[0].contains("cursed"), "{told:?}");
    }

    async fn what_cannot_be_adopted_or_given_back_keeps_nothing_back(database: Database) {
        let store = database.store().await;
        let mut tasks = vec![NewTask::new("good").queue("default"); 600];
        tasks[77] = NewTask::new("cursed").queue("default");
        store.register(&beat("old", Duration::from_secs(600))).await.unwrap();
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let claimed = store.claim(&"old".into(), &"default".into(), 600).await.unwrap().tasks;
        let claims: Vec<ClaimIdentity> = claimed.iter().map(ClaimedTask::identity).collect();
        refuse(&database, &store, "sexton_task", "UPDATE", "cursed").await;
        let progress: Vec<_> = claims.iter().map(|claim| (*claim, Progress { percent: Some(1.0), text: None })).collect();
        store.set_progress(&"old".into(), &progress).await.unwrap();
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE progress IS NOT NULL").await, 599);
        let adoption = store.adopt(&"new".into(), &claims).await.unwrap();
        assert_eq!((adoption.held.len(), adoption.refused), (599, [claims[77].claim].into()));
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE node = 'new'").await, 599);
        assert_eq!(store.release(&"new".into(), &claims).await.unwrap(), 599);
        assert_eq!(store.release(&"old".into(), &claims).await.unwrap(), 0);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE state = 'available' AND attempt = 0").await, 599);
        let told = store.isolated().sentences(9);
        for what in ["the progress of task 78 is not recorded: ", "task 78 cannot be adopted: ", "task 78 cannot be released: "] {
            assert!(told.iter().any(|told| told.starts_with(what) && told.contains("cursed")), "{what}: {told:?}");
        }
        assert_eq!(told.len(), 3);
    }

    async fn what_is_on_hold_or_set_aside_is_the_very_task(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        store.enqueue_all(store.connection(), &[NewTask::new("a").queue("default")]).await.unwrap();
        let task = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        let identity = task.identity();
        let earlier = ClaimIdentity { enqueued_at: identity.enqueued_at - chrono::TimeDelta::seconds(1), ..identity };
        assert!(!store.hold_unfinished(&"n".into(), earlier).await.unwrap(), "its number was given again");
        assert!(!store.hold_unfinished(&"other".into(), identity).await.unwrap());
        assert!(store.hold_unfinished(&"n".into(), identity).await.unwrap());
        let held = store.task(task.claim.task_id).await.unwrap().unwrap();
        assert!(sexton::domain::task::is_on_hold(held.run_at) && held.node.is_none());
    }

    async fn the_highest_fence_is_in_nobodys_way(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        let limits = ConcurrencyLimits::new([(&"default".into(), 9)], []);
        for round in 0..2 {
            run(&store, &["INSERT INTO sexton_task (name, queue, fence) VALUES ('highest', 'default', 9223372036854775807)"]).await;
            store.enqueue_all(store.connection(), &vec![NewTask::new("good").queue("default"); 3]).await.unwrap();
            let claimed = match round {
                0 => store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks,
                _ => store.claim_within(&limits, &"n".into(), &"default".into(), 9).await.unwrap().tasks,
            };
            assert_eq!(claimed.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["good"; 3]);
            for task in &claimed {
                store.finish(&[succeeded(task, "n")], OnStale::Record).await.unwrap();
            }
        }
        let filter = HistoryFilter { name: Some("highest".to_owned()), limit: 9, ..HistoryFilter::default() };
        let rows = store.history(&filter).await.unwrap();
        let why = "the task cannot be read: its fence is 9223372036854775807, and a claim needs a higher one";
        assert!(rows.len() == 2 && rows.iter().all(|row| row.error.as_deref() == Some(why) && row.fence == i64::MAX), "{rows:?}");
        // A task that ends without a claim has no higher one either.
        run(&store, &["INSERT INTO sexton_task (name, queue, fence) VALUES ('unknown', 'q', 9223372036854775807)"]).await;
        store.set_unknown_aside(Some(&"q".into()), &["unknown".to_owned()].into_iter().collect()).await.unwrap();
        assert_eq!(store.discard_set_aside("unknown", Duration::ZERO, "nobody knows it").await.unwrap(), 1);
    }
}
