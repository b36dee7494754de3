//! The wall clock of a machine is set, or the machine sleeps, or it is off for hours: the whole binary, on SQLite, whose time
//! is the machine's, and on servers whose own clocks are set.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::Signal;
use sexton::store::{HistoryFilter, Store, TaskFilter};
use sexton_entities::states::{Fate, TaskState, Verdict};

use super::history;
use crate::support::{Daemon, Database, Kind, Printed as _, WallClock, block_on, eventually, sexton};

/// A day without a change of any clock.
fn at(time: &str) -> DateTime<Utc> {
    format!("2026-06-10T{time}Z").parse().unwrap()
}

/// Each recurs at full hours, and has a policy of its own. `tick` keeps the module awake; `long` runs from the start on. A
/// clock that is set forward ends the lease: nothing is claimed until the next heartbeat.
const SETTINGS: &str = "timezone = \"UTC\"
heartbeat = \"1s\"
[supervisor]
ping_interval = \"200ms\"
hang_timeout = \"2s\"
[task.tick]
kind = \"noop\"
schedule = { every = \"500ms\" }
[task.long]
command = [\"sleep\", \"4\"]
schedule = \"@reboot\"
[task.skip]
kind = \"noop\"
schedule = \"0 * * * *\"
missed = \"skip\"
[task.last]
kind = \"noop\"
schedule = \"0 * * * *\"
[task.all]
kind = \"noop\"
schedule = \"0 * * * *\"
missed = \"all\"
[task.max]
kind = \"noop\"
schedule = \"0 * * * *\"
missed = \"all\"
missed_max = 2
[task.young]
kind = \"noop\"
schedule = \"0 * * * *\"
missed = \"all\"
missed_age = \"1h\"
[task.inside]
kind = \"noop\"
schedule = \"0 * * * *\"
run_missed_between = \"13:00-14:00\"
[task.outside]
kind = \"noop\"
schedule = \"0 * * * *\"
run_missed_between = \"01:00-05:00\"
";

use Fate::{Coalesced, Fired, Late, Skipped};

/// What becomes of 11:00, 12:00 and 13:00 when it is 13:30.
const FATES: [(&str, [Fate; 3]); 7] = [
    ("skip", [Skipped; 3]),
    ("last", [Coalesced, Coalesced, Late]),
    ("all", [Late; 3]),
    ("max", [Skipped, Late, Late]),
    ("young", [Skipped, Skipped, Late]),
    ("inside", [Coalesced, Coalesced, Late]),
    ("outside", [Skipped; 3]),
];

/// A schedule's ledger, the oldest first.
async fn ledger(store: &Store, name: &str) -> Vec<(DateTime<Utc>, Fate)> {
    let rows = store.occurrences(name, 100_000).await.unwrap();
    rows.iter().rev().map(|entry| (entry.due_at, entry.fate)).collect()
}

/// The instants of a schedule whose task was completed, each as often as it was.
async fn runs(store: &Store, name: &str) -> Vec<DateTime<Utc>> {
    let completed = history(store).await.into_iter().filter(|row| row.verdict == Some(Verdict::Completed));
    let mut runs: Vec<_> = completed.filter(|row| row.name == name).filter_map(|row| row.due_at).collect();
    runs.sort();
    runs
}

async fn ticks_after(store: &Store, at: DateTime<Utc>) -> bool {
    runs(store, "tick").await.iter().any(|tick| *tick > at)
}

/// Waits until the three hours have been dealt with as the policies say and no task is left, and looks at each instant.
async fn three_hours_were_dealt_with(store: &Store) {
    eventually("it ticks on", async || ticks_after(store, at("13:30:00")).await).await;
    for (name, fates) in FATES {
        let hours = ["11:00:00", "12:00:00", "13:00:00"].map(at);
        let expected: Vec<_> = hours.into_iter().zip(fates).collect();
        eventually(&format!("{name} was dealt with"), async || ledger(store, name).await.len() >= 3).await;
        assert_eq!(ledger(store, name).await, expected, "{name}");
        let due: Vec<_> = expected.iter().filter(|(_, fate)| *fate == Late).map(|(at, _)| *at).collect();
        eventually(&format!("{name} has run"), async || runs(store, name).await.len() >= due.len()).await;
    }
    eventually("nothing is left", async || {
        let left = store.tasks(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).await.unwrap();
        left.iter().all(|task| task.name == "tick")
    })
    .await;
    for (name, _) in FATES {
        let late = ledger(store, name).await.into_iter().filter(|(_, fate)| *fate == Late);
        assert_eq!(runs(store, name).await, late.map(|(at, _)| at).collect::<Vec<_>>(), "{name} ran once for each");
    }
    nothing_ran_twice(store).await;
}

async fn nothing_ran_twice(store: &Store) {
    let ticks = runs(store, "tick").await;
    let mut once = ticks.clone();
    once.dedup();
    assert_eq!(ticks, once, "no instant twice");
}

/// Waits until the command that began at the start of the daemon runs.
async fn is_busy(store: &Store) {
    eventually("the long command runs", async || {
        let tasks = store.tasks(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).await.unwrap();
        tasks.iter().any(|task| task.name == "long" && task.state == TaskState::Running)
    })
    .await;
}

/// The command that ran meanwhile came to its own end, at the first attempt.
async fn the_long_command_was_left_alone(store: &Store) {
    let filter = HistoryFilter { name: Some("long".to_owned()), limit: 10, ..HistoryFilter::default() };
    eventually("the long command has ended", async || !store.history(&filter).await.unwrap().is_empty()).await;
    let ends = store.history(&filter).await.unwrap();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    assert_eq!(ends[0].verdict, Some(Verdict::Completed), "{ends:#?}");
    assert!(ends[0].duration_ms.unwrap() < 3_600_000, "the hours of the clock are no part of it: {ends:#?}");
}

/// No module fell, and none was taken for dead.
fn no_module_fell(daemon: &Daemon) {
    let log = daemon.log();
    assert!(!log.contains("failed (") && !log.contains("other nodes removed this one"), "{log}");
}

/// A daemon at work, on a clock that shows half past ten.
async fn ticking(database: &Database) -> (Store, WallClock, Daemon) {
    let store = database.store().await;
    let clock = WallClock::new(database.folder.path(), at("10:30:00"));
    let daemon = Daemon::start_on(&clock, &database.config("n", SETTINGS));
    eventually("it ticks", async || !runs(&store, "tick").await.is_empty()).await;
    (store, clock, daemon)
}

#[test]
fn a_wall_clock_set_forward_by_hours_is_a_matter_of_the_policies() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (store, clock, daemon) = ticking(&database).await;
        is_busy(&store).await;
        clock.set(at("13:30:00"));
        three_hours_were_dealt_with(&store).await;
        the_long_command_was_left_alone(&store).await;
        no_module_fell(&daemon);
        daemon.stop();
    });
}

#[test]
fn a_sleep_of_hours_is_a_matter_of_the_policies_and_no_module_falls() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (store, clock, daemon) = ticking(&database).await;
        is_busy(&store).await;
        daemon.signal(Signal::SIGSTOP);
        clock.set(at("13:30:00"));
        // Longer than the supervisor's patience with a module that gives no sign of life.
        let asleep = Instant::now();
        eventually("it has slept", async || asleep.elapsed() > Duration::from_secs(4)).await;
        daemon.signal(Signal::SIGCONT);
        three_hours_were_dealt_with(&store).await;
        the_long_command_was_left_alone(&store).await;
        no_module_fell(&daemon);
        daemon.stop();
    });
}

#[test]
fn a_downtime_of_hours_is_a_matter_of_the_policies() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (store, clock, daemon) = ticking(&database).await;
        daemon.stop();
        clock.set(at("13:30:00"));
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start_on(&clock, &file);
        three_hours_were_dealt_with(&store).await;
        let arguments = ["schedule", "why", "last", "--at", "2026-06-10T11:00:00Z", "--json"];
        let coalesced = sexton(&file).args(arguments).output().unwrap().json();
        assert_eq!((coalesced["fate"].as_str(), coalesced["expected"].as_bool()), (Some("coalesced"), Some(true)));
        let sentence = coalesced["why"].as_str().unwrap();
        assert!(sentence.contains("coalesced into the run of 2026-06-10T13:00:00"), "{sentence}");
        no_module_fell(&daemon);
        daemon.stop();
    });
}

/// The machine of the daemon has another time all along.
async fn a_server_is_set_forward_and_back(kind: Kind) {
    let (database, _server, clock) = Database::with_clock(kind, at("10:30:00")).await;
    let store = database.store().await;
    let file = database.config("n", SETTINGS);
    let daemon = Daemon::start(&file, &["run"]);
    eventually("it ticks", async || !runs(&store, "tick").await.is_empty()).await;
    is_busy(&store).await;
    clock.set(at("13:30:00"));
    three_hours_were_dealt_with(&store).await;
    the_long_command_was_left_alone(&store).await;
    let latest = clock.now();
    clock.set(at("12:59:59"));
    look_again(&file, 1).await;
    clock.set(latest + TimeDelta::seconds(10));
    eventually("it ticks on", async || ticks_after(&store, latest + TimeDelta::seconds(10)).await).await;
    nothing_ran_twice(&store).await;
    for (name, fates) in FATES {
        let found: Vec<_> = ledger(&store, name).await.into_iter().map(|(_, fate)| fate).collect();
        assert_eq!(found, fates, "{name}");
    }
    no_module_fell(&daemon);
    daemon.stop();
}

#[test]
fn a_clock_of_postgres_set_by_hours_is_a_matter_of_the_policies() {
    block_on(a_server_is_set_forward_and_back(Kind::Postgres));
}

#[test]
fn a_clock_of_mariadb_set_by_hours_is_a_matter_of_the_policies() {
    block_on(a_server_is_set_forward_and_back(Kind::MariaDb));
}

#[test]
fn a_clock_of_mysql_set_by_hours_is_a_matter_of_the_policies() {
    block_on(a_server_is_set_forward_and_back(Kind::MySql));
}

#[test]
fn a_wall_clock_set_back_by_hours_fires_nothing_twice() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let clock = WallClock::new(database.folder.path(), at("10:30:00"));
        let settings = "timezone = \"UTC\"\nheartbeat = \"1s\"\n[task.tick]\nkind = \"noop\"\nschedule = { every = \"500ms\" }\n\
            [task.hour]\nkind = \"noop\"\nschedule = \"0 * * * *\"\n[task.begin]\nkind = \"noop\"\nschedule = \"@reboot\"";
        let file = database.config("n", settings);
        let daemon = Daemon::start_on(&clock, &file);
        eventually("it ticks", async || !runs(&store, "tick").await.is_empty()).await;
        clock.set(at("11:00:01"));
        eventually("the hour has run", async || runs(&store, "hour").await.len() == 1).await;
        let latest = clock.now();

        // Hours that have been lived through come again, for this daemon, and for one that starts meanwhile.
        for (restarts, time) in [(1, "09:30:00"), (2, "10:00:01"), (3, "10:59:59")] {
            clock.set(at(time));
            look_again(&file, restarts).await;
        }
        daemon.stop();
        clock.set(at("09:59:59"));
        let daemon = Daemon::start_on(&clock, &file);
        eventually("what comes at each start has come", async || runs(&store, "begin").await.len() == 2).await;
        look_again(&file, 1).await;

        clock.set(latest + TimeDelta::seconds(20));
        eventually("it ticks on", async || ticks_after(&store, latest + TimeDelta::seconds(20)).await).await;
        clock.set(at("12:00:01"));
        eventually("the next hour has run", async || runs(&store, "hour").await.len() >= 2).await;
        assert_eq!(ledger(&store, "hour").await, [(at("11:00:00"), Fired), (at("12:00:00"), Fired)]);
        assert_eq!(runs(&store, "hour").await, [at("11:00:00"), at("12:00:00")]);
        nothing_ran_twice(&store).await;
        let ticks = ledger(&store, "tick").await;
        assert!(ticks.iter().all(|(tick, _)| *tick > at("10:29:59")), "{ticks:?}");
        no_module_fell(&daemon);
        daemon.stop();
    });
}

/// Lets the schedules be looked at, by a fresh module.
async fn look_again(file: &std::path::Path, restarts: u64) {
    let call = |arguments: &[&str]| sexton(file).args(arguments).output().unwrap();
    assert!(call(&["module", "restart", "cron"]).status.success());
    eventually("a fresh module has looked", async || {
        let modules = call(&["module", "list", "--json"]).json();
        let cron = modules.as_array().into_iter().flatten().find(|module| module["name"] == "cron").cloned();
        cron.is_some_and(|cron| cron["recycled"] == restarts && cron["rounds"].as_u64() > Some(0))
    })
    .await;
}
