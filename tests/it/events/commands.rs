//! `sexton event` and `sexton trigger`, and what other commands say of events.

use serde_json::json;
use sexton_client::{Client, NewEvent};
use sexton_entities::states::EventState;

use super::{SETTINGS, call, event, execute, json as answer, refused, send, settled, task_of};
use crate::support::{Printed as _, eventually, on_each_database, sexton};

on_each_database! {
    async fn the_commands_show_what_became_of_an_event(database: Database) {
        let store = database.store().await;
        let settings = format!(
            "{SETTINGS}[trigger.bill]\non = \"order.*\"\ntask = \"invoice\"\nwhen = \"$.total > 10\"\n\
             [trigger.keyed]\non = \"order.odd\"\ntask = \"invoice\"\nunique_key = \"$.id\"\n"
        );
        let daemon = database.daemon("n", &settings);
        let file = database.folder.path().join("n/sexton.toml");
        let sent = answer(&file, &["event", "send", "order.paid", "--payload", "{\"total\": 12}", "--key", "k", "--reason", "a test", "--json"]);
        let id = sent["id"].as_i64().unwrap();
        assert_eq!(sent["new"], json!(true));
        assert_eq!(answer(&file, &["event", "send", "order.paid", "--key", "k", "--json"]), json!({ "id": id, "new": false }));
        let task = task_of(&store, id, "bill").await;
        let shown = call(&file, &["event", "show", &id.to_string()]).text();
        assert!(shown.contains(&format!("trigger bill: task {}", task.id)) && shown.contains("key k"), "{shown}");
        let shown = call(&file, &["task", "show", &task.id.to_string()]).text();
        assert!(shown.contains(&format!("it comes from event {id} by trigger bill")), "{shown}");
        assert_eq!(answer(&file, &["task", "show", &task.id.to_string(), "--json"])["events"][0]["event_id"], json!(id));
        let small = answer(&file, &["event", "send", "order.small", "--payload", "{\"total\": 1}", "--json"])["id"].as_i64().unwrap();
        settled(&store, small).await;
        let shown = call(&file, &["event", "show", &small.to_string()]).text();
        assert!(shown.contains("trigger bill: no task, the condition does not hold: `$.total > 10`: $.total is 1"), "{shown}");
        let listed = answer(&file, &["event", "list", "--json"]);
        assert_eq!(listed.as_array().unwrap().len(), 2);
        assert_eq!((&listed[0]["id"], &listed[0]["triggers"][0]["fate"]), (&json!(small), &json!("not_met")));
        let again = answer(&file, &["event", "replay", &id.to_string(), "--json"])["id"].as_i64().unwrap();
        task_of(&store, again, "bill").await;
        let row = event(&store, again).await;
        assert_eq!((row.replay_of, row.event_key), (Some(id), None));
        let triggers = answer(&file, &["trigger", "list", "--json"]);
        assert_eq!((&triggers[0]["name"], &triggers[0]["live"]), (&json!("bill"), &json!(true)));
        let deeds = answer(&file, &["audit", "list", "--target", "event", "--json"]);
        let actions: Vec<_> = deeds.as_array().unwrap().iter().map(|deed| deed["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["replay", "send", "send"]);
        assert_eq!(deeds[2]["reason"], json!("a test"));
        assert!(refused(&file, &["event", "show", "99999"]).contains("there is no event 99999"));
        assert!(refused(&file, &["event", "send", "a b"]).contains("event name: `a b` contains"));
        assert!(refused(&file, &["event", "send", "a", "--payload", "{"]).contains("the payload is not JSON"));
        daemon.stop();
    }

    async fn what_is_wrong_with_events_is_told(database: Database) {
        let store = database.store().await;
        let settings = format!(
            "keep_events = \"5000d\"\n{SETTINGS}[trigger.keyed]\non = [\"e\", \"away\"]\ntask = \"invoice\"\nunique_key = \"$.id\"\n"
        );
        execute(&store, "INSERT INTO sexton_trigger (name, node, patterns, task) VALUES ('gone', 'm', '[\"away\"]', 'invoice')").await;
        let client = Client::connect(&database.url).unwrap();
        let refused = send(&client, NewEvent::new("e")).await;
        let untaken = send(&client, NewEvent::new("nobody")).await;
        let away = send(&client, NewEvent::new("away").payload(json!({ "id": 1 }))).await;
        let daemon = database.daemon("n", &settings);
        assert_eq!(settled(&store, refused).await.state, EventState::Refused);
        assert_eq!(settled(&store, untaken).await.state, EventState::Untaken);
        eventually("it waits", async || event(&store, away).await.state == EventState::Waiting).await;
        execute(&store, &format!("UPDATE sexton_event SET created_at = '2026-01-01 00:00:00' WHERE id = {away}")).await;
        let file = database.folder.path().join("n/sexton.toml");
        let told = |text: &str| {
            assert!(text.contains("1 event waiting for longer than a minute"), "{text}");
            assert!(text.contains("no task could be made of 1 event of the last day"), "{text}");
        };
        let check = sexton(&file).arg("check").output().unwrap();
        told(&check.text());
        let summary = call(&file, &["summary"]).text();
        told(&summary);
        assert!(summary.contains("no trigger is for 1 event of the last day"), "{summary}");
        eventually("status tells", async || {
            call(&file, &["status"]).text().contains(&format!("event {refused}, trigger keyed: key `$.id`: the event has no text or number"))
        }).await;
        let shown = call(&file, &["event", "show", &away.to_string()]).text();
        assert!(shown.contains("trigger gone: waits: no running node has this trigger"), "{shown}");
        let shown = call(&file, &["event", "show", &untaken.to_string()]).text();
        assert!(shown.contains("no trigger is for it"), "{shown}");
        daemon.stop();
    }
}
