//! `kill -9` at every step of the trigger manager: no event is lost, and none becomes two tasks.

use std::{os::unix::process::ExitStatusExt as _, path::Path};

use sexton_client::{Client, NewEvent};

use super::{SETTINGS, send, settled, task_of};
use crate::{
    daemon::count,
    support::{Daemon, on_each_database, sexton},
};

/// Starts a daemon that is killed at that step, and waits for its end.
pub(super) fn die_at(file: &Path, step: &str) {
    let mut command = sexton(file);
    command.arg("run").env("SEXTON_FAULT_POINT", step);
    let mut daemon = Daemon::spawn_command(command, file);
    assert_eq!(daemon.wait().signal(), Some(9), "killed at `{step}`:\n{}", daemon.log());
}

on_each_database! {
    async fn a_daemon_that_is_killed_at_any_step_makes_one_task(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let settings = format!(
            "{SETTINGS}[trigger.one]\non = \"e\"\ntask = \"invoice\"\n[trigger.two]\non = \"*\"\ntask = \"invoice\"\n"
        );
        let file = database.config("n", &settings);
        for (done, step) in ["events due", "events distributed", "events taken"].into_iter().enumerate() {
            let id = send(&client, NewEvent::new("e")).await;
            let (path, at) = (file.clone(), step.to_owned());
            tokio::task::spawn_blocking(move || die_at(&path, &at)).await.unwrap();
            let daemon = Daemon::start(&file, &["run"]);
            settled(&store, id).await;
            for trigger in ["one", "two"] {
                task_of(&store, id, trigger).await;
            }
            assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 2 * (done as i64 + 1), "killed at `{step}`");
            daemon.stop();
        }
    }
}
