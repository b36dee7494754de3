//! Nodes whose machines have wrong clocks, on databases that are servers: the whole binary. The time is the server's.

use chrono::{DateTime, TimeDelta, Utc};
use sexton::clock::{machine_time, uptime};
use sexton_entities::states::Fate;

use super::{completed, history};
use crate::support::{Daemon, Database, Inside, Kind, WallClock, block_on, blueprint, change_modules, eventually};

const SETTINGS: &str = "heartbeat = \"1s\"\n[task.tick]\nkind = \"noop\"\nschedule = { every = \"200ms\" }";
/// The clocks of a node and of the server are never the same to the microsecond, and hours are what this is about.
const ACCURACY: TimeDelta = TimeDelta::minutes(1);

/// Nodes whose clocks are so many hours wrong, and then as many to the other side.
async fn the_time_is_the_servers(kind: Kind, wrong: &[i64]) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let begin = store.now().await.unwrap();
    let shown = |hours: i64| machine_time() + TimeDelta::hours(hours);
    let clocks: Vec<WallClock> =
        wrong.iter().map(|hours| WallClock::new(database.folder.path(), shown(*hours))).collect();
    let daemons: Vec<Daemon> = clocks
        .iter()
        .enumerate()
        .map(|(number, clock)| Daemon::start_on(clock, &database.config(&format!("n{number}"), SETTINGS)))
        .collect();
    eventually("it ticks", async || completed(&store).await >= 15).await;
    for (clock, hours) in clocks.iter().zip(wrong) {
        clock.set(shown(-hours));
    }
    let known = completed(&store).await;
    eventually("it ticks on", async || completed(&store).await >= known + 15).await;
    for daemon in daemons {
        daemon.stop();
    }
    let end = store.now().await.unwrap();

    let ledger = store.occurrences("tick", 100_000).await.unwrap();
    for entry in &ledger {
        assert!(entry.due_at > begin && entry.due_at < entry.entered_at + ACCURACY, "before its time: {entry:?}");
        assert!(matches!(entry.fate, Fate::Fired | Fate::Late), "{entry:?}");
    }
    let gaps = ledger.windows(2).filter(|pair| (pair[0].due_at - pair[1].due_at).num_milliseconds() != 200).count();
    assert_eq!(gaps, 0, "no instant is missing from the ledger");
    let rows = history(&store).await;
    let mut ran: Vec<DateTime<Utc>> = rows.iter().map(|row| row.due_at.unwrap()).collect();
    ran.sort();
    let all = ran.len();
    ran.dedup();
    assert_eq!(ran.len(), all, "no instant twice");
    for row in rows {
        let (started, finished) = (row.started_at.unwrap(), row.finished_at);
        assert!(begin - ACCURACY < started && started <= finished && finished < end + ACCURACY, "{row:?}");
    }
}

#[test]
fn a_node_with_a_wrong_clock_fires_by_the_time_of_postgres() {
    block_on(the_time_is_the_servers(Kind::Postgres, &[5]));
}

#[test]
fn a_node_with_a_wrong_clock_fires_by_the_time_of_mariadb() {
    block_on(the_time_is_the_servers(Kind::MariaDb, &[5]));
}

#[test]
fn a_node_with_a_wrong_clock_fires_by_the_time_of_mysql() {
    block_on(the_time_is_the_servers(Kind::MySql, &[5]));
}

#[test]
fn nodes_with_different_clocks_fire_each_instant_once_on_postgres() {
    block_on(the_time_is_the_servers(Kind::Postgres, &[0, -7, 3]));
}

#[test]
fn nodes_with_different_clocks_fire_each_instant_once_on_mariadb() {
    block_on(the_time_is_the_servers(Kind::MariaDb, &[0, -7, 3]));
}

#[test]
fn nodes_with_different_clocks_fire_each_instant_once_on_mysql() {
    block_on(the_time_is_the_servers(Kind::MySql, &[0, -7, 3]));
}

/// Nobody looks at a schedule by a clock that is still wrong, however late the module comes that corrects it later on.
async fn the_time_is_known_at_once(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let mut blueprint = blueprint(&database);
    blueprint.clock.correct(machine_time() + TimeDelta::hours(5), uptime(), uptime());
    change_modules(&mut blueprint, |mut modules| {
        modules.retain(|module| module.name != "node");
        modules
    });
    let inside = Inside::start(blueprint);
    let has_looked = async || inside.daemon.modules.get("cron").is_some_and(|cron| cron.rounds > 0);
    eventually("the schedules were looked at", has_looked).await;
    let (shown, time) = (inside.daemon.clock.now(), store.now().await.unwrap());
    assert!((shown - time).abs() < TimeDelta::hours(1), "{shown}, and it is {time}");
    inside.stop();
}

#[test]
fn the_time_of_postgres_is_known_before_a_schedule_is_looked_at() {
    block_on(the_time_is_known_at_once(Kind::Postgres));
}

#[test]
fn the_time_of_mariadb_is_known_before_a_schedule_is_looked_at() {
    block_on(the_time_is_known_at_once(Kind::MariaDb));
}

#[test]
fn the_time_of_mysql_is_known_before_a_schedule_is_looked_at() {
    block_on(the_time_is_known_at_once(Kind::MySql));
}
