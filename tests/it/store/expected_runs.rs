//! Expected runs: what the rows say of schedules that are overdue, and pauses that have an end.

use std::time::Duration;

use chrono::TimeDelta;
use sexton::{
    domain::{
        problem::Sighting,
        schedule::{missed_policy::Overlap, overdue::ExpectedRun},
    },
    store::{Firing, OnStale, Store},
};
use sexton_entities::states::{Fate, Outcome, ProblemKind, ProblemState, ReasonCode, Verdict};

use super::{
    about_now, ended,
    problems::problems,
    register,
    schedules::{ahead, firing, sighting},
};
use crate::support::on_each_database;

/// Runs a task of the schedule with success.
async fn succeed(store: &Store) {
    let due = store.schedule("s").await.unwrap().unwrap().last_at + TimeDelta::hours(2);
    assert_eq!(store.fire("n", &[firing("s", due, Fate::Fired)]).await.unwrap(), ["s"]);
    let task = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
    let finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
    store.finish(&[finished], OnStale::Record).await.unwrap();
}

on_each_database! {
    async fn the_rows_say_which_schedule_is_overdue(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        store.sync_schedules(&[sighting("s", "every 1h"), sighting("t", "every 1h")]).await.unwrap();
        let own = |expect: Option<&str>| [("s".to_owned(), expect.map(str::to_owned)), ("t".to_owned(), None)];
        store.sync_expectations("one", &own(Some("every 1s"))).await.unwrap();
        let run = store.expected_runs(None).await.unwrap().remove(0);
        assert_eq!((&*run.schedule, &*run.task, &*run.expect, run.paused), ("s", "s-task", "every 1s", false));
        assert!(about_now(run.progress.created_at));
        assert_eq!((run.expected_by, run.newer_success, run.progress.succeeded_at), (None, None, None));
        succeed(&store).await;
        let run = store.expected_runs(None).await.unwrap().remove(0);
        let success = run.newer_success.expect("a success");
        assert!(success > sexton::clock::machine_time() + TimeDelta::hours(1), "its instant is ahead, and so it is done: {success}");
        let by = success + TimeDelta::seconds(1);
        let progress = run.progress_now();
        assert_eq!(progress.succeeded_at, Some(success));
        store.set_expected_by(&[ExpectedRun { expected_by: Some(by), progress, ..run }]).await.unwrap();
        let run = store.expected_runs(None).await.unwrap().remove(0);
        assert_eq!((run.expected_by, run.newer_success, run.progress.succeeded_at), (Some(by), None, Some(success)));
        // Another node with the same configuration changes nothing, and one without it forgets nothing.
        store.sync_expectations("other", &own(Some("every 1s"))).await.unwrap();
        store.sync_expectations("third", &[]).await.unwrap();
        assert_eq!(store.expected_runs(None).await.unwrap()[0].expected_by, Some(by));
        // An edit of the schedule, and another expectation, begin again from now.
        store.sync_schedules(&[sighting("s", "every 2h")]).await.unwrap();
        let run = store.expected_runs(None).await.unwrap().remove(0);
        assert!(run.expected_by.is_none() && about_now(run.progress.excused_until.expect("an excuse")));
        store.sync_expectations("one", &own(Some("every 1h"))).await.unwrap();
        assert_eq!(store.expected_runs(None).await.unwrap()[0].expect, "every 1h");
        store.sync_expectations("one", &[]).await.unwrap();
        assert!(store.expected_runs(None).await.unwrap().is_empty());
    }

    async fn several_nodes_open_one_problem(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        store.sync_expectations("one", &[("s".to_owned(), Some("every 1s".to_owned()))]).await.unwrap();
        let overdue = Sighting::now(ProblemKind::Overdue, "s", "no run has succeeded yet");
        let nodes: Vec<Store> = (0..4).map(|_| database.bare_store()).collect();
        let run = store.expected_runs(None).await.unwrap().remove(0);
        let all = nodes.iter().map(|node| node.note_overdue(&run, &overdue));
        for result in futures::future::join_all(all).await {
            result.unwrap();
        }
        let row = problems(&store).await.remove(0);
        assert_eq!((row.state, row.times), (ProblemState::Open, 1));
        store.close_others(ProblemKind::Overdue, None, &[]).await.unwrap();
        // Of several nodes that see a late success, one counts it.
        let run = store.expected_runs(None).await.unwrap().remove(0);
        let late = ExpectedRun { newer_success: Some(store.now().await.unwrap()), ..run };
        for node in &nodes {
            node.note_late_success(&late, None, &overdue).await.unwrap();
        }
        let row = problems(&store).await.remove(0);
        assert_eq!((row.state, row.times), (ProblemState::Open, 2), "the second time");
        assert_eq!(store.expected_runs(None).await.unwrap()[0].progress.succeeded_at, late.newer_success);
    }

    async fn a_success_that_is_recorded_meanwhile_is_not_overdue(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        store.sync_expectations("one", &[("s".to_owned(), Some("every 1s".to_owned()))]).await.unwrap();
        let overdue = Sighting::now(ProblemKind::Overdue, "s", "no run has succeeded yet");
        let before = store.expected_runs(None).await.unwrap().remove(0);
        succeed(&store).await;
        store.note_overdue(&before, &overdue).await.unwrap();
        assert!(problems(&store).await.is_empty());
        let ahead = store.now().await.unwrap() + TimeDelta::days(1);
        assert_eq!(store.expected_runs(Some(ahead)).await.unwrap()[0].newer_success, None, "not searched for");
        let known = store.expected_runs(None).await.unwrap().remove(0);
        store.note_overdue(&known, &overdue).await.unwrap();
        assert_eq!(problems(&store).await.len(), 1, "that success is long ago by now");
    }

    async fn a_pause_ends_at_its_end(database: Database) {
        let store = database.store().await;
        let names = ["s", "t"];
        store.sync_schedules(&names.map(|name| sighting(name, "every 1h"))).await.unwrap();
        let at = ahead();
        for name in names {
            assert!(store.pause_schedule_for(name, Duration::from_secs(3 * 3_600)).await.unwrap());
        }
        assert!(!store.pause_schedule_for("unknown", Duration::from_secs(9)).await.unwrap());
        let row = store.schedule("s").await.unwrap().unwrap();
        assert!(row.paused && row.paused_until == row.excused_until, "{row:?}");
        let of = |name: &str, hours, overlap| Firing { overlap, ..firing(name, at + TimeDelta::hours(hours), Fate::Fired) };
        for (name, overlap) in [("s", Overlap::Allow), ("t", Overlap::Queue)] {
            assert!(store.fire("n", &[of(name, 0, overlap)]).await.unwrap().is_empty());
            assert_eq!(store.occurrences(name, 1).await.unwrap()[0].reason_code, Some(ReasonCode::Paused));
            assert_eq!(store.fire("n", &[of(name, 2, overlap)]).await.unwrap(), [name], "after its end");
        }
        let pauses = store.end_pauses().await.unwrap();
        assert!(pauses.schedules.is_empty() && pauses.next_end > Some(store.now().await.unwrap()), "it lasts: {pauses:?}");
        // A shorter one replaces it, and its end is its own.
        store.pause_schedule_for("s", Duration::from_millis(1)).await.unwrap();
        let ended = async || store.end_pauses().await.unwrap().schedules == ["s"];
        crate::support::eventually("the pause is over", ended).await;
        let row = store.schedule("s").await.unwrap().unwrap();
        assert_eq!((row.paused, row.paused_until, row.pause_reason), (false, None, None));
        assert!(about_now(row.excused_until.unwrap()));
        // One that is resumed before excuses no longer, and one without an end stays.
        assert!(store.pause_schedule("t", false).await.unwrap());
        assert!(about_now(store.schedule("t").await.unwrap().unwrap().excused_until.unwrap()));
        store.pause_schedule_for("t", Duration::from_secs(3_600)).await.unwrap();
        store.pause_schedule("t", true).await.unwrap();
        let row = store.schedule("t").await.unwrap().unwrap();
        assert!(row.paused && row.paused_until.is_none() && about_now(row.excused_until.unwrap()), "{row:?}");
        assert!(store.end_pauses().await.unwrap().schedules.is_empty());
    }
}
