//! Tasks whose time has come, and only these.

use std::time::Duration;

use sea_orm::ConnectionTrait as _;
use sexton::NewTask;
use sexton_entities::states::TaskState;

use crate::support::{Kind, on_each_database};

on_each_database! {
    async fn due_tasks_are_promoted(database: Database) {
        let store = database.store().await;
        let far = "2031-01-01T00:00:00Z".parse().unwrap();
        let soon: Vec<NewTask> = (0..1_500).map(|_| NewTask::new("soon").delay(Duration::from_millis(300))).collect();
        store.enqueue_all(store.connection(), &[NewTask::new("far").run_at(far)]).await.unwrap();
        store.enqueue_all(store.connection(), &soon).await.unwrap();
        let next = store.next_instants().await.unwrap().due.unwrap();
        assert!(next < far);
        let wait = (next - store.now().await.unwrap()).to_std().unwrap_or_default();
        tokio::time::sleep(wait + Duration::from_millis(5)).await;
        assert_eq!(store.promote().await.unwrap(), 1_500);
        assert_eq!(store.promote().await.unwrap(), 0);
        assert_eq!(store.next_instants().await.unwrap().due, Some(far));
        assert_eq!(store.task(1).await.unwrap().unwrap().state, TaskState::Scheduled);
    }

    async fn what_an_application_moves_waits_in_the_order_of_time(database: Database) {
        let store = database.store().await;
        let execute = async |sql: &str| store.connection().execute_unprepared(sql).await.unwrap();
        let soon = NewTask::new("soon").delay(Duration::from_secs(600));
        let tomorrow = NewTask::new("moved").delay(Duration::from_secs(86_400));
        store.enqueue_all(store.connection(), &[soon, tomorrow]).await.unwrap();
        // The usual form of the time of each database, which does not sort before or behind the form of Sexton's own.
        let later = match database.kind {
            Kind::Sqlite => "datetime('now', '+1 hour')",
            Kind::Postgres => "now() + interval '1 hour'",
            Kind::MariaDb | Kind::MySql => "utc_timestamp(6) + INTERVAL 1 HOUR",
        };
        let due = store.next_instants().await.unwrap().due;
        execute(&format!("UPDATE sexton_task SET run_at = {later} WHERE name = 'moved'")).await;
        assert_eq!(store.next_instants().await.unwrap().due, due, "the other one is still the next");
        let moved = store.task(2).await.unwrap().unwrap();
        let until = moved.run_at - store.now().await.unwrap();
        assert!((58..=61).contains(&until.num_minutes()), "{until}");
        assert_eq!(store.promote().await.unwrap(), 0);
        let past = later.replace('+', "-");
        execute(&format!("UPDATE sexton_task SET run_at = {past} WHERE name = 'moved'")).await;
        assert_eq!(store.promote().await.unwrap(), 1);
    }

    async fn nothing_waits_for_nothing(database: Database) {
        assert_eq!(database.store().await.next_instants().await.unwrap().due, None);
    }
}
