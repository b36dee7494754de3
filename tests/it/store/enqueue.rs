//! Every way in gives the same row.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use sexton::{
    Client, NewTask,
    store::{Enqueued, TaskFilter},
};
use sexton_entities::states::TaskState;

use super::{about_now, register};
use crate::support::{Kind, on_each_database, value};

on_each_database! {
    async fn a_plain_insert_is_a_complete_enqueue(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let application = database.application().await;
        application.execute_unprepared("INSERT INTO sexton_task (name) VALUES ('cleanup')").await.unwrap();
        let task = store.task(1).await.unwrap().unwrap();
        assert_eq!((task.name.as_str(), task.state, task.priority, task.attempt), ("cleanup", TaskState::Available, 0, 0));
        assert!(about_now(task.run_at) && about_now(task.enqueued_at), "{task:?}");
        assert_eq!(store.names_without_queue().await.unwrap(), ["cleanup"]);
        assert!(store.peek(&["default".into()]).await.unwrap().without_queue);
        store.assign_queue("cleanup", &"default".into(), 3).await.unwrap();
        let claimed = store.claim(&"n".into(), &"default".into(), 10).await.unwrap().tasks;
        assert_eq!(claimed.len(), 1);
        assert!(about_now(claimed[0].started_at));
    }

    async fn a_plain_insert_takes_every_option(database: Database) {
        let store = database.store().await;
        let in_an_hour = match database.kind {
            Kind::Sqlite => "datetime('now', '+1 hour')",
            Kind::Postgres => "now() + interval '1 hour'",
            Kind::MariaDb | Kind::MySql => "utc_timestamp(6) + INTERVAL 1 HOUR",
        };
        let sql = format!(
            "INSERT INTO sexton_task (name, payload, run_at, queue, priority, unique_key) \
             VALUES ('report', '{{\"month\": 11}}', {in_an_hour}, 'reports', -5, 'report-11')"
        );
        let application = database.application().await;
        application.execute_unprepared(&sql).await.unwrap();
        let task = store.task(1).await.unwrap().unwrap();
        assert_eq!(value(&task.payload), Some(json!({"month": 11})));
        assert_eq!((task.queue.as_deref(), task.priority, task.unique_key.as_deref()), (Some("reports"), -5, Some("report-11")));
        let wait = (task.run_at - sexton::clock::machine_time()).num_seconds();
        assert!((3_500..3_700).contains(&wait), "{wait}");
        let again = application.execute_unprepared(&sql).await;
        assert!(again.is_err(), "the unique key is taken");
        assert!(application.execute_unprepared("INSERT INTO sexton_task (name, payload) VALUES ('x', 'no json')").await.is_err());
        assert!(application.execute_unprepared("INSERT INTO sexton_task (name, run_at) VALUES ('x', 'soon')").await.is_err());
    }

    async fn a_unique_key_has_one_unfinished_task(database: Database) {
        let store = database.store().await;
        let client = Client::new(store.clone());
        let new = || NewTask::new("sync").unique_key("customer-7").payload(json!({"customer": 7}));
        let first = client.enqueue(new()).await.unwrap();
        let Enqueued::New(id) = first else { panic!("{first:?}") };
        assert_eq!(client.enqueue(new()).await.unwrap(), Enqueued::AlreadyThere(id));
        assert_eq!(client.enqueue_all(vec![new(), NewTask::new("sync"), new()]).await.unwrap(), 1);
        // Keys are compared letter by letter, on every database.
        assert!(matches!(client.enqueue(new().unique_key("Customer-7")).await.unwrap(), Enqueued::New(_)));
        store.cancel(id).await.unwrap();
        assert!(matches!(client.enqueue(new()).await.unwrap(), Enqueued::New(_)));
    }

    async fn a_task_shares_the_fate_of_the_callers_transaction(database: Database) {
        let store = database.store().await;
        let client = Client::new(store.clone());
        let application = database.application().await;
        application.execute_unprepared("CREATE TABLE orders (id integer)").await.unwrap();
        for commits in [false, true] {
            let transaction = application.begin().await.unwrap();
            transaction.execute_unprepared("INSERT INTO orders VALUES (1)").await.unwrap();
            client.enqueue_in(&transaction, NewTask::new("invoice").payload(json!({"order": 1}))).await.unwrap();
            if commits { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
            let tasks = store.tasks(&TaskFilter { limit: 10, ..TaskFilter::default() }).await.unwrap();
            assert_eq!(tasks.len(), usize::from(commits));
        }
    }

    async fn many_tasks_go_in_at_once_with_all_they_carry(database: Database) {
        let store = database.store().await;
        let later = "2031-01-02T03:04:05.678901Z".parse().unwrap();
        let odd = "it's \"quoted\" \\ and 🦀 \u{7}";
        let tasks = [
            NewTask::new("a").payload(json!({"text": odd, "list": [1, 2.5, null, true]})).queue("q").priority(9),
            NewTask::new("b").run_at(later),
            NewTask::new("c").delay(Duration::from_secs(3_600)),
            NewTask { max_attempts: Some(4), ..NewTask::new("d") },
        ];
        assert_eq!(store.enqueue_all(store.connection(), &tasks).await.unwrap(), 4);
        let mut rows = store.tasks(&TaskFilter { limit: 10, ..TaskFilter::default() }).await.unwrap();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(value(&rows[0].payload), Some(json!({"text": odd, "list": [1, 2.5, null, true]})));
        assert_eq!((rows[0].queue.as_deref(), rows[0].priority, rows[0].state), (Some("q"), 9, TaskState::Available));
        assert_eq!((rows[1].run_at, rows[1].state), (later, TaskState::Scheduled));
        let wait = (rows[2].run_at - sexton::clock::machine_time()).num_seconds();
        assert!((3_500..3_700).contains(&wait) && rows[2].state == TaskState::Scheduled, "{wait}");
        assert_eq!(rows[3].max_attempts, Some(4));
    }

    async fn of_many_tasks_with_one_bad_none_goes_in(database: Database) {
        let store = database.store().await;
        let tasks = [NewTask::new("good"), NewTask::new("bad").payload(json!("a\0b"))];
        let error = store.enqueue_all(store.connection(), &tasks).await.unwrap_err();
        assert!(error.to_string().contains("NUL"), "{error}");
        assert!(store.tasks(&TaskFilter { limit: 10, ..TaskFilter::default() }).await.unwrap().is_empty());
    }
}
