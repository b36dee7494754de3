//! What should have happened and has not: schedules without a success, pauses that end, runs that take long.

use std::path::Path;

use nix::sys::signal::Signal;
use sexton::store::{AuditFilter, ProblemFilter, Store};
use sexton_entities::{
    problem,
    states::{AuditAction, ProblemKind, ProblemState, Via},
};

use super::completed;
use crate::support::{Daemon, Database, Printed as _, eventually, on_each_database, sexton};

const OFTEN: &str = "stop_timeout = \"1s\"\nlease = \"2s\"\nheartbeat = \"500ms\"\n[module.observer]\ninterval = \"200ms\"\n\
                     [module.notifier]\ninterval = \"200ms\"\n";
const BEAT: &str = "[task.beat]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n";

async fn problem(store: &Store, kind: ProblemKind) -> Option<problem::Model> {
    let filter = ProblemFilter { with_closed: true, kind: Some(kind), limit: 9, ..ProblemFilter::default() };
    let mut found = store.problems(&filter).await.unwrap();
    assert!(found.len() < 2, "one problem: {found:?}");
    found.pop()
}

async fn state(store: &Store) -> Option<ProblemState> {
    problem(store, ProblemKind::Overdue).await.map(|row| row.state)
}

/// What the program prints.
async fn printed(file: &Path, arguments: &[&str]) -> String {
    let mut command = sexton(file);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap().text()).await.unwrap()
}

fn reload(daemon: &Daemon, database: &Database, settings: &str) {
    database.config("n", settings);
    daemon.signal(Signal::SIGHUP);
}

on_each_database! {
    async fn another_node_tells_that_a_schedule_is_overdue(database: Database) {
        let store = database.store().await;
        let other = database.daemon("other", OFTEN);
        let file = database.config("one", &format!("{OFTEN}{BEAT}expect = {{ grace = \"5s\" }}\n"));
        let mut one = Daemon::start(&file, &["run"]);
        let is_expected = async || store.schedule("beat").await.unwrap().is_some_and(|row| row.expected_by.is_some() && row.succeeded_at.is_some());
        eventually("a success is expected", is_expected).await;
        assert_eq!(state(&store).await, None);
        one.kill();
        eventually("the other node tells it", async || state(&store).await == Some(ProblemState::Open)).await;
        let row = problem(&store, ProblemKind::Overdue).await.unwrap();
        assert_eq!((&*row.name, row.task.as_deref(), row.schedule.as_deref(), row.times), ("beat", Some("beat"), Some("beat"), 1));
        assert!(row.what.starts_with("no run has succeeded since ") && row.what.contains("; a success was expected by "), "{}", row.what);
        let list = printed(&file, &["schedule", "list"]).await;
        assert!(list.contains("overdue"), "{list}");
        let show = printed(&file, &["schedule", "show", "beat"]).await;
        assert!(show.contains("a success is expected within 5s of each instant: the latest was at "), "{show}");
        let check = printed(&file, &["check", "--schedule", "beat"]).await;
        assert!(check.starts_with("SEXTON CRITICAL - ") && check.contains("beat (a success was expected by "), "{check}");
        // A schedule whose instants pass, and of which a success is expected, is late once.
        let sql = "UPDATE sexton_schedule SET next_at = '2026-01-01 00:00:00'";
        sea_orm::ConnectionTrait::execute_unprepared(store.connection(), sql).await.unwrap();
        let check = printed(&file, &["check", "--schedule", "beat"]).await;
        assert!(check.contains("1 schedule overdue: beat for ") && check.contains(" overdue=1;"), "{check}");
        let again = Daemon::start(&file, &["run"]);
        eventually("the next success ends it", async || state(&store).await == Some(ProblemState::Closed)).await;
        again.stop();
        other.stop();
    }

    async fn a_node_that_was_down_tells_it_at_its_start(database: Database) {
        let store = database.store().await;
        let file = database.config("n", &format!("{OFTEN}{BEAT}expect = {{ every = \"3s\" }}\n"));
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it succeeds", async || store.schedule("beat").await.unwrap().is_some_and(|row| row.succeeded_at.is_some())).await;
        daemon.stop();
        assert_eq!(state(&store).await, None);
        let is_over = async || {
            let row = store.schedule("beat").await.unwrap().unwrap();
            store.now().await.unwrap() > row.expected_by.unwrap() + chrono::TimeDelta::seconds(2)
        };
        eventually("the time is over", is_over).await;
        let daemon = Daemon::start(&file, &["run"]);
        // Its first run may succeed before it looks: it tells that, too.
        eventually("it was told, and is over", async || state(&store).await == Some(ProblemState::Closed)).await;
        let row = problem(&store, ProblemKind::Overdue).await.unwrap();
        assert_eq!((row.times, row.episode), (1, 1), "{row:?}");
        daemon.stop();
    }

    async fn what_is_not_expected_any_more_is_no_problem(database: Database) {
        let store = database.store().await;
        let failing = format!("{OFTEN}[task.beat]\ncommand = [\"false\"]\nschedule = {{ every = \"1s\" }}\n");
        let file = database.config("n", &format!("{failing}expect = {{ every = \"1s\" }}\n"));
        let daemon = Daemon::start(&file, &["run"]);
        let is = async |wanted: ProblemState| eventually("the problem changes", async || state(&store).await == Some(wanted)).await;
        is(ProblemState::Open).await;
        let what = problem(&store, ProblemKind::Overdue).await.unwrap().what;
        assert!(what.starts_with("no run has succeeded yet; a success was expected by "), "{what}");
        reload(&daemon, &database, &failing);
        is(ProblemState::Closed).await;
        reload(&daemon, &database, &format!("{failing}expect = {{ every = \"1s\" }}\n"));
        is(ProblemState::Open).await;
        reload(&daemon, &database, &format!("{failing}expect = {{ every = \"9h\" }}\n"));
        is(ProblemState::Closed).await;
        reload(&daemon, &database, &format!("{failing}expect = {{ grace = \"1s\" }}\n"));
        is(ProblemState::Open).await;
        reload(&daemon, &database, OFTEN);
        is(ProblemState::Closed).await;
        eventually("it is removed", async || store.schedule("beat").await.unwrap().is_none()).await;
        // What a configuration has lost while its daemon was down is not expected either.
        reload(&daemon, &database, &format!("{failing}expect = {{ every = \"1s\" }}\n"));
        is(ProblemState::Open).await;
        daemon.stop();
        database.config("n", OFTEN);
        let daemon = Daemon::start(&file, &["run"]);
        is(ProblemState::Closed).await;
        eventually("it is removed", async || store.schedule("beat").await.unwrap().is_none()).await;
        daemon.stop();
    }

    async fn a_pause_with_an_end_ends_by_itself(database: Database) {
        let store = database.store().await;
        let file = database.config("n", &format!("{OFTEN}{BEAT}expect = {{ grace = \"4s\" }}\n"));
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it succeeds", async || completed(&store).await > 0).await;
        let answer = printed(&file, &["schedule", "pause", "beat", "--for", "8s", "--reason", "a test"]).await;
        assert!(answer.starts_with("schedule beat is paused since ") && answer.contains(" until ") && answer.contains(": a test"), "{answer}");
        daemon.stop();
        let daemon = Daemon::start(&file, &["run"]);
        let row = store.schedule("beat").await.unwrap().unwrap();
        assert!(row.paused && row.paused_until.is_some(), "{row:?}");
        let until = row.paused_until.unwrap();
        eventually("it is resumed", async || !store.schedule("beat").await.unwrap().unwrap().paused).await;
        assert!(store.now().await.unwrap() >= until);
        let before = completed(&store).await;
        eventually("it runs again", async || completed(&store).await > before).await;
        assert_eq!(state(&store).await, None, "nothing was expected during the pause");
        let deeds = store.deeds(&AuditFilter { action: Some(AuditAction::Resume), limit: 9, ..AuditFilter::default() }).await.unwrap();
        assert_eq!(deeds.len(), 1);
        assert_eq!((deeds[0].name.as_deref(), deeds[0].via), (Some("beat"), Via::Daemon));
        // A pause without an end does not excuse.
        printed(&file, &["schedule", "pause", "beat"]).await;
        eventually("it is overdue", async || state(&store).await == Some(ProblemState::Open)).await;
        let what = problem(&store, ProblemKind::Overdue).await.unwrap().what;
        assert!(what.ends_with(", and the schedule is paused"), "{what}");
        printed(&file, &["schedule", "resume", "beat"]).await;
        eventually("it has succeeded", async || state(&store).await == Some(ProblemState::Closed)).await;
        daemon.stop();
    }

    async fn a_run_that_takes_long_is_a_problem_while_it_runs(database: Database) {
        let store = database.store().await;
        let settings = format!("{OFTEN}[task.import]\ncommand = [\"sh\", \"-c\", \"sleep $(cat)\"]\non_daemon_stop = \"keep\"\nwarn_after = \"5s\"\n");
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let add = async |payload: &str| printed(&file, &["task", "add", "import", "--payload", payload]).await;
        let is = async || problem(&store, ProblemKind::LongRun).await.map(|row| row.state);
        add("0").await;
        eventually("the quick one is done", async || completed(&store).await == 1).await;
        assert_eq!(is().await, None);
        add("600").await;
        eventually("the long one is a problem", async || is().await == Some(ProblemState::Open)).await;
        let row = problem(&store, ProblemKind::LongRun).await.unwrap();
        assert!(row.what.starts_with("task ") && row.what.ends_with(", longer than 5s"), "{}", row.what);
        assert_eq!((&*row.name, row.times), ("import", 1));
        let id = row.task_id.unwrap().to_string();
        let show = printed(&file, &["task", "show", &id]).await;
        assert!(show.contains("it takes long: warn_after is 5s"), "{show}");
        // A quick run beside it does not end the problem, and a restart does not count it twice.
        add("0").await;
        eventually("the quick one is done", async || completed(&store).await == 2).await;
        daemon.stop();
        let daemon = Daemon::start(&file, &["run"]);
        let rounds = async || problem(&store, ProblemKind::LongRun).await.unwrap();
        daemon.wait_for_log(&format!("problem {}", row.id));
        assert_eq!((rounds().await.state, rounds().await.times), (ProblemState::Open, 1));
        printed(&file, &["task", "cancel", &id]).await;
        eventually("it is cancelled", async || store.task(row.task_id.unwrap()).await.unwrap().is_none()).await;
        add("0").await;
        eventually("it is over", async || is().await == Some(ProblemState::Closed)).await;
        daemon.stop();
    }
}
