//! Tasks of unknown names that the database refuses to set aside, or that cannot be read.

use sexton::NewTask;

use super::{accept_bad_tasks, count, no_module_fell, refuse, run};
use crate::support::{Inside, Kind, blueprint, eventually, on_each_database};

on_each_database! {
    async fn a_refusal_to_set_them_aside_stops_no_other_task(database: Database) {
        let store = database.store().await;
        run(&store, &["INSERT INTO sexton_task (name, queue, priority) VALUES ('lost', 'default', -9)"]).await;
        refuse(&database, &store, "sexton_task", "UPDATE", "lost").await;
        let inside = Inside::start(blueprint(&database));
        let isolated = || inside.daemon.store.isolated().sentences(9);
        eventually("it is reported", async || isolated().iter().any(|told| told.contains("tasks that no node defines"))).await;
        inside.daemon.client.enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap();
        let completed = "COUNT(*) FROM sexton_history WHERE verdict = 'completed'";
        eventually("the others are done", async || count(&store, completed).await == 20).await;
        no_module_fell(&inside.daemon);
        assert_eq!(inside.stop(), 0);
    }

    async fn an_instant_that_cannot_be_read_stops_no_other_task(database: Database) {
        let store = database.store().await;
        accept_bad_tasks(&database, &store).await;
        let bad = match database.kind {
            Kind::Postgres => "'infinity'",
            Kind::MariaDb | Kind::MySql => "'0000-00-00 00:00:00'",
            Kind::Sqlite => "'not a time'",
        };
        run(&store, &[&format!(
            "INSERT INTO sexton_task (name, queue, state, run_at, unknown_since) \
             VALUES ('lost', 'default', 'scheduled', '2099-01-01 00:00:00', {bad})"
        )]).await;
        let inside = Inside::start(blueprint(&database));
        // A zero date counts as none.
        if !matches!(database.kind, Kind::MariaDb | Kind::MySql) {
            eventually("it is reported", async || !inside.daemon.unknown_tasks.all().is_empty()).await;
        }
        inside.daemon.client.enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap();
        let completed = "COUNT(*) FROM sexton_history WHERE verdict = 'completed'";
        eventually("the others are done", async || count(&store, completed).await == 20).await;
        no_module_fell(&inside.daemon);
        assert_eq!(inside.stop(), 0);
    }
}
