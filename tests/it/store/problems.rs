//! Problems: one row for what is wrong, from its first to its last occurrence, on however many nodes.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use sexton::{
    domain::{
        notice::{NoticeEvent, NoticeRule, due},
        problem::Sighting,
        task::{ClaimedTask, FinishedAttempt},
    },
    principal::Principal,
    store::{AuditFilter, HistoryFilter, OnStale, ProblemChange, ProblemFilter, Store, Told},
};
use sexton_entities::{
    problem,
    states::{AuditTarget, Fate, NoticeAbout, Outcome, ProblemKind, ProblemState, Verdict, Via},
};

use super::{
    beat, ended, enqueue, register,
    schedules::{ahead, firing, sighting},
};
use crate::support::{Kind, on_each_database};

pub(super) async fn problems(store: &Store) -> Vec<problem::Model> {
    let filter = ProblemFilter { with_closed: true, limit: 1_000, ..ProblemFilter::default() };
    store.problems(&filter).await.unwrap()
}

/// Tasks that node `n` has claimed.
async fn claimed(store: &Store, count: usize) -> Vec<ClaimedTask> {
    enqueue(store, "work", count).await;
    store.claim(&"n".into(), &"default".into(), count).await.unwrap().tasks
}

fn failed(task: &ClaimedTask, error: &str) -> FinishedAttempt {
    FinishedAttempt { error: Some(error.to_owned()), ..ended(task, "n", Outcome::Failed, Verdict::Discarded) }
}

async fn finish(store: &Store, batch: &[FinishedAttempt]) -> u64 {
    let before = store.statements();
    assert_eq!(store.finish(batch, OnStale::Record).await.unwrap().counted, batch.len());
    store.statements() - before
}

on_each_database! {
    async fn problems_that_cannot_be_counted_cost_no_record(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = claimed(&store, 3).await;
        store.connection().execute_unprepared("DROP TABLE sexton_problem").await.unwrap();
        finish(&store, &[failed(&tasks[0], "no disk"), failed(&tasks[1], "no memory"), ended(&tasks[2], "n", Outcome::Succeeded, Verdict::Completed)]).await;
        assert_eq!(store.history(&HistoryFilter { limit: 9, ..HistoryFilter::default() }).await.unwrap().len(), 3);
        let said = store.isolated().sentences(9);
        assert!(said.len() == 1 && said[0].starts_with("occurrences of the problem of task work cannot be counted: "), "{said:?}");
    }

    async fn failures_of_one_kind_are_one_problem_and_successes_cost_nothing(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = claimed(&store, 60).await;
        let fail = |number: usize| failed(&tasks[number], &format!("exit code 3: no order {number}"));
        let succeed = |number: usize| ended(&tasks[number], "n", Outcome::Succeeded, Verdict::Completed);
        let without = finish(&store, &(0..10).map(succeed).collect::<Vec<_>>()).await;
        let with = finish(&store, &(10..30).map(fail).collect::<Vec<_>>()).await;
        assert_eq!(with, without + 2, "one statement in a savepoint for each batch with failures");
        assert_eq!(finish(&store, &(30..40).map(succeed).collect::<Vec<_>>()).await, without, "a problem is open now");
        finish(&store, &[fail(40), failed(&tasks[41], "no disk"), ended(&tasks[42], "n", Outcome::Cancelled, Verdict::Cancelled)]).await;
        let mut found = problems(&store).await;
        found.sort_by_key(|row| row.times);
        assert_eq!(found.iter().map(|row| row.times).collect::<Vec<_>>(), [1, 21]);
        let orders = &found[1];
        assert_eq!((orders.kind, &*orders.name, orders.outcome), (ProblemKind::Task, "work", Some(Outcome::Failed)));
        assert_eq!((orders.state, orders.discarded, orders.episode), (ProblemState::Open, 21, 1));
        assert_eq!((&*orders.what, &*orders.fingerprint), ("exit code 3: no order 40", "exit code # no order #"));
        assert_eq!((orders.task_id, orders.node.as_deref(), orders.queue.as_deref()), (Some(tasks[40].claim.task_id), Some("n"), Some("default")));
        assert!(orders.opened_at <= orders.seen_at);
    }

    async fn a_problem_ends_when_the_same_work_succeeds(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = claimed(&store, 5).await;
        let later = |finished: FinishedAttempt, seconds: i64| {
            FinishedAttempt { finished_at: finished.finished_at + TimeDelta::seconds(seconds), ..finished }
        };
        finish(&store, &[failed(&tasks[0], "no disk")]).await;
        assert_eq!(store.close_problems().await.unwrap(), 0, "nothing has succeeded");
        finish(&store, &[later(ended(&tasks[1], "n", Outcome::Succeeded, Verdict::Completed), 1)]).await;
        assert_eq!(store.close_problems().await.unwrap(), 1);
        let first = problems(&store).await.remove(0);
        assert_eq!((first.state, first.times), (ProblemState::Closed, 1));
        assert!(first.closed_at.is_some());
        // It comes back at once: it goes on.
        finish(&store, &[later(failed(&tasks[2], "no disk"), 2)]).await;
        let again = problems(&store).await.remove(0);
        assert_eq!((again.id, again.state, again.times, again.episode), (first.id, ProblemState::Open, 2, 1));
        assert_eq!((again.closed_at, again.opened_at), (None, first.opened_at));
        // It comes back later: it begins again.
        finish(&store, &[later(ended(&tasks[3], "n", Outcome::Succeeded, Verdict::Completed), 3)]).await;
        assert_eq!(store.close_problems().await.unwrap(), 1);
        let sql = "UPDATE sexton_problem SET closed_at = '2026-01-01 00:00:00', notices = 2";
        store.connection().execute_unprepared(sql).await.unwrap();
        finish(&store, &[later(failed(&tasks[4], "no disk"), 4)]).await;
        let next = problems(&store).await.remove(0);
        assert_eq!((next.id, next.state, next.times, next.episode, next.notices), (first.id, ProblemState::Open, 1, 2, 0));
        assert!(next.opened_at > first.opened_at);
    }

    async fn what_fails_after_it_was_closed_by_hand_is_new(database: Database) {
        let store = database.store().await;
        let sight = async || {
            store.note_problems(&[Sighting::now(ProblemKind::Task, "import", "no disk")]).await.unwrap();
            problems(&store).await.remove(0)
        };
        let rule = NoticeRule { on: Some(vec![NoticeEvent::Failed, NoticeEvent::Recovered]), ..NoticeRule::default() };
        let is_due = async |row: &problem::Model| due(row, &rule, store.now().await.unwrap());
        for told in [0, 1] {
            let open = sight().await;
            for number in 0..told {
                let row = problem::Model { notices: open.notices + number, ..open.clone() };
                assert!(store.write_notices(&row, Told::Progress, &[]).await.unwrap());
            }
            assert!(store.change_problem(open.id, ProblemChange::Close).await.unwrap());
            assert_eq!(is_due(&problems(&store).await[0]).await, None, "the operator knows that it is closed");
            let again = sight().await;
            assert_eq!((again.state, again.episode, again.times), (ProblemState::Open, open.episode + 1, 1));
            assert_eq!(is_due(&again).await, Some(NoticeAbout::Opened), "its notice goes out at once");
        }
        // It ends by itself, and nobody had heard of it: one notice says both, and it is no new problem within five minutes.
        let open = sight().await;
        store.close_others(ProblemKind::Task, None, &[]).await.unwrap();
        assert!(store.write_notices(&problems(&store).await[0], Told::Progress, &[]).await.unwrap());
        assert_eq!(sight().await.episode, open.episode);
    }

    async fn a_state_that_lasts_is_counted_once(database: Database) {
        let store = database.store().await;
        let sight = async || {
            store.note_problems(&[Sighting::now(ProblemKind::Queue, "default", "nothing begins")]).await.unwrap();
            problems(&store).await.remove(0)
        };
        let nodes = [sight().await, sight().await, sight().await];
        assert!(nodes.iter().all(|row| row.times == 1), "three nodes look at it: {nodes:?}");
        store.close_others(ProblemKind::Queue, None, &[]).await.unwrap();
        assert_eq!(sight().await.times, 2, "it has begun twice");
    }

    async fn many_nodes_open_one_problem(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let tasks = claimed(&store, 40).await;
        let nodes: Vec<Store> = (0..4).map(|_| database.bare_store()).collect();
        let batches: Vec<Vec<FinishedAttempt>> =
            tasks.chunks(10).map(|tasks| tasks.iter().map(|task| failed(task, "no disk")).collect()).collect();
        let all = nodes.iter().zip(&batches).map(async |(node, batch)| {
            for finished in batch {
                node.finish(std::slice::from_ref(finished), OnStale::Record).await.unwrap();
            }
        });
        futures::future::join_all(all).await;
        let found = problems(&store).await;
        assert_eq!((found.len(), found[0].times), (1, 40));
    }

    async fn what_an_operator_says_is_kept_and_audited(database: Database) {
        let store = database.store().await;
        let sight = async || {
            let module = Sighting::now(ProblemKind::Module, "here/cron", "the module failed");
            store.note_problems(&[module]).await.unwrap();
            problems(&store).await.remove(0)
        };
        let row = sight().await;
        let alice = store.acting(Principal { login: Some("alice".to_owned()), ..Principal::of_this_process(Via::Cli) }.because(Some("known".to_owned())));
        assert!(alice.change_problem(row.id, ProblemChange::Acknowledge).await.unwrap());
        let known = sight().await;
        assert_eq!((known.state, known.times), (ProblemState::Acknowledged, 2), "it stays acknowledged");
        assert_eq!((known.changed_by.as_deref(), known.change_reason.as_deref()), (Some("alice"), Some("known")));
        assert!(alice.change_problem(row.id, ProblemChange::Mute(Duration::from_secs(7_200))).await.unwrap());
        assert!(problems(&store).await[0].muted_until > known.muted_until);
        store.close_others(ProblemKind::Module, None, &[]).await.unwrap();
        assert_eq!(problems(&store).await[0].state, ProblemState::Closed);
        assert_eq!(sight().await.state, ProblemState::Muted, "it is silent for the whole time, also if it comes back");
        store.connection().execute_unprepared("UPDATE sexton_problem SET muted_until = '2026-01-01 00:00:00'").await.unwrap();
        store.close_problems().await.unwrap();
        assert_eq!(problems(&store).await[0].state, ProblemState::Open, "the mute has run out");
        assert!(alice.change_problem(row.id, ProblemChange::Close).await.unwrap());
        assert!(!alice.change_problem(row.id, ProblemChange::Close).await.unwrap(), "it is closed");
        assert!(!alice.change_problem(999, ProblemChange::Acknowledge).await.unwrap());
        let filter = AuditFilter { target: Some(AuditTarget::Problem), limit: 10, ..AuditFilter::default() };
        let deeds = store.deeds(&filter).await.unwrap();
        assert_eq!(deeds.iter().rev().map(|deed| deed.action.as_str()).collect::<Vec<_>>(), ["acknowledge", "mute", "close"]);
        assert_eq!((deeds[2].name.as_deref(), deeds[2].login.as_deref()), (Some(&*row.id.to_string()), Some("alice")));
    }

    async fn a_schedule_that_did_not_run_and_a_dead_node_are_problems(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h"), sighting("t", "every 1h")]).await.unwrap();
        let at = ahead();
        let missed = [firing("s", at, Fate::Skipped), firing("s", at + TimeDelta::hours(1), Fate::Skipped), firing("t", at, Fate::Late)];
        store.fire("n", &missed).await.unwrap();
        // Another node comes too late.
        store.fire("m", &missed).await.unwrap();
        let found = problems(&store).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, &*found[0].name, found[0].times), (ProblemKind::Schedule, "s", 2));
        assert!(found[0].what.starts_with("the run of "), "{}", found[0].what);
        assert_eq!(found[0].task.as_deref(), Some("s-task"));
        register(&store, "alive").await;
        register(&store, "dead").await;
        store.heartbeat(&beat("dead", Duration::ZERO)).await.unwrap();
        assert_eq!(store.remove_dead_nodes(&"alive".into()).await.unwrap(), 1);
        let filter = ProblemFilter { kind: Some(ProblemKind::Node), limit: 9, ..ProblemFilter::default() };
        let gone = store.problems(&filter).await.unwrap().remove(0);
        assert_eq!((&*gone.name, &*gone.what), ("dead", "the node on host here has died or lost its lease"));
        assert_eq!(store.close_problems().await.unwrap(), 0);
        register(&store, "dead").await;
        assert_eq!(store.close_problems().await.unwrap(), 1, "a node of that name is back");
    }

    async fn a_queue_that_stands_still_is_found(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 3).await;
        let stalled = async || store.stalled_queues(Duration::from_secs(60)).await.unwrap();
        assert!(stalled().await.is_empty(), "they wait for a moment only");
        store.connection().execute_unprepared("UPDATE sexton_task SET run_at = '2026-01-01 00:00:00'").await.unwrap();
        let found = stalled().await;
        assert_eq!((found.len(), &*found[0].0, found[0].1), (1, "default", 3));
        assert_eq!(found[0].2, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        if database.kind == Kind::Postgres {
            store.connection().execute_unprepared("UPDATE sexton_task SET run_at = '-infinity' WHERE id = 2").await.unwrap();
            let found = stalled().await;
            assert_eq!((found.len(), found[0].1, found[0].2), (1, 3, None), "one that is no instant does not hide the queue");
            store.connection().execute_unprepared("UPDATE sexton_task SET run_at = '2026-01-01 00:00:00'").await.unwrap();
        }
        store.pause_queue(&"default".into(), true).await.unwrap();
        assert!(stalled().await.is_empty(), "it is paused");
        store.pause_queue(&"default".into(), false).await.unwrap();
        let task = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        assert!(stalled().await.is_empty(), "one runs");
        let finished_at = sexton::clock::machine_time();
        let end = FinishedAttempt { finished_at, ..ended(&task, "n", Outcome::Succeeded, Verdict::Completed) };
        finish(&store, &[end]).await;
        assert!(stalled().await.is_empty(), "one has just ended");
        store.connection().execute_unprepared("UPDATE sexton_history SET finished_at = '2026-01-01 00:00:00'").await.unwrap();
        assert_eq!(stalled().await[0].1, 2);
    }
}
