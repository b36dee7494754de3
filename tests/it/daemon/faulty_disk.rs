//! I/O errors of the SQLite file: a statement that fails leaves no connection inside a transaction. What the daemon says
//! is recorded can be read by others, who may write all the time, and nothing runs twice.

use std::collections::BTreeSet;

use nix::errno::Errno;
use sexton::{Client, NewTask};
use sexton_entities::states::Verdict;

use super::{completed, count, history};
use crate::support::{Daemon, Database, FaultyDisk, Kind, block_on, eventually, sexton};

/// Failures in each place of a transaction, as each so-many-th call fails.
async fn survives(error: Errno, rounds: &[usize]) {
    let mut database = Database::new(Kind::Sqlite).await;
    database.url = format!("sqlite://{}", database.folder.path().join("faulty.db").display());
    let store = database.store().await;
    let client = Client::new(store.clone());
    let marks = database.folder.path().join("marks");
    let settings = format!(
        "heartbeat = \"200ms\"\nlease = \"60s\"\n[task.nothing]\nkind = \"noop\"\n\
         [task.mark]\ncommand = [\"sh\", \"-c\", \"echo $SEXTON_TASK_ID >> {}\"]\n",
        marks.display()
    );
    let disk = FaultyDisk::new(database.folder.path());
    let config = database.config("n", &settings);
    let mut command = sexton(&config);
    disk.govern(command.arg("run"));
    let daemon = Daemon::start_command(command, &config);
    let mut accepted = 0;
    for every in rounds {
        disk.fail(error as i32, *every);
        let before = disk.failed();
        // Another process may write meanwhile: no lock is held.
        client.enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap();
        client.enqueue_all(vec![NewTask::new("mark"); 2]).await.unwrap();
        accepted += 22;
        eventually("several calls failed", async || disk.failed() >= before + 8).await;
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        accepted += 1;
        disk.heal();
        eventually("all is on record, for others as well", async || completed(&store).await == accepted).await;
    }
    let rows = history(&store).await;
    assert!(rows.iter().all(|row| row.verdict == Some(Verdict::Completed)), "{rows:#?}");
    assert_eq!(rows.len() as i64, accepted, "each is on record once");
    assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 0);
    let marks = std::fs::read_to_string(marks).unwrap();
    let ran: Vec<&str> = marks.lines().collect();
    assert_eq!(ran.len(), 2 * rounds.len(), "nothing ran twice: {ran:?}");
    assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), ran.len());
    let log = daemon.stop();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn io_errors_lose_nothing_and_hold_no_lock() {
    block_on(survives(Errno::EIO, &[2, 3, 5, 7, 11, 1]));
}

#[test]
fn a_lack_of_space_at_any_call_loses_nothing_and_holds_no_lock() {
    block_on(survives(Errno::ENOSPC, &[3, 1, 4, 6, 13]));
}
