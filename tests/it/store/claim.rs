//! Who gets what, in which order, and only once.

use std::{collections::HashSet, time::Duration};

use sea_orm::ConnectionTrait;
use sexton::{
    NewTask,
    domain::task::{ClaimedTask, claim::ClaimIdentity},
};
use sexton_entities::states::TaskState;

use super::{beat, enqueue, register};
use crate::support::{Kind, on_each_database};

on_each_database! {
    async fn the_lowest_priority_goes_first_then_the_oldest(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = [0, 5, -5, 0, -5].map(|priority| NewTask::new("work").queue("default").priority(priority));
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let ids: Vec<i64> = store.claim(&"n".into(), &"default".into(), 4).await.unwrap().tasks.iter().map(|task| task.claim.task_id).collect();
        assert_eq!(ids, [3, 5, 1, 4]);
        let row = store.task(3).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node.as_deref()), (TaskState::Running, 1, Some("n")));
    }

    async fn many_claimers_never_get_the_same_task(database: Database) {
        let store = database.store().await;
        enqueue(&store, "work", 1_000).await;
        let claimers = (0..4).map(|number| {
            let store = store.clone();
            async move {
                let node = format!("n{number}");
                register(&store, &node).await;
                let mut mine = Vec::new();
                loop {
                    let claimed = store.claim(&node.as_str().into(), &"default".into(), 7).await.unwrap().tasks;
                    if claimed.is_empty() {
                        // Others may hold locks on what is left: only an empty queue is the end.
                        if store.peek(&["default".into()]).await.unwrap().queues.is_empty() {
                            return mine;
                        }
                    }
                    mine.extend(claimed.into_iter().map(|task| task.claim.task_id));
                }
            }
        });
        let all: Vec<i64> = futures::future::join_all(claimers).await.concat();
        assert_eq!(all.len(), 1_000);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1_000);
    }

    async fn a_paused_queue_gives_nothing(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1).await;
        store.pause_queue(&"default".into(), true).await.unwrap();
        assert!(store.peek(&["default".into()]).await.unwrap().queues.is_empty());
        assert!(store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.is_empty());
        store.pause_queue(&"default".into(), false).await.unwrap();
        assert_eq!(store.peek(&["default".into()]).await.unwrap().queues, ["default"]);
        assert_eq!(store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.len(), 1);
    }

    async fn a_node_without_a_lease_gets_nothing(database: Database) {
        let store = database.store().await;
        enqueue(&store, "work", 1).await;
        assert!(store.claim(&"stranger".into(), &"default".into(), 1).await.unwrap().tasks.is_empty());
        store.register(&beat("late", Duration::ZERO)).await.unwrap();
        assert!(store.claim(&"late".into(), &"default".into(), 1).await.unwrap().tasks.is_empty());
    }

    async fn an_insert_for_later_is_sorted_out_of_the_way(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let in_an_hour = match database.kind {
            Kind::Sqlite => "datetime('now', '+1 hour')",
            Kind::Postgres => "now() + interval '1 hour'",
            Kind::MariaDb | Kind::MySql => "utc_timestamp(6) + INTERVAL 1 HOUR",
        };
        let sql = format!("INSERT INTO sexton_task (name, queue, run_at) VALUES ('later', 'default', {in_an_hour})");
        database.application().await.execute_unprepared(&sql).await.unwrap();
        enqueue(&store, "work", 1).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 10).await.unwrap();
        assert_eq!((claimed.tasks.len(), claimed.postponed), (1, 1));
        assert_eq!(claimed.tasks[0].name, "work");
        let later = store.task(1).await.unwrap().unwrap();
        assert_eq!((later.state, later.attempt, later.fence, later.node), (TaskState::Scheduled, 0, 0, None));
    }

    async fn what_was_claimed_and_not_begun_is_given_back_without_a_trace(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 2).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 2).await.unwrap().tasks;
        let claims: Vec<ClaimIdentity> = claimed.iter().map(ClaimedTask::identity).collect();
        assert_eq!(store.release(&"n".into(), &claims[..1]).await.unwrap(), 1);
        assert_eq!(store.release(&"other".into(), &claims[1..]).await.unwrap(), 0, "it is not the other's");
        let row = store.task(claims[0].claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt, row.node, row.started_at), (TaskState::Available, 0, None, None));
        let again = store.claim(&"n".into(), &"default".into(), 2).await.unwrap().tasks;
        assert_eq!((again.len(), again[0].attempt), (1, 1));
        assert!(again[0].claim.fence > claims[0].claim.fence);
    }
}
