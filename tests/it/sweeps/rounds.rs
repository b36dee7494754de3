//! What a round enters, and what keeps rows from becoming two tasks.

use serde_json::json;
use sexton_client::{Client, NewEvent};
use sexton_entities::states::{Outcome, Verdict};

use super::{ended, execute, numbers, round, sweep, tasks, with_customers};
use crate::support::{Daemon, eventually, on_each_database, value};

on_each_database! {
    async fn each_row_becomes_one_unfinished_task(database: Database) {
        let store = with_customers(&database, 5).await;
        let file = database.config("n", &sweep("limit = 4"));
        let daemon = Daemon::start(&file, &["run"]);
        let first = round(&store, &file, &[]).await;
        assert_eq!((first.kind.as_deref(), first.outcome), (Some("sweep"), Outcome::Succeeded));
        assert_eq!(numbers(&first), (4, 4, 0, 0, true));
        let made = tasks(&store).await;
        assert_eq!(made.len(), 4);
        assert_eq!((made[0].unique_key.as_deref(), made[0].queue.as_deref()), (Some("sweep:old:1"), Some("held")));
        assert_eq!(value(&made[0].payload), Some(json!({ "id": 1, "email": "c@example.org" })));
        execute(&store, "DELETE FROM customer WHERE id = 1").await;
        assert_eq!(numbers(&round(&store, &file, &[]).await), (4, 1, 3, 0, false));
        execute(&store, "DELETE FROM sexton_task WHERE unique_key = 'sweep:old:2'").await;
        assert_eq!(numbers(&round(&store, &file, &[]).await), (4, 1, 3, 0, false), "its task is finished");
        daemon.stop();
    }

    async fn a_schedule_and_an_event_start_rounds(database: Database) {
        let store = with_customers(&database, 3).await;
        let more = "bind = { id = \"$.customer.id\", least = 18 }\non_event = \"customer.updated\"\n\
                    payload = { to = \"$.email\", lang = \"de\" }\nschedule = { every = \"1h\" }";
        let settings = sweep(more).replace("FROM customer ORDER", "FROM customer WHERE age > :least AND id = :id ORDER");
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        eventually("the schedule is known", async || store.schedule("old").await.unwrap().is_some()).await;
        let client = Client::connect(&database.url).unwrap();
        client.send_event(NewEvent::new("customer.updated").payload(json!({ "customer": { "id": 2 } }))).await.unwrap();
        eventually("its task is there", async || tasks(&store).await.len() == 1).await;
        let task = tasks(&store).await.remove(0);
        assert_eq!(task.unique_key.as_deref(), Some("sweep:old:2"));
        assert_eq!(value(&task.payload), Some(json!({ "to": "c@example.org", "lang": "de" })));
        let other = round(&store, &file, &["--payload", "{\"customer\": {\"id\": 3}}"]).await;
        assert_eq!(numbers(&other), (1, 1, 0, 0, false));
        let none = round(&store, &file, &[]).await;
        assert_eq!(numbers(&none), (0, 0, 0, 0, false), "without a payload the place is NULL");
        daemon.stop();
    }

    async fn a_row_that_is_no_good_does_not_stop_the_others(database: Database) {
        let store = with_customers(&database, 3).await;
        execute(&store, "INSERT INTO customer (id, email, age) VALUES (4, 'x', 4)").await;
        execute(&store, "UPDATE customer SET email = NULL WHERE id = 2").await;
        let settings = sweep("").replace("SELECT id,", "SELECT CASE WHEN id = 3 THEN NULL ELSE id END AS id,");
        let schema = "queue = \"held\"\npayload_schema = { properties = { email = { type = \"string\" } } }\n";
        let file = database.config("n", &settings.replace("ORDER BY id", "ORDER BY customer.id").replace("queue = \"held\"\n", schema));
        let daemon = Daemon::start(&file, &["run"]);
        let first = round(&store, &file, &[]).await;
        assert_eq!(numbers(&first), (4, 2, 0, 2, false));
        let output = store.output(first.id).await.unwrap().unwrap();
        assert!(output.stdout.contains("row 2 (key 2): ") && output.stdout.contains("row 3: its `id` is NULL"), "{}", output.stdout);
        assert_eq!(numbers(&round(&store, &file, &[]).await), (4, 0, 2, 2, false));
        let log = daemon.stop();
        assert_eq!(log.matches("sweep old: no task can be made of row 2 (key 2)").count(), 1, "{log}");
    }

    async fn a_select_that_writes_or_fails_is_discarded(database: Database) {
        let store = with_customers(&database, 1).await;
        for (select, expected) in [
            ("SELECT nothing FROM customer", "the database refused the SELECT"),
            ("SELECT email FROM customer", "the SELECT has no column `id`, which `key` names: it has email"),
            ("SELECT id, age AS id FROM customer", "the SELECT has two columns `id`"),
        ] {
            let settings = sweep("max_attempts = 5").replace("SELECT id, email FROM customer ORDER BY id", select);
            let file = database.config("n", &settings);
            let daemon = Daemon::start(&file, &["run"]);
            let row = round(&store, &file, &[]).await;
            assert_eq!((row.outcome, row.verdict), (Outcome::Failed, Some(Verdict::Discarded)));
            let error = row.error.unwrap();
            assert!(error.contains(expected), "{select}: {error}");
            daemon.stop();
        }
        assert!(tasks(&store).await.is_empty());
    }

    async fn a_database_that_does_not_answer_is_tried_again(database: Database) {
        let store = with_customers(&database, 1).await;
        let gone = match database.kind {
            crate::support::Kind::Sqlite => "sqlite:///nowhere/at/all.db",
            crate::support::Kind::Postgres => "postgres://u@127.0.0.1:1/d",
            _ => "mysql://u@127.0.0.1:1/d",
        };
        let more = format!("url = \"{gone}\"\nmax_attempts = 2\nretry = {{ delay = \"20ms\" }}");
        let file = database.config("n", &sweep(&more));
        let daemon = Daemon::start(&file, &["run"]);
        let row = round(&store, &file, &[]).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Failed, 2), "{:?}", row.error);
        daemon.stop();
    }

    async fn a_task_by_insert_may_only_name_a_sweep(database: Database) {
        let store = with_customers(&database, 2).await;
        let file = database.config("n", &sweep(""));
        let daemon = Daemon::start(&file, &["run"]);
        execute(&store, "INSERT INTO sexton_task (name, payload) VALUES ('old', '{\"select\": \"DELETE FROM customer\"}')").await;
        eventually("it has run", async || tasks(&store).await.len() == 2).await;
        assert_eq!(crate::daemon::count(&store, "COUNT(*) FROM customer").await, 2);
        daemon.stop();
    }

    async fn an_application_with_a_database_of_its_own_is_swept(database: Database) {
        let store = database.store().await;
        let shop = crate::support::Database::new(database.kind).await;
        let other = with_customers(&shop, 2).await;
        let file = database.config("n", &sweep(&format!("url = \"{}\"", shop.url)));
        let daemon = Daemon::start(&file, &["run"]);
        assert_eq!(numbers(&round(&store, &file, &[]).await), (2, 2, 0, 0, false));
        assert_eq!((tasks(&store).await.len(), tasks(&other).await.len()), (2, 0));
        let shown = super::json(&file, &["sweep", "show", "old"]);
        assert!(shown["database"].as_str().is_some_and(|url| url.contains("://")), "{shown}");
        let log = daemon.stop();
        assert!(!log.contains("ERROR"), "{log}");
    }

    async fn a_round_that_takes_too_long_ends(database: Database) {
        let store = with_customers(&database, 1).await;
        let slow = match database.kind {
            crate::support::Kind::Sqlite => {
                "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT MAX(id) AS id FROM n"
            }
            crate::support::Kind::Postgres => "SELECT 1 AS id, pg_sleep(60)::text AS slept",
            _ => "SELECT 1 AS id, SLEEP(60) AS slept",
        };
        let settings = sweep("timeout = \"1s\"").replace("SELECT id, email FROM customer ORDER BY id", slow);
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let row = round(&store, &file, &[]).await;
        assert_eq!(row.outcome, Outcome::TimedOut, "{:?}", row.error);
        let id = super::json(&file, &["task", "add", "old"])["id"].as_i64().unwrap();
        eventually("it runs", async || store.task(id).await.unwrap().is_none_or(|task| task.node.is_some())).await;
        assert_eq!(ended(&store, id).await.outcome, Outcome::TimedOut);
        daemon.stop();
    }
}
