//! Tasks whose time has come, and only these.

use std::time::Duration;

use sexton::NewTask;
use sexton_entities::states::TaskState;

use crate::support::on_each_database;

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

    async fn nothing_waits_for_nothing(database: Database) {
        assert_eq!(database.store().await.next_instants().await.unwrap().due, None);
    }
}
