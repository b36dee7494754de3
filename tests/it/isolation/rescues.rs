//! Tasks of dead nodes, however large and however many, and those that cannot be released.

use std::time::Duration;

use serde_json::json;
use sexton::{
    domain::task::NewTask,
    store::{HistoryFilter, Store},
};

use super::{beat, count, refuse};
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
}
