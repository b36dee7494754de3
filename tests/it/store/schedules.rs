//! The fire ledger: each instant once, and none from before the schedule's start.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sexton::{
    domain::schedule::{missed_policy::Overlap, reason::Reason},
    store::{Firing, HistoryFilter, ScheduleRow, Store, TaskFilter},
};
use sexton_entities::states::{Fate, Outcome, ReasonCode};

use super::about_now;
use crate::support::{on_each_database, value};

pub(super) fn sighting(name: &str, spec: &str) -> ScheduleRow {
    ScheduleRow { name: name.to_owned(), task: format!("{name}-task"), spec: spec.to_owned() }
}

pub(super) fn firing(name: &str, due_at: DateTime<Utc>, fate: Fate) -> Firing {
    Firing {
        spec: None,
        schedule: name.to_owned(),
        due_at,
        fate,
        reason: match fate {
            Fate::Fired => None,
            Fate::Late => Some(Reason::Late { by: TimeDelta::seconds(30) }),
            Fate::Coalesced => Some(Reason::Coalesced { into: due_at + TimeDelta::hours(1) }),
            Fate::Skipped => Some(Reason::Missed),
        },
        stands_for: None,
        overlap: Overlap::Allow,
        at_start: false,
        follows: None,
        run_at: None,
        expires_at: None,
        next_at: Some(due_at + TimeDelta::hours(1)),
        task: format!("{name}-task"),
        queue: "default".into(),
        priority: 2,
        payload: Some(json!({"of": name})),
    }
}

/// An instant a little ahead, so that it is after the schedules' beginning.
pub(super) fn ahead() -> DateTime<Utc> {
    sexton::clock::machine_time() + TimeDelta::hours(2)
}

pub(super) async fn tasks(store: &Store) -> Vec<sexton_entities::task::Model> {
    store.tasks(&TaskFilter { limit: 10_000, ..TaskFilter::default() }).await.unwrap()
}

on_each_database! {
    async fn what_is_coalesced_into_a_later_one_is_dealt_with(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let at = ahead();
        assert!(store.fire("n", &[firing("s", at, Fate::Coalesced)]).await.unwrap().is_empty());
        let schedule = store.schedules().await.unwrap().remove(0);
        assert_eq!((schedule.last_at, schedule.next_at), (at, Some(at + TimeDelta::hours(1))));
        assert_eq!(store.fire("n", &[firing("s", at + TimeDelta::hours(1), Fate::Late)]).await.unwrap(), ["s"]);
    }

    async fn thousands_of_schedules_are_read_in_pages(database: Database) {
        let store = database.store().await;
        // Also names that differ only in their case or an accent, at the edge of pages too.
        let mut names: Vec<String> = (0..4_100).map(|number| format!("s{number:05}")).collect();
        names.extend(["S00001", "s02000a", "s02000A", "s\u{e9}", "se", "\u{1f600}"].map(str::to_owned));
        let seen: Vec<ScheduleRow> = names.iter().map(|name| sighting(name, "every 1h")).collect();
        let last = store.sync_schedules(&seen).await.unwrap();
        assert_eq!(last.len(), names.len());
        let known: Vec<String> = store.schedules().await.unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(known.len(), names.len());
        assert_eq!(known.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "none is read twice");
        // Nothing is new, and nothing was edited.
        assert_eq!(store.sync_schedules(&seen).await.unwrap(), last);
        let compared = store.compare_schedules(&"n".into(), "n", &seen[1..]).await.unwrap();
        assert_eq!((compared.overruled.len(), compared.missed.len(), compared.dropped.len()), (0, 0, 0));
    }

    async fn each_instant_fires_once_in_a_cluster(database: Database) {
        let store = database.store().await;
        let names: Vec<String> = (0..50).map(|number| format!("s{number}")).collect();
        let sightings: Vec<ScheduleRow> = names.iter().map(|name| sighting(name, "every 1h")).collect();
        store.sync_schedules(&sightings).await.unwrap();
        let at = ahead();
        let firings: Vec<Firing> = names.iter().map(|name| firing(name, at, Fate::Fired)).collect();
        let nodes = (0..4).map(|number| {
            let (store, firings) = (store.clone(), firings.clone());
            async move { store.fire(&format!("n{number}"), &firings).await.unwrap().len() }
        });
        let fired: usize = futures::future::join_all(nodes).await.into_iter().sum();
        assert_eq!(fired, 50);
        let tasks = tasks(&store).await;
        assert_eq!(tasks.len(), 50);
        let first = tasks.iter().find(|task| task.schedule.as_deref() == Some("s0")).unwrap();
        assert_eq!((first.name.as_str(), first.due_at, first.priority), ("s0-task", Some(at), 2));
        assert_eq!((value(&first.payload), first.queue.as_deref()), (Some(json!({"of": "s0"})), Some("default")));
        let schedule = store.schedules().await.unwrap().remove(0);
        assert_eq!((schedule.last_at, schedule.next_at), (at, Some(at + TimeDelta::hours(1))));
    }

    async fn coalesced_and_skipped_instants_are_in_the_ledger_but_no_tasks(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let at = ahead();
        store.pause_schedule("s", true).await.unwrap();
        let missed = firing("s", at - TimeDelta::hours(1), Fate::Coalesced);
        assert!(store.fire("n", &[missed, firing("s", at, Fate::Fired)]).await.unwrap().is_empty());
        assert!(tasks(&store).await.is_empty());
        let ledger = store.occurrences("s", 10).await.unwrap();
        let fates: Vec<Fate> = ledger.iter().map(|occurrence| occurrence.fate).collect();
        assert_eq!(fates, [Fate::Skipped, Fate::Coalesced]);
        assert_eq!((ledger[0].reason_code, ledger[0].late_ms), (Some(ReasonCode::Paused), None));
        assert_eq!(Reason::of(&ledger[1]), Some(Reason::Coalesced { into: at }));
        let history = store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!((history.len(), history[0].outcome, history[0].verdict), (1, Outcome::Skipped, None));
        assert_eq!((history[0].due_at, history[0].task_id), (Some(at), None));
        assert_eq!(history[0].error.as_deref(), Some("the schedule is paused"));
        store.pause_schedule("s", false).await.unwrap();
        assert_eq!(store.fire("n", &[firing("s", at + TimeDelta::hours(1), Fate::Fired)]).await.unwrap(), ["s"]);
        assert!(!store.pause_schedule("unknown", true).await.unwrap());
    }

    async fn new_and_edited_schedules_begin_now(database: Database) {
        let store = database.store().await;
        let first = store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap()["s"];
        assert!(about_now(first));
        let at = ahead();
        store.fire("n", &[firing("s", at, Fate::Fired)]).await.unwrap();
        assert_eq!(store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap()["s"], at, "nothing changed");
        let edited = store.sync_schedules(&[sighting("s", "every 2h")]).await.unwrap()["s"];
        assert!(about_now(edited), "{edited}");
        assert_eq!(store.schedules().await.unwrap()[0].next_at, None);
        store.set_next_run(&[("s".to_owned(), at)]).await.unwrap();
        assert_eq!(store.schedules().await.unwrap()[0].next_at, Some(at));
    }

    async fn what_is_not_listed_does_not_fire(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let firings = [firing("s", ahead(), Fate::Fired)];
        assert!(!store.is_any_unlisted(&firings).await.unwrap());
        store.forget_schedules(&["s".to_owned()]).await.unwrap();
        assert!(store.is_any_unlisted(&firings).await.unwrap());
        assert!(store.fire("n", &firings).await.unwrap().is_empty());
        assert!(tasks(&store).await.is_empty());
    }
}
