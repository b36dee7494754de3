//! Names that would end a text in SQL: a host may be called `o'brien`, and any name reaches the database as a parameter.

use std::time::Duration;

use sea_orm::EntityTrait as _;
use sexton::{
    NewTask,
    domain::{
        command::answer::Progress,
        identity::{NodeId, QueueName},
        task::{definition::NOOP, definition::TaskDefinition, limits::ConcurrencyLimits},
    },
    store::{OnStale, Store, TaskFilter},
};
use sexton_entities::{
    history,
    states::{Outcome, TaskState, Verdict},
};

use super::{beat, ended, register};
use crate::support::on_each_database;

const NODES: [&str; 4] = ["o'brien-1", r"back\slash\'-2", "\"double\" `tick` ?-3", "'); DROP TABLE sexton_task; --"];

fn queue() -> QueueName {
    r#"o'hara\'s "queue""#.into()
}

async fn enqueue(store: &Store, name: &str, count: usize) {
    // Plain entities, because the store refuses such a name for a queue.
    let task = |name: &str| sexton_entities::task::ActiveModel {
        name: sea_orm::Set(name.to_owned()),
        queue: sea_orm::Set(Some(queue().into())),
        ..Default::default()
    };
    for _ in 0..count {
        sexton_entities::task::Entity::insert(task(name)).exec(store.connection()).await.unwrap();
    }
}

async fn nodes_of_tasks(store: &Store) -> Vec<Option<String>> {
    let tasks = store.tasks(&TaskFilter { queue: Some(queue()), limit: 99, ..TaskFilter::default() }).await.unwrap();
    tasks.into_iter().map(|task| task.node).collect()
}

on_each_database! {
    async fn a_node_of_any_name_claims_finishes_and_releases_for_itself(database: Database) {
        let store = database.store().await;
        for name in NODES {
            let node = NodeId::from(name);
            register(&store, name).await;
            enqueue(&store, "work", 3).await;
            let claimed = store.claim(&node, &queue(), 9).await.unwrap().tasks;
            assert_eq!(claimed.iter().map(|task| task.queue.clone()).collect::<Vec<_>>(), [queue(), queue(), queue()]);
            assert_eq!(nodes_of_tasks(&store).await, [Some(name.to_owned()), Some(name.to_owned()), Some(name.to_owned())]);
            assert_eq!(store.running_of(&node).await.unwrap().len(), 3);
            store.cancel(claimed[0].claim.task_id).await.unwrap();
            assert_eq!(store.cancel_requests(&node).await.unwrap(), [claimed[0].claim.task_id]);
            store.set_progress(&node, &[(claimed[0].identity(), Progress { percent: None, text: Some(name.to_owned()) })]).await.unwrap();
            assert_eq!(store.release(&node, &[claimed[1].identity(), claimed[2].identity()]).await.unwrap(), 2);
            let end = ended(&claimed[0], name, Outcome::Succeeded, Verdict::Completed);
            assert_eq!(store.finish(&[end], OnStale::Record).await.unwrap().counted, 1);
            let row = history::Entity::find().all(store.connection()).await.unwrap().pop().unwrap();
            assert_eq!((row.node.as_deref(), row.queue.as_deref()), (Some(name), Some(queue().as_str())));
            for task in store.claim(&node, &queue(), 9).await.unwrap().tasks {
                store.finish(&[ended(&task, name, Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
            }
            store.leave(&node).await.unwrap();
        }
        assert!(store.nodes().await.unwrap().is_empty());
    }

    async fn a_node_of_any_name_claims_within_limits(database: Database) {
        let store = database.store().await;
        let narrow = TaskDefinition { max_parallel: Some(1), ..TaskDefinition::new("narrow", NOOP) };
        let limits = ConcurrencyLimits::new([(&queue(), NODES.len())], &[narrow]);
        enqueue(&store, "narrow", 2).await;
        enqueue(&store, "wide", NODES.len()).await;
        for (number, name) in NODES.into_iter().enumerate() {
            register(&store, name).await;
            let claimed = store.claim_within(&limits, &name.into(), &queue(), 1).await.unwrap().tasks;
            assert_eq!(claimed[0].name, if number == 0 { "narrow" } else { "wide" });
            let row = store.task(claimed[0].claim.task_id).await.unwrap().unwrap();
            assert_eq!((row.node.as_deref(), row.started_at), (Some(name), Some(claimed[0].started_at)));
        }
        assert!(store.claim_within(&limits, &NODES[0].into(), &queue(), 1).await.unwrap().tasks.is_empty());
    }

    async fn a_dead_node_of_any_name_is_rescued_and_removed(database: Database) {
        let store = database.store().await;
        register(&store, NODES[1]).await;
        register(&store, NODES[0]).await;
        let (dead, alive) = (NodeId::from(NODES[0]), NodeId::from(NODES[1]));
        enqueue(&store, "work", 2).await;
        let claimed = store.claim(&dead, &queue(), 2).await.unwrap().tasks;
        store.heartbeat(&beat(&dead, Duration::ZERO)).await.unwrap();
        assert!(store.next_expiry(&alive).await.unwrap().0.is_some());
        assert_eq!(store.adopt(&alive, &[claimed[0].identity()]).await.unwrap().held, [claimed[0].claim].into());
        let orphans = store.orphans(&alive).await.unwrap();
        assert_eq!((orphans.len(), &orphans[0].node, orphans[0].claim), (1, &Some(dead), claimed[1].claim));
        assert_eq!(store.rescue(&orphans, "it died", |_| 5).await.unwrap().released, 1);
        assert_eq!(store.task(claimed[1].claim.task_id).await.unwrap().unwrap().state, TaskState::Available);
        assert_eq!(store.remove_dead_nodes(&alive).await.unwrap(), 1);
    }

    async fn a_queue_of_any_name_is_paused_and_takes_tasks(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        store.enqueue(store.connection(), &NewTask::new("work")).await.unwrap();
        store.assign_queue("work", &queue(), 0).await.unwrap();
        store.pause_queue(&queue(), true).await.unwrap();
        assert!(store.peek(&[queue()]).await.unwrap().queues.is_empty());
        store.pause_queue(&queue(), false).await.unwrap();
        assert_eq!(store.peek(&[queue()]).await.unwrap().queues, [queue()]);
        assert_eq!(store.queues(&[]).await.unwrap()[0].name, queue());
    }
}
