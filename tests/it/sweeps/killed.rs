//! `kill -9`: a round is entered once, although its attempt is made again.

use std::{os::unix::process::ExitStatusExt as _, path::Path};

use sexton::{NewTask, store::HistoryFilter};
use sexton_client::Client;
use sexton_entities::states::Outcome;

use super::{ended, execute, numbers, sweep, tasks, with_customers};
use crate::{
    daemon::count,
    support::{Daemon, eventually, on_each_database, sexton},
};

fn die_at(file: &Path, step: &str) {
    let mut command = sexton(file);
    command.arg("run").env("SEXTON_FAULT_POINT", step);
    let mut daemon = Daemon::spawn_command(command, file);
    assert_eq!(daemon.wait().signal(), Some(9), "killed at `{step}`:\n{}", daemon.log());
}

on_each_database! {
    async fn a_round_whose_end_is_not_recorded_is_not_entered_again(database: Database) {
        let store = with_customers(&database, 3).await;
        let file = database.config("n", &sweep(""));
        let id = Client::connect(&database.url).unwrap().enqueue(NewTask::new("old")).await.unwrap().id();
        let path = file.clone();
        tokio::task::spawn_blocking(move || die_at(&path, "attempts ended")).await.unwrap();
        assert_eq!(tasks(&store).await.len(), 3);
        // Without the record of the round, this row would become a second task.
        execute(&store, "DELETE FROM sexton_task WHERE unique_key = 'sweep:old:1'").await;
        let daemon = Daemon::start(&file, &["run"]);
        let row = ended(&store, id).await;
        assert_eq!((row.outcome, numbers(&row)), (Outcome::Succeeded, (3, 3, 0, 0, false)));
        assert_eq!(tasks(&store).await.len(), 2);
        daemon.stop();
    }

    async fn a_round_that_was_claimed_only_is_entered(database: Database) {
        let store = with_customers(&database, 3).await;
        let file = database.config("n", &sweep(""));
        let id = Client::connect(&database.url).unwrap().enqueue(NewTask::new("old")).await.unwrap().id();
        let path = file.clone();
        tokio::task::spawn_blocking(move || die_at(&path, "tasks claimed")).await.unwrap();
        assert!(tasks(&store).await.is_empty());
        let daemon = Daemon::start(&file, &["run"]);
        assert_eq!(numbers(&ended(&store, id).await), (3, 3, 0, 0, false));
        daemon.stop();
    }

    async fn of_many_rounds_on_two_nodes_beside_one_that_dies_each_row_is_entered_once(database: Database) {
        let store = with_customers(&database, 40).await;
        Client::connect(&database.url).unwrap().enqueue_all(vec![NewTask::new("old"); 12]).await.unwrap();
        let doomed = database.config("doomed", &sweep(""));
        tokio::task::spawn_blocking(move || die_at(&doomed, "attempts ended")).await.unwrap();
        let daemons = [database.daemon("a", &sweep("")), database.daemon("b", &sweep(""))];
        let left = "COUNT(*) FROM sexton_task WHERE name = 'old'";
        eventually("all rounds have ended", async || count(&store, left).await == 0).await;
        let filter = HistoryFilter { name: Some("old".to_owned()), limit: 100, ..HistoryFilter::default() };
        let rounds = store.history(&filter).await.unwrap();
        let whole: Vec<_> = rounds.iter().filter(|row| row.outcome == Outcome::Succeeded).map(numbers).collect();
        assert_eq!((whole.len(), whole.iter().map(|round| round.1).sum::<u64>(), tasks(&store).await.len()), (12, 40, 40));
        for daemon in daemons {
            daemon.stop();
        }
    }
}
