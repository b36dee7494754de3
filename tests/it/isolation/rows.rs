//! Rows with values that no node can read.

use std::time::Duration;

use sexton::{
    domain::task::{
        NewTask,
        definition::{NOOP, TaskDefinition},
        limits::ConcurrencyLimits,
    },
    store::{HistoryFilter, ProblemFilter, Store, TaskFilter},
};
use sexton_entities::{
    history,
    states::{ProblemKind, TaskState},
    task,
};

use super::{accept_bad_tasks, beat, count, is_refused, no_module_fell, refuse, run};
use crate::support::{Daemon, Database, Inside, Kind, Printed as _, blueprint, eventually, on_each_database, sexton};

/// What people and programs write as an instant, though it does not exist or is far beyond the calendar.
fn bad_instants(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Postgres => &["'infinity'", "'-infinity'", "'290000-01-01'", "'20000-01-01'", "'0044-03-15 BC'"],
        Kind::MariaDb | Kind::MySql => &["'0000-00-00 00:00:00'"],
        Kind::Sqlite => &["'not a time'", "''"],
    }
}

async fn tasks(store: &Store) -> Vec<task::Model> {
    store.tasks(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).await.unwrap()
}

async fn history(store: &Store) -> Vec<history::Model> {
    store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap()
}

/// Puts tasks at the head of the queue that cannot be read. Returns their number. The zero date of MySQL is read as NULL:
/// nothing is missing from a task whose `due_at` is zero.
async fn plant(database: &Database, store: &Store) -> usize {
    accept_bad_tasks(database, store).await;
    let mut planted = 0;
    for column in
        ["due_at", "enqueued_at"].into_iter().skip(usize::from(matches!(database.kind, Kind::MariaDb | Kind::MySql)))
    {
        for value in bad_instants(database.kind) {
            let sql = format!(
                "INSERT INTO sexton_task (name, queue, priority, {column}) VALUES ('nothing', 'default', -9, {value})"
            );
            run(store, &[&sql]).await;
            planted += 1;
        }
    }
    planted
}

on_each_database! {
    async fn bad_tasks_are_refused_when_they_are_written(database: Database) {
        let store = database.store().await;
        run(&store, &["INSERT INTO sexton_task (name, queue) VALUES ('good', 'q')"]).await;
        for set in ["state = 'bogus'", "state = 'running'"] {
            assert!(is_refused(&store, &format!("UPDATE sexton_task SET {set}")).await, "{set}");
        }
        for state in ["bogus", "running", ""] {
            let sql = format!("INSERT INTO sexton_task (name, state) VALUES ('bad', '{state}')");
            assert!(is_refused(&store, &sql).await, "{sql}");
        }
        for column in ["due_at", "enqueued_at", "run_at"] {
            // On PostgreSQL, an instant beyond the calendar puts a task on hold.
            for value in bad_instants(database.kind).iter().filter(|_| (column, database.kind) != ("run_at", Kind::Postgres)) {
                let [insert, update] = [
                    format!("INSERT INTO sexton_task (name, {column}) VALUES ('bad', {value})"),
                    format!("UPDATE sexton_task SET {column} = {value}"),
                ];
                assert!(is_refused(&store, &insert).await && is_refused(&store, &update).await, "{insert}");
            }
        }
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 1);
    }

    async fn rows_that_are_there_already_are_repaired(database: Database) {
        let store = database.store().await;
        let planted = plant(&database, &store).await;
        run(&store, &[
            "INSERT INTO sexton_task (name, queue, state) VALUES ('odd', 'q', 'bogus')",
            "INSERT INTO sexton_task (name, queue, state) VALUES ('nowhere', 'q', 'running')",
            "DELETE FROM sexton_migration WHERE version LIKE '%000010%'",
        ]).await;
        store.migrate(&database.options()).await.unwrap();
        assert!(is_refused(&store, "INSERT INTO sexton_task (name, state) VALUES ('bad', 'bogus')").await);
        let tasks = tasks(&store).await;
        assert_eq!((tasks.len(), store.isolated().sentences(9)), (planted + 2, vec![]));
        let odd = tasks.iter().find(|task| task.name == "odd").unwrap();
        assert_eq!((odd.state, sexton::domain::task::is_on_hold(odd.run_at)), (TaskState::Scheduled, true));
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        assert_eq!(store.orphans(&"n".into()).await.unwrap().len(), 1, "nobody runs it");
    }

    async fn a_claim_goes_on_behind_tasks_that_cannot_be_read(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        let planted = plant(&database, &store).await;
        run(&store, &["INSERT INTO sexton_task (name, queue, attempt) VALUES ('last', 'default', 2147483647)"]).await;
        store.enqueue_all(store.connection(), &vec![NewTask::new("good").queue("default"); 3]).await.unwrap();
        let mut claimed = Vec::new();
        for _ in 0..planted + 4 {
            claimed.extend(store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks);
        }
        let names: Vec<(&str, i32)> = claimed.iter().map(|task| (task.name.as_str(), task.attempt)).collect();
        assert_eq!(names, [("last", i32::MAX), ("good", 1), ("good", 1), ("good", 1)]);
        let discarded = history(&store).await;
        assert_eq!(discarded.len(), planted);
        for row in &discarded {
            let error = row.error.as_deref().unwrap();
            assert!(error.contains("column due_at cannot be read") || error.contains("column enqueued_at cannot be read"), "{error}");
            assert_eq!((row.outcome.as_str(), row.verdict.unwrap().as_str()), ("failed", "discarded"));
        }
        assert_eq!(store.isolated().count(), planted as u64, "each is reported");
        let problems = store.problems(&ProblemFilter { limit: 9, ..ProblemFilter::default() }).await.unwrap();
        assert_eq!(problems.iter().map(|problem| problem.discarded).sum::<i64>(), planted as i64);
        for problem in &problems {
            assert_eq!((problem.kind, problem.name.as_str(), problem.queue.as_deref()), (ProblemKind::Task, "nothing", Some("default")));
            assert!(problem.what.starts_with("the task cannot be read: column "), "{problem:?}");
        }
    }

    async fn a_claim_from_several_queues_does_so_as_well(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        let planted = plant(&database, &store).await;
        let good = ["default", "default", "other"].map(|queue| NewTask::new("nothing").queue(queue));
        store.enqueue_all(store.connection(), &good).await.unwrap();
        let wanted = [("default".into(), 1), ("other".into(), 1)];
        let (mut claimed, mut postponed) = (0, 0);
        for _ in 0..planted + 2 {
            let found = store.claim_queues(&std::iter::once("nothing").collect(), &"n".into(), &wanted).await.unwrap();
            claimed += found.values().map(|found| found.tasks.len()).sum::<usize>();
            postponed += found.values().map(|found| found.postponed).sum::<usize>();
        }
        assert_eq!((claimed, postponed, history(&store).await.len()), (3, planted, planted));
    }

    async fn a_daemon_with_several_queues_finds_the_task_that_is_refused(database: Database) {
        let store = database.store().await;
        let names = ["cursed", "nothing"];
        let tasks = ["a", "b", "c"].iter().flat_map(|queue| names.map(|name| NewTask::new(name).queue(*queue)));
        store.enqueue_all(store.connection(), &tasks.collect::<Vec<_>>()).await.unwrap();
        run(&store, &["UPDATE sexton_task SET name = 'nothing' WHERE name = 'cursed' AND queue <> 'b'"]).await;
        refuse(&database, &store, "sexton_task", "UPDATE", "cursed").await;
        let config = database.config("n", "[queue.a]\nworkers = 2\n[queue.b]\nworkers = 2\n[queue.c]\nworkers = 2\n\
            [task.nothing]\nkind = \"noop\"\n[task.cursed]\nkind = \"noop\"");
        let daemon = Daemon::start(&config, &["run"]);
        eventually("the others are done", async || count(&store, "COUNT(*) FROM sexton_history WHERE verdict = 'completed'").await == 5).await;
        eventually("it is discarded", async || count(&store, "COUNT(*) FROM sexton_history WHERE verdict = 'discarded'").await == 1).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 0);
        assert!(!daemon.log().contains("claims of several queues"), "{}", daemon.log());
    }

    async fn a_claim_within_limits_does_so_as_well(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        let planted = plant(&database, &store).await;
        store.enqueue_all(store.connection(), &vec![NewTask::new("good").queue("default"); 3]).await.unwrap();
        let bound = TaskDefinition { max_parallel: Some(2), ..TaskDefinition::new("good", NOOP) };
        let limits = ConcurrencyLimits::new([], &[bound]);
        let mut claimed = Vec::new();
        for _ in 0..planted + 2 {
            claimed.extend(store.claim_within(&limits, &"n".into(), &"default".into(), 1).await.unwrap().tasks);
        }
        assert_eq!((claimed.len(), history(&store).await.len()), (2, planted));
    }

    async fn a_task_that_the_database_refuses_to_let_run_keeps_nothing_back(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        for queue in ["default", "narrow"] {
            let cursed = NewTask::new("cursed").queue(queue).priority(-1);
            store.enqueue_all(store.connection(), &[cursed, NewTask::new("good").queue(queue)]).await.unwrap();
        }
        run(&store, &["INSERT INTO sexton_task (name, queue, state, run_at) VALUES ('cursed', 'later', 'scheduled', '2026-01-01 00:00:00')"]).await;
        run(&store, &["INSERT INTO sexton_task (name, queue, state, run_at) VALUES ('good', 'later', 'scheduled', '2026-01-01 00:00:00')"]).await;
        refuse(&database, &store, "sexton_task", "UPDATE", "cursed").await;
        let limits = ConcurrencyLimits::new([(&"narrow".into(), 1)], &[]);
        let claimed = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks;
        let within = store.claim_within(&limits, &"n".into(), &"narrow".into(), 1).await.unwrap().tasks;
        assert_eq!((claimed[0].name.as_str(), within[0].name.as_str()), ("good", "good"));
        assert_eq!(store.promote().await.unwrap(), 1);
        let discarded = history(&store).await;
        assert_eq!(discarded.len(), 2);
        assert!(discarded.iter().all(|row| row.error.as_deref().unwrap().starts_with("the database refuses to let it run: ")), "{discarded:?}");
        let told = store.isolated().sentences(9);
        let problems = store.problems(&ProblemFilter { limit: 9, ..ProblemFilter::default() }).await.unwrap();
        assert_eq!(problems.iter().map(|problem| (problem.name.as_str(), problem.discarded)).collect::<Vec<_>>(), [("cursed", 2)]);
        assert!(told.len() == 3 && told.iter().any(|told| told.contains("cannot be made available")), "{told:?}");
    }

    async fn lists_leave_out_what_cannot_be_read_and_name_it(database: Database) {
        let store = database.store().await;
        store.register(&beat("good", Duration::from_secs(600))).await.unwrap();
        store.register(&beat("bad", Duration::from_secs(600))).await.unwrap();
        let bad = bad_instants(database.kind)[0];
        accept_bad_tasks(&database, &store).await;
        run(&store, &[
            "INSERT INTO sexton_task (id, name, queue) VALUES (1, 'good', 'q')",
            &format!("INSERT INTO sexton_task (id, name, queue, enqueued_at) VALUES (2, 'bad', 'q', {bad})"),
            "INSERT INTO sexton_task (id, name, queue, state) VALUES (3, 'bad', 'q', 'bogus')",
            "INSERT INTO sexton_history (id, name, outcome) VALUES (1001, 'good', 'succeeded')",
            &format!("INSERT INTO sexton_history (id, name, outcome, finished_at) VALUES (1002, 'bad', 'succeeded', {bad})"),
            "INSERT INTO sexton_history (id, name, outcome) VALUES (1003, 'bad', 'bogus')",
            "INSERT INTO sexton_schedule (name, task, origin, spec) VALUES ('good', 't', 'config', '')",
            &format!("INSERT INTO sexton_schedule (name, task, origin, spec, created_at) VALUES ('bad', 't', 'config', '', {bad})"),
            "INSERT INTO sexton_occurrence (schedule, due_at, fate, node, entry) VALUES ('s', '2026-01-01 00:00:00', 'fired', 'n', 'e')",
            &format!("INSERT INTO sexton_occurrence (schedule, due_at, fate, node, entry, entered_at) VALUES ('s', '2026-01-02 00:00:00', 'fired', 'n', 'e', {bad})"),
            &format!("UPDATE sexton_node SET heartbeat_at = {bad} WHERE id = 'bad'"),
        ]).await;
        assert_eq!(tasks(&store).await.iter().map(|task| task.id).collect::<Vec<_>>(), [1]);
        assert_eq!(history(&store).await.iter().map(|row| row.id).collect::<Vec<_>>(), [1_001]);
        assert_eq!(store.schedules().await.unwrap().len(), 1);
        assert_eq!(store.schedule_pictures().await.unwrap().len(), 1);
        assert_eq!(store.occurrences("s", 9).await.unwrap().len(), 1);
        assert_eq!(store.nodes().await.unwrap().len(), 1);
        let told = store.isolated().sentences(99);
        for (row, column) in [
            ("row 2 of sexton_task", "enqueued_at"),
            ("row 3 of sexton_task", "bogus"),
            ("row 1002 of sexton_history", "finished_at"),
            ("row 1003 of sexton_history", "bogus"),
            ("row bad of sexton_schedule", "created_at"),
            ("row s of sexton_occurrence", "entered_at"),
            ("row bad of sexton_node", "heartbeat_at"),
        ] {
            assert!(told.iter().any(|sentence| sentence.starts_with(row) && sentence.contains(column)), "{row}: {told:#?}");
        }
        let error = store.task(2).await.unwrap_err().to_string();
        assert!(error.starts_with("task 2: ") && error.contains("enqueued_at"), "{error}");
        // Neither operation needs what cannot be read.
        assert!(store.run_now(3).await.unwrap());
        assert_eq!(store.task(3).await.unwrap().unwrap().state, TaskState::Available);
        store.cancel(2).await.unwrap();
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE id = 2").await, 0);
    }

    async fn a_task_on_hold_waits_and_can_be_started(database: Database) {
        let store = database.store().await;
        store.register(&beat("n", Duration::from_secs(600))).await.unwrap();
        let never = if database.kind == Kind::Postgres { "infinity" } else { "9999-12-31 00:00:00" };
        run(&store, &[&format!("INSERT INTO sexton_task (name, queue, run_at) VALUES ('held', 'default', '{never}')")]).await;
        store.enqueue(store.connection(), &NewTask::new("good").queue("default")).await.unwrap();
        let claimed = store.claim(&"n".into(), &"default".into(), 5).await.unwrap();
        assert_eq!((claimed.tasks.len(), claimed.postponed), (1, 1));
        store.next_instants().await.unwrap();
        assert_eq!(store.promote().await.unwrap(), 0);
        let held = tasks(&store).await.into_iter().find(|task| task.name == "held").unwrap();
        assert_eq!((held.state, sexton::domain::task::is_on_hold(held.run_at)), (TaskState::Scheduled, true));
        assert!(store.run_now(held.id).await.unwrap());
        assert_eq!(store.claim(&"n".into(), &"default".into(), 5).await.unwrap().tasks.len(), 1);
    }

    async fn status_and_lists_tell_of_them(database: Database) {
        let store = database.store().await;
        let planted = plant(&database, &store).await;
        run(&store, &[
            "INSERT INTO sexton_task (name, queue, state) VALUES ('odd', 'q', 'bogus')",
            "INSERT INTO sexton_task (name, queue, state, run_at) VALUES ('held', 'q', 'scheduled', '9999-12-31 00:00:00')",
        ]).await;
        let file = database.config("n", "[task.nothing]\nkind = \"noop\"");
        let daemon = Daemon::start(&file, &["run"]);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        eventually("they are counted", async || call(&["status", "--json"]).json()["daemon"]["isolated_count"] == planted + 1).await;
        let status = call(&["status"]).text();
        let fault = format!("{} faults isolated", planted + 1);
        assert!(status.contains(&fault) && status.contains("the task cannot be read: column enqueued_at"), "{status}");
        let list = call(&["task", "list"]);
        assert!(list.text().contains("on hold") && !list.text().contains("odd"), "{}", list.text());
        assert!(list.errors().contains("of sexton_task is left out: ") && list.errors().contains("bogus"), "{}", list.errors());
        let log = daemon.stop();
        assert_eq!(log.matches(" is discarded: the task cannot be read").count(), planted, "each once: {log}");
    }

    async fn a_daemon_works_beside_bad_rows(database: Database) {
        let store = database.store().await;
        let planted = plant(&database, &store).await;
        run(&store, &[
            "INSERT INTO sexton_task (name, queue, state) VALUES ('nothing', 'default', 'bogus')",
            "INSERT INTO sexton_task (name, queue, state) VALUES ('nothing', 'default', 'running')",
            "INSERT INTO sexton_task (name, queue, attempt) VALUES ('nothing', 'default', 2147483647)",
        ]).await;
        let inside = Inside::start(blueprint(&database));
        inside.daemon.client.enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap();
        // The twenty, the one with the highest attempt, and the one that ran nowhere.
        let completed = "COUNT(*) FROM sexton_history WHERE verdict = 'completed'";
        eventually("all is done", async || count(&store, completed).await == 22).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 1, "a state that may be of a later version is left alone");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history WHERE verdict = 'discarded'").await, planted as i64);
        let told = inside.daemon.store.isolated().sentences(99);
        assert!(told.len() == planted + 1 && told.iter().any(|told| told.contains("its state `bogus` is unknown")), "{told:?}");
        no_module_fell(&inside.daemon);
        inside.stop();
    }
}
