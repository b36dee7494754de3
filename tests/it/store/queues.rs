//! What the store reports of queues.

use std::time::Duration;

use sexton::{NewTask, store::QueueRow};

use super::{enqueue, register};
use crate::support::on_each_database;

on_each_database! {
    async fn queues_tell_what_waits_in_them(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 3).await;
        store.claim(&"n".into(), &"default".into(), 1).await.unwrap();
        let later = NewTask::new("later").queue("reports").delay(Duration::from_secs(60));
        store.enqueue_all(store.connection(), &[later]).await.unwrap();
        store.pause_queue(&"mail".into(), true).await.unwrap();
        let mut queues = store.queues(&["empty".into()]).await.unwrap();
        let pause = std::mem::take(&mut queues[2].pause);
        assert!(pause.paused_at.is_some() && pause.paused_by.is_some(), "{pause:?}");
        let row = |name: &str| QueueRow::empty(name.into());
        let expected = [
            QueueRow { available: 2, running: 1, ..row("default") },
            row("empty"),
            QueueRow { paused: true, ..row("mail") },
            QueueRow { scheduled: 1, ..row("reports") },
        ];
        assert_eq!(queues, expected);
    }
}
