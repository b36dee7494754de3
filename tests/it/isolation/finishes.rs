//! Finished attempts that the database refuses, whatever the reason.

use sexton::{
    domain::task::{NewTask, is_on_hold},
    store::TaskFilter,
};
use sexton_entities::states::TaskState;

use super::{count, no_module_fell, refuse, refused_files, run};
use crate::support::{Inside, blueprint, eventually, on_each_database};

const COMPLETED: &str = "COUNT(*) FROM sexton_history WHERE verdict = 'completed'";

fn cursed_and_good() -> Vec<NewTask> {
    let mut tasks = vec![NewTask::new("nothing").queue("default"); 30];
    tasks[11] = NewTask::new("cursed").queue("default");
    tasks
}

on_each_database! {
    async fn a_record_that_is_refused_is_put_aside_and_its_task_ends(database: Database) {
        let store = database.store().await;
        refuse(&database, &store, "sexton_history", "INSERT", "cursed").await;
        let mut blueprint = blueprint(&database);
        let cursed = sexton::domain::task::definition::TaskDefinition::new("cursed", "noop");
        blueprint.config.tasks.insert("cursed".to_owned(), cursed.into());
        let inside = Inside::start(blueprint);
        inside.daemon.client.enqueue_all(cursed_and_good()).await.unwrap();
        eventually("the others are recorded", async || count(&store, COMPLETED).await == 29).await;
        eventually("no task is left", async || count(&store, "COUNT(*) FROM sexton_task").await == 0).await;
        let files = refused_files(&database);
        assert_eq!(files.len(), 1, "{files:?}");
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.contains("\"name\":\"cursed\"") && text.contains("\"refused\":"), "{text}");
        let told = inside.daemon.store.isolated().sentences(9);
        assert!(told.len() == 1 && told[0].contains("spool/refused") && told[0].contains("the database refuses it"), "{told:?}");
        no_module_fell(&inside.daemon);
        inside.stop();

        // The next daemon counts it as well. Moved back once the database takes it, it is recorded.
        run(&store, &["DELETE FROM sexton_history"]).await;
        let spool = database.folder.path().join("state/spool");
        std::fs::rename(&files[0], spool.join("again.json")).unwrap();
        let inside = Inside::start(crate::support::blueprint(&database));
        eventually("it is refused again", async || refused_files(&database).len() == 1).await;
        inside.stop();
        let inside = Inside::start(crate::support::blueprint(&database));
        eventually("it is counted", async || inside.daemon.store.isolated().count() == 1).await;
        inside.stop();
    }

    async fn a_task_that_cannot_be_finished_keeps_nothing_back(database: Database) {
        let store = database.store().await;
        refuse(&database, &store, "sexton_task", "DELETE", "cursed").await;
        let mut blueprint = blueprint(&database);
        let cursed = sexton::domain::task::definition::TaskDefinition::new("cursed", "noop");
        blueprint.config.tasks.insert("cursed".to_owned(), cursed.into());
        let inside = Inside::start(blueprint);
        inside.daemon.client.enqueue_all(cursed_and_good()).await.unwrap();
        eventually("the others are recorded", async || count(&store, COMPLETED).await == 29).await;
        eventually("it is reported", async || {
            inside.daemon.store.isolated().sentences(9).iter().any(|told| told.contains("cannot be finished, and is on hold"))
        })
        .await;
        let held = store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap().remove(0);
        assert_eq!((held.state, is_on_hold(held.run_at)), (TaskState::Scheduled, true), "it does not run again and again");
        assert_eq!(refused_files(&database).len(), 1);
        no_module_fell(&inside.daemon);
        inside.stop();
    }

    async fn numbers_that_are_used_again_do_not_stop_the_recorder(database: Database) {
        let store = database.store().await;
        // As after a logical restore that began to count again, and a fence that was reset by hand.
        for id in 1..=60 {
            let sql = format!("INSERT INTO sexton_history (task_id, fence, name, outcome) VALUES ({id}, 1, 'old', 'succeeded')");
            run(&store, &[&sql]).await;
        }
        let inside = Inside::start(blueprint(&database));
        inside.daemon.client.enqueue_all(vec![NewTask::new("nothing").queue("default"); 30]).await.unwrap();
        eventually("no task is left", async || count(&store, "COUNT(*) FROM sexton_task").await == 0).await;
        let recorded = count(&store, "COUNT(*) FROM sexton_history WHERE name = 'nothing'").await;
        assert_eq!(recorded + refused_files(&database).len() as i64, 30, "each is on record, or put aside");
        no_module_fell(&inside.daemon);
        inside.stop();
    }
}
