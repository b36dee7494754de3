//! Schedules: those whose tasks the database refuses, and those that a wrong clock has sent ahead.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use sexton::{
    domain::{
        schedule::{Schedule, reason::Reason, recurrence::Recurrence},
        task::definition::{NOOP, TaskDefinition},
    },
    store::ScheduleRow,
};
use sexton_entities::states::Fate;

use super::{count, no_module_fell, refuse, run};
use crate::support::{Database, Inside, Kind, Printed as _, block_on, blueprint, eventually, on_each_database, sexton};

fn every_second(name: &str) -> (String, Arc<TaskDefinition>) {
    let schedule = Schedule::new(name, vec![Recurrence::Every(Duration::from_secs(1))]);
    let definition = TaskDefinition { schedule: Some(schedule.into()), ..TaskDefinition::new(name, NOOP) };
    (name.to_owned(), definition.into())
}

on_each_database! {
    async fn a_schedule_that_is_refused_does_not_stop_the_others(database: Database) {
        let store = database.store().await;
        refuse(&database, &store, "sexton_task", "INSERT", "cursed").await;
        let mut blueprint = blueprint(&database);
        blueprint.config.tasks.extend(["a", "cursed", "z"].map(every_second));
        let inside = Inside::start(blueprint);
        for name in ["a", "z"] {
            let sql = format!("COUNT(*) FROM sexton_history WHERE name = '{name}' AND verdict = 'completed'");
            eventually("the others go on", async || count(&store, &sql).await >= 3).await;
        }
        let ledger = store.occurrences("cursed", 100).await.unwrap();
        assert!(!ledger.is_empty() && ledger.iter().all(|entry| entry.fate == Fate::Skipped), "{ledger:?}");
        let Some(Reason::Other { text: Some(text) }) = Reason::of(&ledger[0]) else { panic!("{ledger:?}") };
        assert!(text.starts_with("the database refused its task: ") && text.contains("cursed"), "{text}");
        let told = inside.daemon.store.isolated().sentences(9);
        assert!(told.len() == 1 && told[0].starts_with("the database refuses the tasks of schedule cursed: "), "{told:?}");
        let picture = store.schedule_pictures().await.unwrap().into_iter().find(|picture| picture.schedule.name == "cursed");
        assert_eq!(picture.unwrap().last.unwrap().outcome.as_str(), "skipped", "`schedule list` shows it");
        no_module_fell(&inside.daemon);
        inside.stop();
    }

    async fn a_schedule_far_ahead_of_the_time_goes_on(database: Database) {
        let store = database.store().await;
        let (name, definition) = every_second("tick");
        let row = ScheduleRow { name, task: "tick".to_owned(), spec: definition.schedule.as_ref().unwrap().spec() };
        store.sync_schedules(&[row]).await.unwrap();
        run(&store, &["UPDATE sexton_schedule SET last_at = '2036-01-01 00:00:00', next_at = '2036-01-01 00:00:01'"]).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.tasks.extend([every_second("tick")]);
        let inside = Inside::start(blueprint);
        eventually("it fires", async || count(&store, "COUNT(*) FROM sexton_history WHERE name = 'tick'").await >= 2).await;
        let schedule = store.schedules().await.unwrap().remove(0);
        assert!(schedule.last_at < store.now().await.unwrap() + TimeDelta::minutes(1), "{schedule:?}");
        inside.stop();
    }

    async fn it_goes_on_from_the_newest_instant_in_its_ledger(database: Database) {
        let store = database.store().await;
        let row = |name: &str| ScheduleRow { name: name.to_owned(), task: name.to_owned(), spec: "x".to_owned() };
        store.sync_schedules(&["known", "new", "near"].map(row)).await.unwrap();
        let now = store.now().await.unwrap();
        let near = now + TimeDelta::hours(5);
        run(&store, &[
            "INSERT INTO sexton_occurrence (schedule, due_at, fate, node, entry) VALUES ('known', '2026-01-01 00:00:00', 'fired', 'n', 'e')",
            "INSERT INTO sexton_occurrence (schedule, due_at, fate, node, entry) VALUES ('known', '2036-01-01 00:00:00', 'fired', 'n', 'e')",
            "UPDATE sexton_schedule SET last_at = '2036-01-01 00:00:00' WHERE name <> 'near'",
            &format!("UPDATE sexton_schedule SET last_at = '{}' WHERE name = 'near'", near.format("%Y-%m-%d %H:%M:%S")),
        ]).await;
        let returned = store.return_from_future(now).await.unwrap();
        let known: Vec<(&str, String)> = returned.iter().map(|(name, at)| (name.as_str(), at.to_rfc3339())).collect();
        assert_eq!(known, [("known", "2026-01-01T00:00:00+00:00".to_owned()), ("new", now.to_rfc3339())]);
        let last: Vec<_> = store.schedules().await.unwrap().into_iter().map(|schedule| (schedule.name, schedule.last_at.timestamp())).collect();
        assert_eq!(last[1], ("near".to_owned(), near.timestamp()), "hours that come again run nothing twice");
        assert!(store.return_from_future(now).await.unwrap().is_empty());
    }

    async fn why_says_that_a_schedule_is_ahead(database: Database) {
        let store = database.store().await;
        let file = database.config("n", "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1h\" }");
        let spec = sexton(&file).args(["schedule", "next", "tick", "--json"]).output().unwrap();
        assert!(spec.status.success(), "{}", spec.errors());
        run(&store, &["INSERT INTO sexton_schedule (name, task, origin, spec, last_at) VALUES ('tick', 'tick', 'config', '1h', '2036-01-01 00:00:00')"]).await;
        let why = sexton(&file).args(["schedule", "why", "tick", "--at", "2030-01-01T00:00:00Z"]).output().unwrap();
        assert!(why.text().contains("the schedule is ahead of the time, because a clock was"), "{}{}", why.text(), why.errors());
    }
}

#[test]
fn a_payload_that_postgres_does_not_store_stops_one_schedule_only() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let mut blueprint = blueprint(&database);
        let (name, definition) = every_second("nul");
        let definition = TaskDefinition { payload: Some("a\0b".into()), ..TaskDefinition::clone(&definition) };
        blueprint.config.tasks.extend([every_second("a"), (name, definition.into()), every_second("z")]);
        let inside = Inside::start(blueprint);
        for name in ["a", "z"] {
            let sql = format!("COUNT(*) FROM sexton_history WHERE name = '{name}' AND verdict = 'completed'");
            eventually("the others go on", async || count(&store, &sql).await >= 2).await;
        }
        let ledger = store.occurrences("nul", 100).await.unwrap();
        assert!(!ledger.is_empty() && ledger.iter().all(|entry| entry.fate == Fate::Skipped), "{ledger:?}");
        assert_eq!(inside.daemon.store.isolated().count(), 1);
        no_module_fell(&inside.daemon);
        inside.stop();
    });
}

#[test]
fn a_payload_that_no_database_stores_is_a_mistake_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    std::fs::write(&file, format!("[task.a]\nkind = \"noop\"\npayload = {{ text = \"a\\u0000b\" }}\n[task.b]\nkind = \"noop\"\npayload = {deep}\n[task.c]\nkind = \"noop\"\npayload = \"{}\"\n", "x".repeat(1 << 20))).unwrap();
    let check = sexton(&file).args(["config", "check"]).output().unwrap();
    assert!(!check.status.success());
    let told = check.text() + &check.errors();
    assert!(told.contains("sexton.toml:3: task.a.payload: it contains the character NUL"), "{told}");
    assert!(told.contains("sexton.toml:6: task.b.payload: it is nested more than 30 levels deep"), "{told}");
    assert!(told.contains("task.c.payload: it has 1048578 bytes, and daemon.max_payload allows 1048576"), "{told}");
}
