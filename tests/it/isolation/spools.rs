//! Files of the spool: one bad attempt does not make the others run twice.

use std::time::Duration;

use serde_json::Value;
use sexton::{
    domain::task::{FinishedAttempt, NewTask, definition::TaskDefinition},
    handler::CommandInfo,
};

use super::{beat, count, no_module_fell, refused_files, succeeded};
use crate::support::{Database, Inside, blueprint, eventually, on_each_database};

/// Attempts that a daemon finished and could not record.
async fn finished(database: &Database, tasks: usize) -> Vec<FinishedAttempt> {
    let store = database.store().await;
    store.register(&beat("before", Duration::from_secs(600))).await.unwrap();
    store.enqueue_all(store.connection(), &vec![NewTask::new("nothing").queue("default"); tasks]).await.unwrap();
    let claimed = store.claim(&"before".into(), &"default".into(), tasks).await.unwrap().tasks;
    claimed.iter().map(|task| succeeded(task, "before")).collect()
}

fn spool(database: &Database, text: &[u8]) {
    let dir = database.folder.path().join("state/spool");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("0.json"), text).unwrap();
}

async fn each_ended_once(database: &Database, tasks: i64) {
    let store = database.store().await;
    eventually("all are on record", async || count(&store, "COUNT(*) FROM sexton_task").await == 0).await;
    assert_eq!(count(&store, "COUNT(*) FROM sexton_history").await, tasks, "nothing ran again");
    assert_eq!(
        count(&store, "COUNT(*) FROM sexton_history WHERE verdict = 'completed' AND node = 'before'").await,
        tasks
    );
}

#[test]
fn the_manifest_of_a_deep_payload_is_read() {
    let payload = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let task = serde_json::json!({ "task_id": 1, "fence": 1, "name": "a", "queue": "q", "payload": null, "attempt": 1,
        "max_attempts": null, "schedule": null, "due_at": null, "enqueued_at": "2026-11-21T10:00:00Z",
        "started_at": "2026-11-21T10:00:00Z", "unreadable": null });
    let definition = serde_json::to_string(&TaskDefinition::new("a", "command")).unwrap();
    let text = format!("{{\"task\":{task},\"definition\":{definition}}}").replacen(
        "\"payload\":null",
        &format!("\"payload\":{payload}"),
        1,
    );
    let read: CommandInfo = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read.task.payload).unwrap(), payload);
}

on_each_database! {
    async fn a_deep_payload_is_read_and_recorded(database: Database) {
        let mut batch = finished(&database, 5).await;
        let deep: Value = serde_json::from_str(&format!("{}{}", "[".repeat(126), "]".repeat(126))).unwrap();
        batch[2].payload = Some(deep.into());
        // As earlier versions wrote it.
        spool(&database, &serde_json::to_vec(&batch).unwrap());
        let inside = Inside::start(blueprint(&database));
        each_ended_once(&database, 5).await;
        assert!(refused_files(&database).is_empty());
        no_module_fell(&inside.daemon);
        inside.stop();
    }

    async fn a_damaged_line_is_put_aside_alone(database: Database) {
        let batch = finished(&database, 5).await;
        let lines: Vec<String> = batch.iter().map(|finished| serde_json::to_string(finished).unwrap()).collect();
        let text = format!("[\n{}\u{1}half,\n{}\n]\n", &lines[0][..40], lines.join(",\n"));
        spool(&database, text.as_bytes());
        let inside = Inside::start(blueprint(&database));
        each_ended_once(&database, 5).await;
        eventually("it is reported", async || inside.daemon.store.isolated().count() == 1).await;
        let files = refused_files(&database);
        assert!(std::fs::read_to_string(&files[0]).unwrap().ends_with("half"), "{files:?}");
        no_module_fell(&inside.daemon);
        inside.stop();
    }
}
