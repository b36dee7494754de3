//! A machine that cannot start commands for a while: their tasks are given back, and done later.

use std::{fs, path::Path};

use sexton::{
    Client, NewTask,
    domain::{
        command::CommandSpec,
        task::definition::{COMMAND, TaskDefinition},
    },
};
use sexton_entities::states::{Outcome, TaskState};

use super::{Stand, attempts_on_disk, outcome_of};
use crate::support::{Daemon, Database, Inside, Kind, Mounted, Printed as _, block_on, blueprint, eventually, sexton};

const TASKS: usize = 40;

fn status(config: &Path) -> String {
    sexton(config).arg("status").output().unwrap().text()
}

/// Enqueues many tasks, waits until the node says why it gives them back, ends the trouble, and waits until all are
/// done. Nothing but their success is on record.
async fn given_back_and_done(stand: &mut Stand, told: &str, end_trouble: impl AsyncFnOnce()) {
    let daemon = stand.daemon.as_ref().unwrap();
    let client = Client::new(stand.store.clone());
    client.enqueue_all(vec![NewTask::new("it"); TASKS]).await.unwrap();
    let line = "cannot be started for ";
    eventually("the status says it", async || {
        let status = status(&stand.config);
        status.contains(line) && status.contains(told)
    })
    .await;
    daemon.wait_for_log("this node cannot start commands: ");
    eventually("all wait again", async || {
        let tasks = stand.store.tasks(&sexton::store::TaskFilter { limit: 100, ..Default::default() }).await.unwrap();
        tasks.len() == TASKS && tasks.iter().all(|task| (task.state, task.attempt) == (TaskState::Available, 0))
    })
    .await;
    assert!(crate::daemon::history(&stand.store).await.is_empty(), "nothing is on record");
    assert_eq!(attempts_on_disk(stand), 0, "nothing is left of attempts that did not begin");
    end_trouble().await;
    eventually("all are done", async || crate::daemon::completed(&stand.store).await == TASKS as i64).await;
    let rows = crate::daemon::history(&stand.store).await;
    assert_eq!(rows.len(), TASKS);
    assert!(rows.iter().all(|row| (row.outcome, row.attempt) == (Outcome::Succeeded, 1)), "{rows:?}");
    daemon.wait_for_log("this node can start commands again");
    assert!(!status(&stand.config).contains(line));
    let log = stand.stop();
    assert!(log.matches("this node cannot start commands: ").count() == 1, "{log}");
}

#[test]
fn a_full_disk_empties_no_queue() {
    assert!(nix::unistd::geteuid().is_root(), "this test mounts a small file system, and needs root for it");
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let run_dir = database.folder.path().join("run");
        let settings = format!("run_dir = \"{}\"\n[task.it]\ncommand = [\"true\"]", run_dir.display());
        let config = database.config("n", &settings);
        let state = database.folder.path().join("n/state");
        fs::create_dir(&state).unwrap();
        let _mounted = Mounted::new(&state, "tmpfs", "size=1m,mode=700");
        let daemon = Daemon::start(&config, &["run"]);
        let mut stand = Stand { database, store, config, daemon: Some(daemon) };
        let filler = fs::File::create(state.join("filler")).unwrap();
        while std::io::Write::write(&mut &filler, &[0; 512]).is_ok_and(|count| count > 0) {}
        drop(filler);
        given_back_and_done(&mut stand, "No space left on device", async || {
            fs::remove_file(state.join("filler")).unwrap();
        })
        .await;
        let files = fs::read_dir(state.join("attempts")).unwrap().flatten();
        let left: Vec<_> = files.flat_map(|node| fs::read_dir(node.path()).unwrap().flatten()).collect();
        assert!(left.iter().all(|entry| entry.file_name() == "lock"), "{left:?}");
    });
}

#[test]
fn a_missing_shepherd_empties_no_queue() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let mut blueprint = blueprint(&database);
        let program = database.folder.path().join("shepherds");
        blueprint.program.clone_from(&program);
        let mut it = TaskDefinition::new("it", COMMAND);
        it.command = Some(CommandSpec::new(vec!["true".to_owned()]));
        blueprint.config.tasks.insert("it".to_owned(), it.into());
        let inside = Inside::start(blueprint);
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("it"); TASKS]).await.unwrap();
        let trouble = || inside.daemon.starts.trouble();
        eventually("the node knows why", async || {
            trouble().is_some_and(|trouble| trouble.reason.contains("No such file") && trouble.given_back > 0)
        })
        .await;
        // What needs no shepherd is done meanwhile.
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("the rest is done", async || crate::daemon::completed(&store).await == 1).await;
        assert!(trouble().is_some());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sexton"), &program).unwrap();
        eventually("all are done", async || crate::daemon::completed(&store).await == TASKS as i64 + 1).await;
        assert_eq!((crate::daemon::history(&store).await.len(), trouble()), (TASKS + 1, None));
        assert_eq!(inside.stop(), 0);
    });
}

#[test]
fn a_shortage_of_descriptors_empties_no_queue() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let config = database.config("n", "[task.it]\ncommand = [\"true\"]");
        let daemon = Daemon::start(&config, &["run"]);
        let mut stand = Stand { database, store, config, daemon: Some(daemon) };
        let id = stand.enqueue(NewTask::new("it")).await;
        stand.finished(id).await;
        let clear = "DELETE FROM sexton_history";
        sea_orm::ConnectionTrait::execute_unprepared(stand.store.connection(), clear).await.unwrap();
        let server = fork_server(stand.daemon.as_ref().unwrap().pid());
        let limit = |open: &str| {
            let limit = format!("--nofile={open}:");
            let status = std::process::Command::new("prlimit").args(["--pid", &server.to_string(), &limit]).status();
            assert!(status.unwrap().success());
        };
        // Enough for what it has open, and not for one more shepherd.
        limit("6");
        given_back_and_done(&mut stand, "Too many open files", async || limit("1024")).await;
    });
}

/// The fork server of a daemon.
fn fork_server(daemon: i32) -> i32 {
    let threads = fs::read_dir(format!("/proc/{daemon}/task")).unwrap().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> = children
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>())
        .collect();
    let is_server =
        |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sexton: shepherds"));
    pids.into_iter().find(is_server).unwrap()
}

#[test]
fn a_program_that_is_not_there_is_a_failure_of_its_task() {
    block_on(async {
        let (row, _) = outcome_of("command = [\"/no/such/program\"]", None).await;
        assert_eq!(row.outcome, Outcome::Failed);
        // Its own limit, and not the machine's.
        let (row, _) = outcome_of("command = [\"true\"]\n[task.it.limits]\nmemory = \"64KiB\"", None).await;
        assert!(row.verdict == Some(sexton_entities::states::Verdict::Discarded), "{row:?}");
    });
}
