//! Claims from several queues at a time.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use sea_orm::ConnectionTrait as _;
use sexton::{
    NewTask,
    domain::{identity::QueueName, task::names::TaskNames},
    store::Store,
};

use super::{beat, register};
use crate::support::on_each_database;

fn known() -> TaskNames {
    std::iter::once("work").collect()
}

fn of(queue: &str, priority: i32) -> NewTask {
    NewTask::new("work").queue(queue).priority(priority)
}

/// The numbers of the tasks that were claimed from each queue, and how many were found too early.
async fn claim(store: &Store, node: &str, wanted: &[(&str, usize)]) -> BTreeMap<String, (Vec<i64>, usize)> {
    let wanted: Vec<(QueueName, usize)> = wanted.iter().map(|(queue, tasks)| ((*queue).into(), *tasks)).collect();
    let found = store.claim_queues(&known(), &node.into(), &wanted).await.unwrap();
    let mut claimed = BTreeMap::new();
    for (queue, result) in found {
        assert!(result.tasks.iter().all(|task| task.queue == queue), "{queue}: {result:?}");
        let ids = result.tasks.iter().map(|task| task.claim.task_id).collect();
        claimed.insert(queue.to_string(), (ids, result.postponed));
    }
    claimed
}

on_each_database! {
    async fn each_queue_gets_its_number_in_its_own_order(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = [of("a", 0), of("b", 3), of("a", -1), of("b", -3), of("b", 0), of("c", 0), of("a", 0)];
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let claimed = claim(&store, "n", &[("a", 2), ("b", 9), ("none", 4)]).await;
        let expected = [("a".to_owned(), (vec![3, 1], 0)), ("b".to_owned(), (vec![4, 5, 2], 0))];
        assert_eq!(claimed, BTreeMap::from(expected));
        let row = store.task(3).await.unwrap().unwrap();
        assert_eq!((row.attempt, row.node.as_deref()), (1, Some("n")));
        let claimed = claim(&store, "n", &[("a", 2), ("b", 9), ("c", 1)]).await;
        assert_eq!(claimed, BTreeMap::from([("a".to_owned(), (vec![7], 0)), ("c".to_owned(), (vec![6], 0))]));
        assert!(claim(&store, "n", &[("a", 2), ("b", 9), ("c", 1)]).await.is_empty());
    }

    async fn what_may_not_begin_stays(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let strange = NewTask::new("strange").queue("a");
        store.enqueue_all(store.connection(), &[strange, of("a", 0), of("paused", 0), of("late", 0)]).await.unwrap();
        store.pause_queue(&"paused".into(), true).await.unwrap();
        let later = "UPDATE sexton_task SET run_at = '2099-01-01 00:00:00' WHERE queue = 'late'";
        store.connection().execute_unprepared(later).await.unwrap();
        let wanted = [("a", 5), ("paused", 5), ("late", 5)];
        let claimed = claim(&store, "n", &wanted).await;
        assert_eq!(claimed, BTreeMap::from([("a".to_owned(), (vec![2], 0)), ("late".to_owned(), (vec![], 1))]));
        store.pause_queue(&"paused".into(), false).await.unwrap();
        assert!(claim(&store, "unregistered", &wanted).await.is_empty(), "a node without a lease");
        store.heartbeat(&beat("n", Duration::ZERO)).await.unwrap();
        assert!(claim(&store, "n", &wanted).await.is_empty(), "its lease is over");
        register(&store, "m").await;
        assert_eq!(claim(&store, "m", &wanted).await, BTreeMap::from([("paused".to_owned(), (vec![3], 0))]));
    }

    async fn many_claimers_of_several_queues_never_get_the_same_task(database: Database) {
        let store = database.store().await;
        let tasks: Vec<NewTask> = (0..600).map(|number| of(["a", "b", "c"][number % 3], 0)).collect();
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let claimers = (0..3).map(|number| {
            let store = store.clone();
            async move {
                let node = format!("n{number}");
                register(&store, &node).await;
                let mut mine = Vec::new();
                loop {
                    let claimed = claim(&store, &node, &[("a", 7), ("b", 5), ("c", 9)]).await;
                    if claimed.is_empty() && store.peek(&["a".into(), "b".into(), "c".into()]).await.unwrap().queues.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed.into_values().flat_map(|(ids, _)| ids));
                }
            }
        });
        let all: Vec<i64> = futures::future::join_all(claimers).await.concat();
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (600, 600));
    }
}
