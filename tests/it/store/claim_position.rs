//! Claims and peeks that begin behind what was claimed.

use std::collections::HashMap;

use sexton::{
    NewTask,
    domain::task::{claim_position::ClaimPosition, names::TaskNames},
    store::{ClaimResult, Store},
};

use super::register;
use crate::support::on_each_database;

fn known() -> TaskNames {
    std::iter::once("work").collect()
}

/// Enqueues a task of each priority. The first get the numbers from 1 on.
async fn enqueue(store: &Store, priorities: &[i32]) {
    let tasks = priorities.iter().map(|priority| NewTask::new("work").queue("default").priority(*priority));
    store.enqueue_all(store.connection(), &tasks.collect::<Vec<_>>()).await.unwrap();
}

async fn claim(store: &Store, position: &ClaimPosition, count: usize) -> ClaimResult {
    store.claim_behind(position, &known(), &"n".into(), &"default".into(), count).await.unwrap()
}

fn ids(claimed: &ClaimResult) -> Vec<i64> {
    claimed.tasks.iter().map(|task| task.claim.task_id).collect()
}

async fn priorities(store: &Store, claimed: &ClaimResult) -> Vec<i32> {
    let mut priorities = Vec::new();
    for id in ids(claimed) {
        priorities.push(store.task(id).await.unwrap().unwrap().priority);
    }
    priorities
}

on_each_database! {
    async fn a_claim_tells_its_position_and_the_next_goes_on_behind_it(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, &[0, 0, -3, 0, 5, -3]).await;
        let mut position = ClaimPosition::default();
        let first = claim(&store, &position, 3).await;
        assert_eq!(ids(&first), [3, 6, 1]);
        position.advance_to(&first.position);
        let mut expected = ClaimPosition::default();
        if store.claims_behind() {
            expected.advance(-3, 6);
            expected.advance(0, 1);
        }
        assert_eq!(position, expected);
        enqueue(&store, &[-9, -3, 0]).await;
        let second = claim(&store, &position, 4).await;
        assert_eq!(priorities(&store, &second).await, [-9, -3, 0, 0], "more urgent tasks go first as ever");
        assert_eq!(ids(&second)[2..], [2, 4]);
        assert_eq!(priorities(&store, &claim(&store, &position, 9).await).await, [0, 5]);
        assert!(ids(&claim(&store, &position, 9).await).is_empty());
    }

    async fn what_became_available_later_is_met_from_the_front(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, &[0, 0, 0]).await;
        let mut position = ClaimPosition::default();
        position.advance(0, 2);
        let positions = HashMap::from([("default".into(), position.clone())]);
        let queues = ["default".into(), "empty".into()];
        assert_eq!(store.peek_behind(&positions, &known(), &queues).await.unwrap().queues, ["default"]);
        let behind = ids(&claim(&store, &position, 9).await);
        assert_eq!(behind, if store.claims_behind() { vec![3] } else { vec![1, 2, 3] });
        if store.claims_behind() {
            assert!(store.peek_behind(&positions, &known(), &queues).await.unwrap().queues.is_empty());
            assert_eq!(store.peek_known(&known(), &queues).await.unwrap().queues, ["default"]);
            let front = store.claim_known(&known(), &"n".into(), &"default".into(), 9).await.unwrap();
            assert_eq!(ids(&front), [1, 2]);
        }
    }

    async fn a_peek_behind_positions_sees_unknown_names_and_pauses(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, &[-1, 0, 1]).await;
        let mut position = ClaimPosition::default();
        position.advance(0, 0);
        let positions = HashMap::from([("default".into(), position)]);
        let other: TaskNames = std::iter::once("other").collect();
        let seen = store.peek_behind(&positions, &other, &["default".into()]).await.unwrap();
        assert_eq!((seen.queues, seen.unknown), (vec![], vec!["default".into()]), "each queue is named once");
        let seen = store.peek_behind(&positions, &known(), &["default".into()]).await.unwrap();
        assert_eq!(seen.queues, ["default"], "once, although it has several parts");
        store.pause_queue(&"default".into(), true).await.unwrap();
        assert!(store.peek_behind(&positions, &known(), &["default".into()]).await.unwrap().queues.is_empty());
    }
}
