//! What a trigger makes of an event, from a plain INSERT to the task.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sexton::store::ProblemFilter;
use sexton_client::{Client, NewEvent};
use sexton_entities::states::{EventFate, EventState, Outcome, ProblemKind, ProblemState, TaskState};

use super::{SETTINGS, event, events, execute, fate, send, settled, task_of};
use crate::{
    daemon::{completed, count, history},
    support::{Kind, eventually, on_each_database, value},
};

on_each_database! {
    async fn an_insert_becomes_a_task(database: Database) {
        let store = database.store().await;
        let settings = format!("{SETTINGS}[trigger.thanks]\non = \"order.paid\"\ntask = \"mail\"\n");
        let daemon = database.daemon("n", &settings);
        execute(&store, "INSERT INTO sexton_event (name, payload) VALUES ('order.paid', '{\"id\": 18446744073709551615}')").await;
        eventually("its task has run", async || completed(&store).await == 1).await;
        let run = history(&store).await.remove(0);
        assert_eq!((run.name.as_str(), run.outcome), ("mail", Outcome::Succeeded));
        assert_eq!(run.payload.unwrap().get().replace(' ', ""), "{\"id\":18446744073709551615}");
        let all = events(&store).await;
        assert_eq!((all.len(), all[0].state), (1, EventState::Consumed));
        assert!(all[0].consumed_at.is_some() && all[0].node.as_deref() == Some("n"));
        execute(&store, "INSERT INTO sexton_event (name) VALUES ('order.paid')").await;
        eventually("one without a payload, too", async || completed(&store).await == 2).await;
        let log = daemon.stop();
        assert!(!log.contains("ERROR"), "{log}");
    }

    async fn the_settings_of_a_trigger_count(database: Database) {
        let store = database.store().await;
        let settings = format!(
            "{SETTINGS}[trigger.invoice]\non = [\"order.paid\", \"invoice.*\"]\ntask = \"invoice\"\npriority = 7\ndelay = \"1h\"\n\
             unique_key = \"order-{{$.order.id}}\"\nwhen = \"$.order.total > 10 && $.country in ['DE', 'AT']\"\n\
             payload = {{ id = \"$.order.id\", lang = \"de\", event = \"$event.name\" }}\n"
        );
        let daemon = database.daemon("n", &settings);
        let client = Client::connect(&database.url).unwrap();
        let order = |id: u32, total: f64| json!({ "order": { "id": id, "total": total }, "country": "DE" });
        let first = send(&client, NewEvent::new("order.paid").payload(order(5, 99.5))).await;
        let task = task_of(&store, first, "invoice").await;
        assert_eq!((task.queue.as_deref(), task.priority, task.state), (Some("held"), 7, TaskState::Scheduled));
        assert_eq!(task.unique_key.as_deref(), Some("order-5"));
        assert_eq!(value(&task.payload), Some(json!({ "id": 5, "lang": "de", "event": "order.paid" })));
        let again = send(&client, NewEvent::new("invoice.sent").payload(order(5, 99.5))).await;
        settled(&store, again).await;
        let taken = fate(&store, again, "invoice").await.unwrap();
        assert_eq!((taken.fate, taken.task_id), (EventFate::AlreadyThere, Some(task.id)));
        let small = send(&client, NewEvent::new("order.paid").payload(order(6, 10.0))).await;
        assert_eq!(settled(&store, small).await.state, EventState::Consumed);
        let unmet = fate(&store, small, "invoice").await.unwrap();
        assert_eq!((unmet.fate, unmet.task_id), (EventFate::NotMet, None));
        assert_eq!(unmet.reason.as_deref(), Some("`$.order.total > 10`: $.order.total is 10.0"));
        let foreign = send(&client, NewEvent::new("customer.new")).await;
        assert_eq!(settled(&store, foreign).await.state, EventState::Untaken);
        daemon.stop();
    }

    async fn an_event_that_is_no_good_does_not_stop_the_others(database: Database) {
        let store = database.store().await;
        let settings = format!(
            "{SETTINGS}[trigger.keyed]\non = \"e\"\ntask = \"invoice\"\nunique_key = \"k{{$.id}}\"\n\
             [trigger.plain]\non = \"e\"\ntask = \"invoice\"\n"
        );
        let client = Client::connect(&database.url).unwrap();
        let bad = send(&client, NewEvent::new("e").payload(json!({}))).await;
        let good = send(&client, NewEvent::new("e").payload(json!({ "id": 1 }))).await;
        let daemon = database.daemon("n", &settings);
        assert_eq!(settled(&store, bad).await.state, EventState::Refused);
        assert_eq!(settled(&store, good).await.state, EventState::Consumed);
        let refused = fate(&store, bad, "keyed").await.unwrap();
        assert_eq!(refused.fate, EventFate::Refused);
        assert_eq!(refused.reason.as_deref(), Some("key `k{$.id}`: the event has no text or number at $.id"));
        assert!(fate(&store, bad, "plain").await.unwrap().task_id.is_some(), "the other trigger has its task");
        task_of(&store, good, "keyed").await;
        let problem = async || {
            let filter = ProblemFilter { with_closed: true, kind: Some(ProblemKind::Trigger), limit: 10, ..ProblemFilter::default() };
            let found = store.problems(&filter).await.unwrap();
            assert!(found.len() <= 1, "{found:?}");
            found.into_iter().next().unwrap()
        };
        let found = problem().await;
        assert_eq!((found.name.as_str(), found.task.as_deref(), found.times), ("keyed", Some("invoice"), 1));
        assert_eq!(found.what, format!("event {bad}: key `k{{$.id}}`: the event has no text or number at $.id"));
        assert_eq!(found.state, ProblemState::Open, "the good event was sent before");
        let second = send(&client, NewEvent::new("e").payload(json!({}))).await;
        assert_eq!(settled(&store, second).await.state, EventState::Refused);
        assert_eq!(problem().await.times, 2);
        let later = send(&client, NewEvent::new("e").payload(json!({ "id": 2 }))).await;
        task_of(&store, later, "keyed").await;
        eventually("the problem is over", async || problem().await.state == ProblemState::Closed).await;
        let log = daemon.stop();
        assert!(log.contains(&format!("event {bad}, trigger keyed: no task can be made of it")), "{log}");
    }

    async fn a_single_run_takes_events(database: Database) {
        let store = database.store().await;
        let file = database.config("n", &format!("{SETTINGS}[trigger.t]\non = \"e\"\ntask = \"mail\"\n"));
        let client = Client::connect(&database.url).unwrap();
        for _ in 0..150 {
            send(&client, NewEvent::new("e")).await;
        }
        let output = crate::support::sexton(&file).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(completed(&store).await, 150);
    }

    async fn a_row_that_is_no_good_is_refused_or_put_aside(database: Database) {
        let store = database.store().await;
        let bad_payload = "INSERT INTO sexton_event (name, payload) VALUES ('e', '{bad')";
        assert!(store.connection().execute_unprepared(bad_payload).await.is_err(), "it is no JSON");
        let client = Client::connect(&database.url).unwrap();
        let damaged = send(&client, NewEvent::new("e")).await;
        let no_instant = match database.kind {
            Kind::Sqlite => Some("never"),
            Kind::Postgres => Some("infinity"),
            // The others refuse what is no instant.
            Kind::MariaDb | Kind::MySql => None,
        };
        if let Some(text) = no_instant {
            execute(&store, &format!("UPDATE sexton_event SET created_at = '{text}' WHERE id = {damaged}")).await;
        }
        let settings = format!("{SETTINGS}[trigger.t]\non = \"e\"\ntask = \"invoice\"\npayload = {{ of = \"$.of\" }}\n");
        let good = send(&client, NewEvent::new("e").payload(json!({ "of": 1 }))).await;
        let daemon = database.daemon("n", &settings);
        task_of(&store, good, "t").await;
        let fate = fate(&store, damaged, "t").await.unwrap().fate;
        let refused = count(&store, "COUNT(*) FROM sexton_event WHERE state = 'refused' AND mistake IS NOT NULL").await;
        match no_instant {
            Some(_) => assert_eq!((fate, refused), (EventFate::Refused, 1)),
            None => assert_eq!((fate, refused), (EventFate::Enqueued, 0)),
        }
        daemon.stop();
    }

    async fn events_of_before_the_start_are_taken_and_old_ones_are_deleted(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let before = send(&client, NewEvent::new("e")).await;
        let settings = format!("keep_events = \"1h\"\n{SETTINGS}[trigger.t]\non = \"e\"\ntask = \"invoice\"\n");
        let daemon = database.daemon("n", &settings);
        task_of(&store, before, "t").await;
        daemon.stop();
        execute(&store, "UPDATE sexton_event SET created_at = '2026-01-01 00:00:00'").await;
        let fresh = send(&client, NewEvent::new("e")).await;
        let daemon = database.daemon("n", &settings);
        task_of(&store, fresh, "t").await;
        eventually("the old one is deleted", async || store.event(before).await.unwrap().is_none()).await;
        assert!(fate(&store, before, "t").await.is_none());
        assert_eq!(event(&store, fresh).await.state, EventState::Consumed);
        daemon.stop();
    }
}
