//! Two nodes: each event and trigger is one task, whichever node comes first, and whichever configuration each has.

use std::{sync::Arc, time::Duration};

use sexton::domain::event::Trigger;
use sexton_client::{Client, NewEvent};
use sexton_entities::states::{EventFate, EventState};

use super::{SETTINGS, event, execute, fate, send, settled, task_of, trigger};
use crate::{
    daemon::count,
    support::{Daemon, eventually, on_each_database},
};

on_each_database! {
    async fn each_event_is_one_task_whichever_node_is_killed(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let settings = format!(
            "{SETTINGS}[trigger.one]\non = \"order.*\"\ntask = \"invoice\"\n[trigger.two]\non = \"order.paid\"\ntask = \"invoice\"\n"
        );
        let mut first = database.daemon("a", &settings);
        let second = database.daemon("b", &settings);
        let burst = async |from: usize| {
            for number in from..from + 60 {
                send(&client, NewEvent::new("order.paid").payload(number as i64).key(number.to_string())).await;
            }
        };
        burst(0).await;
        first.kill();
        burst(60).await;
        let file = database.folder.path().join("a/sexton.toml");
        let first = Daemon::start(&file, &["run"]);
        burst(120).await;
        // What is sent again is the same event.
        burst(60).await;
        eventually("all events are consumed", async || {
            count(&store, "COUNT(*) FROM sexton_event WHERE state = 'consumed'").await == 180
        }).await;
        for daemon in [first, second] {
            daemon.stop();
        }
        assert_eq!(count(&store, "COUNT(*) FROM sexton_event").await, 180);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 360, "each event and trigger is one task");
        assert_eq!(count(&store, "COUNT(DISTINCT task_id) FROM sexton_event_trigger WHERE fate = 'enqueued'").await, 360);
    }

    async fn nodes_with_different_triggers_take_nothing_from_one_another(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let of = |name: &str| format!("{SETTINGS}[trigger.{name}]\non = \"{name}.*\"\ntask = \"invoice\"\n[trigger.both-{name}]\non = \"both\"\ntask = \"invoice\"\n");
        let (left, right) = (database.daemon("l", &of("left")), database.daemon("r", &of("right")));
        eventually("both are registered", async || store.triggers().await.unwrap().len() == 4).await;
        let ids = [
            send(&client, NewEvent::new("left.a")).await,
            send(&client, NewEvent::new("right.a")).await,
            send(&client, NewEvent::new("both")).await,
        ];
        task_of(&store, ids[0], "left").await;
        task_of(&store, ids[1], "right").await;
        task_of(&store, ids[2], "both-left").await;
        task_of(&store, ids[2], "both-right").await;
        right.stop();
        // An event waits for the node that is away, and only for its trigger.
        let both = send(&client, NewEvent::new("both")).await;
        eventually("the node that runs takes it", async || {
            fate(&store, both, "both-left").await.is_some_and(|fate| fate.fate == EventFate::Enqueued)
        }).await;
        assert_eq!(event(&store, both).await.state, EventState::Waiting);
        let right = Daemon::start(&database.folder.path().join("r/sexton.toml"), &["run"]);
        task_of(&store, both, "both-right").await;
        right.stop();
        // Without its trigger, the node lets the event go.
        let both = send(&client, NewEvent::new("both")).await;
        eventually("it waits", async || event(&store, both).await.state == EventState::Waiting).await;
        let right = database.daemon("r", SETTINGS);
        assert_eq!(settled(&store, both).await.state, EventState::Consumed);
        assert_eq!(fate(&store, both, "both-right").await.unwrap().fate, EventFate::Removed);
        for daemon in [left, right] {
            daemon.stop();
        }
    }

    async fn two_nodes_that_take_at_once_make_one_task_each(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let triggers = [Arc::new(trigger("a")), Arc::new(trigger("b"))];
        let stores = [database.bare_store(), database.bare_store()];
        for (number, store) in stores.iter().enumerate() {
            store.register_triggers(&format!("n{number}"), &triggers).await.unwrap();
        }
        for _ in 0..40 {
            send(&client, NewEvent::new("e")).await;
        }
        let work = async |number: usize| {
            for _ in 0..12 {
                stores[number].distribute_events(&format!("n{number}"), 7).await.unwrap();
                stores[number].take_events(&format!("n{number}"), &triggers, 7).await.unwrap();
            }
        };
        tokio::join!(work(0), work(1));
        while store.take_events("n0", &triggers, 100).await.unwrap().taken > 0 {}
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 80);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_event WHERE state = 'consumed'").await, 40);
    }

    async fn a_trigger_that_is_new_takes_what_comes_after_it(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let old = Arc::new(trigger("old"));
        store.register_triggers("n", std::slice::from_ref(&old)).await.unwrap();
        let before = send(&client, NewEvent::new("e")).await;
        store.distribute_events("n", 100).await.unwrap();
        store.take_events("n", std::slice::from_ref(&old), 100).await.unwrap();
        let new = Arc::new(Trigger { on: vec!["*".parse().unwrap()], ..trigger("new") });
        store.register_triggers("m", std::slice::from_ref(&new)).await.unwrap();
        assert!(fate(&store, before, "new").await.is_none(), "an event of before is not taken again");
        // Another node looked at an event before it could know of the trigger.
        execute(&store, "DELETE FROM sexton_trigger WHERE node = 'm'").await;
        let meanwhile = send(&client, NewEvent::new("other")).await;
        store.distribute_events("n", 100).await.unwrap();
        assert_eq!(event(&store, meanwhile).await.state, EventState::Untaken);
        execute(&store, "INSERT INTO sexton_trigger (name, node, patterns, task, since) \
                         VALUES ('new', 'm', '[\"*\"]', 't', '2026-01-01 00:00:00')").await;
        assert_eq!(store.register_triggers("m", std::slice::from_ref(&new)).await.unwrap(), 2);
        assert_eq!(event(&store, meanwhile).await.state, EventState::Waiting);
        store.take_events("m", std::slice::from_ref(&new), 100).await.unwrap();
        assert_eq!(event(&store, meanwhile).await.state, EventState::Consumed);
        let kept = Duration::from_secs(3_600);
        execute(&store, "UPDATE sexton_trigger SET seen_at = '2026-01-01 00:00:00' WHERE node = 'm'").await;
        let waits = send(&client, NewEvent::new("other")).await;
        store.distribute_events("n", 100).await.unwrap();
        assert_eq!(event(&store, waits).await.state, EventState::Waiting);
        store.prune_events(kept, async |_| true).await.unwrap();
        assert_eq!(event(&store, waits).await.state, EventState::Consumed, "its node has been away for long");
        assert_eq!(fate(&store, waits, "new").await.unwrap().fate, EventFate::Removed);
    }
}
