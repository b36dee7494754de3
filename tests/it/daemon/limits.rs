//! A queue's limit in the whole cluster, with real daemons and real commands.

use sexton::{Client, NewTask};

use super::completed;
use crate::support::{eventually, on_each_database};

on_each_database! {
    async fn two_daemons_never_do_two_tasks_of_a_serial_group_at_once(database: Database) {
        let store = database.store().await;
        let folder = database.folder.path().display().to_string();
        // A folder can be made once: whoever finds it there is not alone.
        let body = format!("mkdir {folder}/alone || echo $SEXTON_TASK_ID >> {folder}/overlaps; sleep 0.03; rmdir {folder}/alone");
        let settings = format!(
            "[queue.group]\nworkers = 4\nlimit = 1\n[task.serial]\nqueue = \"group\"\ncommand = [\"sh\", \"-c\", \"{body}\"]"
        );
        let daemons = [database.daemon("a", &settings), database.daemon("b", &settings)];
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("serial").queue("group"); 40]).await.unwrap();
        eventually("all are done", async || completed(&store).await == 40).await;
        assert!(!database.folder.path().join("overlaps").exists(), "two ran at once");
        for daemon in daemons {
            daemon.stop();
        }
    }
}
