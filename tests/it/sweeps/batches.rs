//! Several rows in one task.

use serde_json::json;

use super::{execute, numbers, round, sweep, tasks, with_customers};
use crate::support::{Daemon, on_each_database, value};

on_each_database! {
    async fn rows_become_batches_and_are_in_one_at_a_time(database: Database) {
        let store = with_customers(&database, 5).await;
        let file = database.config("n", &sweep("batch = 2\npayload = { to = \"$.id\" }"));
        let daemon = Daemon::start(&file, &["run"]);
        let first = round(&store, &file, &[]).await;
        assert_eq!(numbers(&first), (5, 5, 0, 0, false));
        assert_eq!(value(&first.result).unwrap()["tasks"], 3);
        let made = tasks(&store).await;
        let payloads: Vec<_> = made.iter().map(|task| value(&task.payload).unwrap()).collect();
        assert_eq!(payloads, [json!([{ "to": 1 }, { "to": 2 }]), json!([{ "to": 3 }, { "to": 4 }]), json!([{ "to": 5 }])]);
        execute(&store, "INSERT INTO customer (id) VALUES (6)").await;
        assert_eq!(numbers(&round(&store, &file, &[]).await), (6, 1, 5, 0, false));
        let id = made[0].id.to_string();
        execute(&store, &["DELETE FROM sexton_task WHERE id = ", &id].concat()).await;
        assert_eq!(numbers(&round(&store, &file, &[]).await), (6, 2, 4, 0, false), "its rows are free again");
        daemon.stop();
    }

    async fn a_batch_that_is_too_large_becomes_smaller_ones(database: Database) {
        let store = with_customers(&database, 4).await;
        let settings = sweep("batch = 4").replace("heartbeat", "max_payload = 100\nheartbeat");
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let first = round(&store, &file, &[]).await;
        assert_eq!(numbers(&first), (4, 4, 0, 0, false));
        assert_eq!(value(&first.result).unwrap()["tasks"], 2);
        daemon.stop();
    }
}
