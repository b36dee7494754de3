//! What becomes of schedules when the clock is set, in a daemon whose clock the test turns.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use sexton::{
    clock::{Clock, machine_time},
    domain::{
        schedule::{
            Schedule,
            missed_policy::{Missed, Policy},
            recurrence::Recurrence,
        },
        task::definition::{NOOP, TaskDefinition},
    },
    store::Store,
};
use sexton_entities::{
    occurrence,
    states::{Fate, ReasonCode},
};

use super::{completed, history};
use crate::support::{Database, Inside, blueprint, eventually, on_each_database};

fn recurring(name: &str, every: Duration, policy: Policy) -> (String, Arc<TaskDefinition>) {
    let schedule = Schedule { policy, ..Schedule::new(name, vec![Recurrence::Every(every)]) };
    let definition = TaskDefinition { schedule: Some(schedule.into()), ..TaskDefinition::new(name, NOOP) };
    (name.to_owned(), definition.into())
}

/// A daemon whose clock stays as the test sets it.
fn start(database: &Database) -> Inside {
    let mut blueprint = blueprint(database);
    blueprint.clock = Clock::by_hand(machine_time());
    let hour = Duration::from_secs(3_600);
    let with = |missed| Policy { missed, ..Policy::default() };
    let max = Policy { missed_max: 2, ..with(Missed::All) };
    let old = Policy { missed_age: Some(hour), ..with(Missed::Last) };
    blueprint.config.tasks.extend([
        recurring("tick", Duration::from_millis(200), Policy::default()),
        recurring("skip", hour, with(Missed::Skip)),
        recurring("last", hour, with(Missed::Last)),
        recurring("all", hour, with(Missed::All)),
        recurring("max", hour, max),
        recurring("old", hour, old),
    ]);
    Inside::start(blueprint)
}

/// What became of a schedule's instants, the oldest first.
async fn ledger(store: &Store, name: &str, after: DateTime<Utc>) -> Vec<occurrence::Model> {
    let mut ledger = store.occurrences(name, 10_000).await.unwrap();
    ledger.retain(|entry| entry.due_at > after);
    ledger.reverse();
    ledger
}

/// Ticks that have been executed.
async fn ticks(store: &Store) -> Vec<DateTime<Utc>> {
    history(store).await.into_iter().filter(|row| row.name == "tick").filter_map(|row| row.due_at).collect()
}

on_each_database! {
    async fn a_clock_set_forward_by_hours_is_a_matter_of_the_policy(database: Database) {
        let store = database.store().await;
        let inside = start(&database);
        eventually("it ticks", async || !ticks(&store).await.is_empty()).await;
        let machine = machine_time();
        // Three whole hours lie between, none of them nearby.
        let target = machine.duration_trunc(TimeDelta::hours(1)).unwrap() + TimeDelta::minutes(210);
        inside.daemon.clock.turn(target);
        eventually("all have been dealt with", async || {
            let mut done = 0;
            for name in ["skip", "last", "all", "max", "old"] {
                done += usize::from(ledger(&store, name, machine).await.len() == 3);
            }
            done == 5
        })
        .await;
        use Fate::{Coalesced, Late, Skipped};
        let expected = [
            ("skip", [Skipped; 3]),
            ("last", [Coalesced, Coalesced, Late]),
            ("all", [Late; 3]),
            ("max", [Skipped, Late, Late]),
            ("old", [Skipped, Skipped, Late]),
        ];
        for (name, fates) in expected {
            let found = ledger(&store, name, machine).await;
            assert_eq!(found.iter().map(|entry| entry.fate).collect::<Vec<_>>(), fates, "{name}: {found:#?}");
        }
        let old = ledger(&store, "old", machine).await;
        assert_eq!((old[0].reason_code, old[0].missed_age_ms), (Some(ReasonCode::MissedAge), Some(3_600_000)));
        assert!(old[0].late_ms.is_some_and(|late| (9_000_000..9_060_000).contains(&late)), "{old:?}");
        // The short interval leaves a bounded number of entries, which stand for the others.
        eventually("it ticks on", async || ticks(&store).await.iter().any(|at| *at > target)).await;
        let missed = ledger(&store, "tick", machine).await;
        let counts: Vec<_> = missed.iter().map(|entry| (entry.stands_for, entry.stands_for_more)).collect();
        assert!(counts.contains(&(10_000, true)), "{counts:?}");
        assert!(missed.iter().filter(|entry| entry.fate == Coalesced).count() < 1_000, "{}", missed.len());
        assert_eq!(inside.stop(), 0);
    }

    async fn what_must_not_overlap_is_skipped_meanwhile(database: Database) {
        let store = database.store().await;
        let settings = "[task.slow]\ncommand = [\"sleep\", \"0.5\"]\nschedule = { every = \"200ms\" }\noverlap = \"skip\"";
        let daemons = [database.daemon("a", settings), database.daemon("b", settings)];
        eventually("it has run four times", async || completed(&store).await >= 4).await;
        for daemon in daemons {
            daemon.stop();
        }
        let mut runs: Vec<_> =
            history(&store).await.into_iter().filter_map(|row| Some((row.started_at?, row.finished_at))).collect();
        runs.sort();
        // Both clocks are the same machine's, but not to the millisecond.
        let beside = runs.windows(2).filter(|pair| pair[1].0 < pair[0].1 - TimeDelta::milliseconds(100)).count();
        assert_eq!(beside, 0, "{runs:?}");
        let ledger = ledger(&store, "slow", DateTime::UNIX_EPOCH).await;
        let skipped: Vec<_> = ledger.iter().filter(|entry| entry.fate == Fate::Skipped).collect();
        assert!(skipped.len() >= 4, "{ledger:#?}");
        for entry in skipped {
            assert_eq!((entry.reason_code, entry.blocked_by.is_some()), (Some(ReasonCode::Overlap), true), "{entry:?}");
        }
    }

    async fn a_clock_set_back_fires_nothing_twice(database: Database) {
        let store = database.store().await;
        let inside = start(&database);
        eventually("it ticks", async || ticks(&store).await.len() >= 5).await;
        for _ in 0..2 {
            inside.daemon.clock.turn(inside.daemon.clock.now() - TimeDelta::seconds(2));
            let last = store.occurrences("tick", 1).await.unwrap()[0].due_at;
            eventually("it ticks on", async || ticks(&store).await.iter().any(|at| *at > last + TimeDelta::seconds(1))).await;
        }
        assert_eq!(inside.stop(), 0);
        let mut ticks = ticks(&store).await;
        let all = ticks.len();
        ticks.sort();
        ticks.dedup();
        assert_eq!(ticks.len(), all, "no instant twice");
        let ledger = store.occurrences("tick", 10_000).await.unwrap();
        let gaps = ledger.windows(2).filter(|pair| (pair[0].due_at - pair[1].due_at).num_milliseconds() != 200).count();
        assert_eq!(gaps, 0, "no instant is missing from the ledger");
    }
}
