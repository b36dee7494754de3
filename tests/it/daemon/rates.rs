//! Rates with real daemons: exact beside another daemon, and through the death of one with tasks that it has claimed.

use std::os::unix::process::ExitStatusExt as _;

use chrono::{DateTime, Utc};
use sexton::{Client, NewTask, store::Store};

use super::completed;
use crate::support::{Daemon, eventually, on_each_database, sexton};

const TASKS: i64 = 60;
const SETTINGS: &str = "heartbeat = \"500ms\"\nlease = \"2s\"\n[queue.mail]\nworkers = 6\nrate = \"30/1s\"\nburst = 6\n\
                        [queue.other]\nworkers = 1\n[task.letter]\nkind = \"noop\"\nqueue = \"mail\"\n[task.free]\nkind = \"noop\"\nqueue = \"other\"\n";

/// When each attempt was claimed, those of dead nodes as well, in order.
async fn begins(store: &Store) -> Vec<DateTime<Utc>> {
    let history = store.history(&sexton::store::HistoryFilter { limit: 999, ..Default::default() }).await.unwrap();
    let letters = history.into_iter().filter(|row| row.name == "letter");
    let mut begins: Vec<DateTime<Utc>> = letters.filter_map(|row| row.claimed_at).collect();
    begins.sort();
    begins
}

on_each_database! {
    async fn a_rate_holds_while_a_daemon_dies_with_its_tasks(database: Database) {
        let store = database.store().await;
        let tasks = vec![NewTask::new("letter").queue("mail"); TASKS as usize];
        Client::new(store.clone()).enqueue_all(tasks).await.unwrap();
        let doomed = database.config("doomed", SETTINGS);
        tokio::task::spawn_blocking(move || {
            let mut command = sexton(&doomed);
            command.arg("run").env("SEXTON_FAULT_POINT", "tasks claimed");
            let mut daemon = Daemon::spawn_command(command, &doomed);
            assert_eq!(daemon.wait().signal(), Some(9), "{}", daemon.log());
        })
        .await
        .unwrap();
        let daemons = [database.daemon("a", SETTINGS), database.daemon("b", SETTINGS)];
        Client::new(store.clone()).enqueue(NewTask::new("free").queue("other")).await.unwrap();
        eventually("all are done", async || completed(&store).await == TASKS + 1).await;
        let begins = begins(&store).await;
        assert!(begins.len() as i64 > TASKS, "those of the dead daemon began twice, with a token each: {}", begins.len());
        for (first, start) in begins.iter().enumerate() {
            for (last, end) in begins.iter().enumerate().skip(first) {
                let micros = (*end - *start).num_microseconds().unwrap();
                let begun = (last - first + 1) as i64;
                assert!(begun <= 6 + micros * 30 / 1_000_000, "{begun} began within {micros} us");
            }
        }
        for daemon in daemons {
            daemon.stop();
        }
    }
}
