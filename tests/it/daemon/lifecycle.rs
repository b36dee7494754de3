//! Start, stop, reload: what an operator does to the real process.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use sea_orm::{ConnectionTrait, EntityTrait as _};
use sexton::{Client, NewTask, store::Enqueued};
use sexton_entities::{
    output,
    states::{NodeState, Outcome, TaskState, Verdict},
};

use super::{completed, count, history, verdicts};
use crate::support::{Daemon, Database, Kind, Printed, block_on, eventually, on_each_database, sexton};

/// Tasks that note in a file that they have begun.
fn sleeper(database: &Database) -> String {
    let begun = begun(database);
    format!(
        "stop_timeout = \"30s\"\n[task.sleep]\ncommand = [\"sh\", \"-c\", \"echo > {0}; exec sleep 2\"]\n\
         [task.stubborn]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo > {0}; sleep 60\"]\nkill_after = \"300ms\"\n",
        begun.display()
    )
}

fn begun(database: &Database) -> PathBuf {
    database.folder.path().join("begun")
}

async fn enqueue(client: &Client, name: &str) -> i64 {
    match client.enqueue(NewTask::new(name)).await.unwrap() {
        Enqueued::New(id) | Enqueued::AlreadyThere(id) => id,
    }
}

async fn runs(database: &Database) {
    eventually("the task runs", async || begun(database).exists()).await;
}

on_each_database! {
    async fn a_plain_insert_is_executed_and_on_record(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", "[task.cleanup]\nkind = \"noop\"\nqueue = \"night\"");
        database.application().await.execute_unprepared("INSERT INTO sexton_task (name) VALUES ('cleanup')").await.unwrap();
        eventually("it is done", async || completed(&store).await == 1).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.queue.as_deref(), row.kind.as_deref()), (Some("night"), Some("noop")), "filed by its definition");
        assert!(row.node.unwrap().starts_with("n-"));
        daemon.stop();
    }

    async fn a_number_that_no_type_holds_reaches_the_command(database: Database) {
        let store = database.store().await;
        let application = database.application().await;
        let deep = "[".repeat(25);
        // MySQL checks that a number fits its own JSON type, and rounds none.
        let large = if database.kind == Kind::MySql { "1e300" } else { "1e400" };
        let payload = format!("{deep}{large}, 123456789012345678901234567890{}", deep.replace('[', "]"));
        let insert = format!("INSERT INTO sexton_task (name, payload) VALUES ('show', '{payload}')");
        application.execute_unprepared(&insert).await.unwrap();
        Client::new(store.clone()).enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap();
        let tasks = "[task.nothing]\nkind = \"noop\"\n[task.show]\ncommand = [\"cat\"]";
        let daemon = database.daemon("n", tasks);
        eventually("all are on record", async || completed(&store).await == 21).await;
        let output = output::Entity::find().one(&application).await.unwrap().unwrap();
        // PostgreSQL keeps the value, and writes all of its digits.
        let expected = match database.kind {
            Kind::Postgres => payload.replace("1e400", &format!("1{}", "0".repeat(400))),
            _ => payload,
        };
        assert_eq!(output.stdout, expected);
        let log = daemon.stop();
        assert!(!log.contains("fell"), "{log}");
    }

    async fn a_stop_lets_running_tasks_finish(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", &sleeper(&database));
        let client = Client::new(store.clone());
        let id = enqueue(&client, "sleep").await;
        runs(&database).await;
        daemon.stop();
        assert_eq!(verdicts(&store, id).await, [Some(Verdict::Completed)]);
        assert!(store.nodes().await.unwrap().is_empty(), "it has left");
    }

    async fn what_does_not_finish_in_time_is_released(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", &sleeper(&database).replace("30s", "200ms"));
        let client = Client::new(store.clone());
        let id = enqueue(&client, "stubborn").await;
        runs(&database).await;
        daemon.stop();
        assert_eq!(verdicts(&store, id).await, [Some(Verdict::Released)]);
        let task = store.task(id).await.unwrap().unwrap();
        assert_eq!((task.state, task.attempt, task.node), (TaskState::Available, 0, None), "the attempt does not count");
    }
}

async fn stopped_at_once_by(first: Signal, second: Option<Signal>) {
    let database = Database::new(Kind::Sqlite).await;
    let store = database.store().await;
    let mut daemon = database.daemon("n", &sleeper(&database));
    let client = Client::new(store.clone());
    let id = enqueue(&client, "stubborn").await;
    runs(&database).await;
    let begun = Instant::now();
    daemon.signal(first);
    if let Some(second) = second {
        daemon.wait_for_log("waiting up to");
        daemon.signal(second);
    }
    assert!(daemon.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(25), "it did not wait for the stop time-out");
    assert_eq!(verdicts(&store, id).await, [Some(Verdict::Released)]);
}

#[test]
fn a_second_term_ends_it_at_once() {
    block_on(stopped_at_once_by(Signal::SIGTERM, Some(Signal::SIGTERM)));
}

#[test]
fn quit_ends_it_at_once() {
    block_on(stopped_at_once_by(Signal::SIGQUIT, None));
}

#[test]
fn a_reload_takes_over_what_changed_and_refuses_mistakes() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let file = database.config("n", "[task.old]\nkind = \"noop\"\nschedule = { every = \"1h\" }");
        let daemon = Daemon::start(&file, &["run"]);
        eventually("the schedule is known", async || !store.schedules().await.unwrap().is_empty()).await;
        let before = std::fs::read_to_string(&file).unwrap();
        let new = format!(
            "{}\n[task.new]\nkind = \"noop\"\nqueue = \"more\"\n",
            before.replace("schedule = { every = \"1h\" }", "")
        );
        std::fs::write(&file, &new).unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_log("the configuration is reloaded: tasks added: new; tasks changed: old; schedules removed: old; queues added: more");
        eventually("the schedule is gone", async || store.schedules().await.unwrap().is_empty()).await;
        let client = Client::new(store.clone());
        enqueue(&client, "new").await;
        eventually("the new task is done in its new queue", async || completed(&store).await == 1).await;
        std::fs::write(&file, format!("{new}\n[task.broken]\nkind = \"nop\"\n")).unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_log("the old one stays in force");
        daemon.wait_for_log("there is no handler of kind `nop`");
        enqueue(&client, "new").await;
        eventually("the old configuration works on", async || completed(&store).await == 2).await;
        daemon.stop();
    });
}

#[test]
fn quiet_claims_nothing_until_it_is_told_to_go_on() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let daemon = database.daemon("n", "heartbeat = \"50ms\"\n[task.nothing]\nkind = \"noop\"");
        daemon.signal(Signal::SIGTSTP);
        eventually("the node says so", async || {
            store.nodes().await.unwrap().first().is_some_and(|node| node.state == NodeState::Quiet)
        })
        .await;
        enqueue(&Client::new(store.clone()), "nothing").await;
        daemon.signal(Signal::SIGUSR1);
        daemon.wait_for_log("0 running, 0 claimed");
        assert_eq!(completed(&store).await, 0);
        daemon.signal(Signal::SIGCONT);
        eventually("it is done", async || completed(&store).await == 1).await;
        daemon.stop();
    });
}

#[test]
fn once_does_what_is_due_and_ends() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let file = database.config("n", "[task.nothing]\nkind = \"noop\"");
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("nothing"); 3_000]).await.unwrap();
        client.enqueue(NewTask::new("nothing").delay(Duration::from_secs(3_600))).await.unwrap();
        let output = sexton(&file).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        assert_eq!(completed(&store).await, 3_000);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 1, "what is not due stays");
    });
}

#[test]
fn for_a_while_works_that_long_and_ends() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let file = database.config("n", "[task.nothing]\nkind = \"noop\"\nschedule = { every = \"100ms\" }");
        let begun = Instant::now();
        let output = sexton(&file).args(["run", "--for", "2s"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        assert!(begun.elapsed() >= Duration::from_secs(2));
        assert!(completed(&store).await > 0);
    });
}

#[test]
fn two_daemons_share_one_sqlite_file() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.nothing]\nkind = \"noop\"\n[task.pause]\ncommand = [\"sleep\", \"0.05\"]";
        let daemons = [database.daemon("a", settings), database.daemon("b", settings)];
        let store = database.bare_store();
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("pause"); 200]).await.unwrap();
        eventually("all is done", async || completed(&store).await == 200).await;
        assert_eq!(count(&store, "COUNT(DISTINCT node) FROM sexton_history").await, 2, "both had their share");
        for daemon in daemons {
            daemon.stop();
        }
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history").await, 200);
    });
}

#[test]
fn a_cancelled_task_is_stopped_by_its_node() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let daemon = database.daemon("n", &format!("heartbeat = \"100ms\"\n{}", sleeper(&database)));
        let client = Client::new(store.clone());
        let id = enqueue(&client, "stubborn").await;
        runs(&database).await;
        store.cancel(id).await.unwrap();
        eventually("it is on record", async || verdicts(&store, id).await == [Some(Verdict::Cancelled)]).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.signal), (Outcome::Cancelled, Some(9)));
        daemon.stop();
    });
}

#[test]
fn a_database_that_is_newer_is_refused() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let sql = "INSERT INTO sexton_migration (version, applied_at) VALUES ('m20991231_000001_wonders', 0)";
        store.connection().execute_unprepared(sql).await.unwrap();
        let output = sexton(&database.config("n", "")).arg("run").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("was migrated by a newer Sexton"), "{}", output.errors());
    });
}
