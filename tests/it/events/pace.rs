//! Debounce and throttle.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sexton::{
    domain::event::{PaceRule, Trigger, TriggerPace},
    store::Store,
};
use sexton_client::{Client, NewEvent};
use sexton_entities::states::{EventFate, TaskState};

use super::{execute, fate, send, trigger};
use crate::{
    daemon::count,
    support::{on_each_database, value},
};

fn paced(rule: PaceRule, time: Duration) -> Arc<Trigger> {
    let pace = TriggerPace { rule, time, key: Some("$.of".parse().unwrap()) };
    Arc::new(Trigger { pace: Some(pace), ..trigger("t") })
}

/// Sends an event and makes its task.
async fn take(
    store: &Store,
    client: &Client,
    trigger: &Arc<Trigger>,
    payload: serde_json::Value,
) -> (EventFate, Option<i64>) {
    let id = send(client, NewEvent::new("e").payload(payload)).await;
    store.distribute_events("n", 100).await.unwrap();
    store.take_events("n", std::slice::from_ref(trigger), 100).await.unwrap();
    let fate = fate(store, id, "t").await.unwrap();
    (fate.fate, fate.task_id)
}

on_each_database! {
    async fn a_burst_is_one_task_for_the_last_event(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let trigger = paced(PaceRule::Debounce, Duration::from_secs(3_600));
        store.register_triggers("n", std::slice::from_ref(&trigger)).await.unwrap();
        let (fate, task) = take(&store, &client, &trigger, json!({ "of": "a", "n": 1 })).await;
        let task = task.unwrap();
        assert_eq!(fate, EventFate::Enqueued);
        let before = store.task(task).await.unwrap().unwrap();
        assert_eq!(before.state, TaskState::Scheduled);
        assert_eq!(take(&store, &client, &trigger, json!({ "of": "a", "n": 2 })).await, (EventFate::Debounced, Some(task)));
        let after = store.task(task).await.unwrap().unwrap();
        assert_eq!(value(&after.payload), Some(json!({ "of": "a", "n": 2 })));
        assert!(after.run_at >= before.run_at, "it waits again");
        let (fate, other) = take(&store, &client, &trigger, json!({ "of": "b" })).await;
        assert_eq!(fate, EventFate::Enqueued, "another key");
        assert_ne!(other, Some(task));
        execute(&store, &format!("UPDATE sexton_task SET state = 'available' WHERE id = {task}")).await;
        let (fate, next) = take(&store, &client, &trigger, json!({ "of": "a", "n": 3 })).await;
        assert_eq!(fate, EventFate::Enqueued, "its time has come");
        assert_ne!(next, Some(task));
        assert_eq!(store.events_of_task(task).await.unwrap().len(), 2);
    }

    async fn a_throttled_trigger_makes_one_task_in_its_time(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let trigger = paced(PaceRule::Throttle, Duration::from_secs(3_600));
        store.register_triggers("n", std::slice::from_ref(&trigger)).await.unwrap();
        for (of, expected) in [("a", EventFate::Enqueued), ("a", EventFate::Throttled), ("b", EventFate::Enqueued), ("a", EventFate::Throttled)] {
            assert_eq!(take(&store, &client, &trigger, json!({ "of": of })).await.0, expected, "{of}");
        }
        execute(&store, "UPDATE sexton_trigger_pace SET until_at = '2026-01-01 00:00:00' WHERE pace_key = 'a'").await;
        assert_eq!(take(&store, &client, &trigger, json!({ "of": "a" })).await.0, EventFate::Enqueued, "the time is over");
        assert_eq!(take(&store, &client, &trigger, json!({ "of": "a" })).await.0, EventFate::Throttled);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 3);
    }
}
