//! Who serves a queue, what runs in it, and what waits where nobody serves it.

use std::time::Duration;

use sexton::{
    domain::task::waiting::{ServedBy, ServedQueue, ServedQueues},
    store::AuditFilter,
};
use sexton_entities::states::AuditAction;

use super::{beat, enqueue, register};
use crate::support::on_each_database;

fn served(queue: &str, workers: usize) -> ServedQueues {
    [(queue.to_owned(), ServedQueue { workers, full_since: None })].into()
}

on_each_database! {
    async fn the_live_nodes_say_what_they_serve(database: Database) {
        let store = database.store().await;
        assert_eq!(store.cluster_queues().await.unwrap().served_by("default"), ServedBy::NoNode);
        register(&store, "a").await;
        let perhaps = ServedBy::Perhaps("a".to_owned());
        assert_eq!(store.cluster_queues().await.unwrap().served_by("default"), perhaps, "it has not said anything yet");
        assert!(!store.publish_queues(&"stranger".into(), &served("default", 1)).await.unwrap());
        assert!(store.publish_queues(&"a".into(), &served("default", 3)).await.unwrap());
        assert!(store.publish_queues(&"a".into(), &served("default", 3)).await.unwrap(), "also without a change");
        store.register(&beat("dead", Duration::ZERO)).await.unwrap();
        store.publish_queues(&"dead".into(), &served("other", 3)).await.unwrap();
        let cluster = store.cluster_queues().await.unwrap();
        assert_eq!(cluster.served_by("default"), ServedBy::Workers { count: 3, full_since: None });
        assert_eq!(cluster.served_by("other"), ServedBy::Nobody, "a dead node serves nothing");
        let since = sexton::clock::machine_time();
        let full = ServedQueue { workers: 3, full_since: Some(since) };
        store.publish_queues(&"a".into(), &[("default".to_owned(), full)].into()).await.unwrap();
        let full = ServedBy::Workers { count: 3, full_since: Some(since) };
        assert_eq!(store.cluster_queues().await.unwrap().served_by("default"), full);
    }

    async fn running_tasks_are_counted_and_the_longest_is_known(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 3).await;
        store.claim(&"n".into(), &"default".into(), 1).await.unwrap();
        store.claim(&"n".into(), &"default".into(), 1).await.unwrap();
        store.pause_queue(&"default".into(), true).await.unwrap();
        let cluster = store.cluster_queues().await.unwrap();
        let load = cluster.load("default");
        assert_eq!((load.paused, load.running, cluster.running["work"]), (true, 2, 2));
        let longest = load.longest.unwrap();
        assert_eq!((longest.id, longest.name.as_str()), (1, "work"));
    }

    async fn queues_with_waiting_tasks_are_found(database: Database) {
        let store = database.store().await;
        let tasks: Vec<_> =
            ["b", "a", "b", "ü"].map(|queue| sexton::NewTask::new("work").queue(queue)).into_iter().collect();
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let later = [sexton::NewTask::new("work").queue("c").delay(Duration::from_secs(60)), sexton::NewTask::new("work")];
        store.enqueue_all(store.connection(), &later).await.unwrap();
        assert_eq!(store.queues_with_waiting_tasks().await.unwrap(), ["a", "b", "ü"]);
        assert_eq!(store.waiting_in(&"b".into()).await.unwrap(), 2);
    }

    async fn waiting_tasks_move_to_another_queue(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1_201).await;
        let running = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        let later = sexton::NewTask::new("work").queue("default").delay(Duration::from_secs(60));
        store.enqueue_all(store.connection(), &[later]).await.unwrap();
        let (from, to) = ("default".into(), "o'ther".into());
        assert_eq!(store.movable_tasks(&from).await.unwrap(), 1_201);
        assert_eq!(store.move_tasks(&from, &to).await.unwrap(), 1_201);
        assert_eq!((store.movable_tasks(&from).await.unwrap(), store.movable_tasks(&to).await.unwrap()), (0, 1_201));
        assert_eq!(store.move_tasks(&from, &to).await.unwrap(), 0);
        let filter = AuditFilter { action: Some(AuditAction::Move), limit: 2_000, ..AuditFilter::default() };
        let deeds = store.deeds(&filter).await.unwrap();
        assert_eq!(deeds.len(), 1_201);
        let state = |queue| Some(serde_json::json!({ "queue": queue }));
        assert_eq!((&deeds[0].value_before, &deeds[0].value_after), (&state("default"), &state("o'ther")));
        let task = store.task(running.claim.task_id).await.unwrap().unwrap();
        assert_eq!(task.queue.as_deref(), Some("default"), "what runs stays");
    }
}
