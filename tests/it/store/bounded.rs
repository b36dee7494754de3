//! Claims under bounds that hold in the whole cluster.

use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use sexton::{
    domain::{
        schedule::{
            Schedule,
            missed_policy::{Overlap, Policy},
            reason::Reason,
        },
        task::{
            claim::{Claim, ClaimIdentity},
            definition::{NOOP, TaskDefinition},
            limits::ConcurrencyLimits,
        },
    },
    store::{Firing, OnStale, Store},
};
use sexton_entities::states::{Fate, Outcome, Verdict};

use super::{
    ended, enqueue,
    overlap::ahead_at,
    register,
    schedules::{firing, sighting, tasks},
};
use crate::support::{Database, Kind, on_each_database};

const MOST: usize = 3;

/// At most [`MOST`] tasks `narrow` at once.
fn narrow() -> ConcurrencyLimits {
    ConcurrencyLimits::new([], &[TaskDefinition { max_parallel: Some(MOST), ..TaskDefinition::new("narrow", NOOP) }])
}

/// Schedules whose runs wait for one another.
fn in_order(names: &[&str]) -> ConcurrencyLimits {
    let policy = Policy { overlap: Overlap::Queue, ..Policy::default() };
    let schedule = |name: &&str| Schedule { policy: policy.clone(), ..Schedule::new(*name, Vec::new()) };
    let schedules: Vec<Schedule> = names.iter().map(schedule).collect();
    ConcurrencyLimits::new([], &[]).with_schedules(&schedules)
}

async fn running(store: &Store, name: &str) -> usize {
    tasks(store).await.iter().filter(|task| task.name == name && task.node.is_some()).count()
}

/// Claims until nothing is left, from four nodes at once, and ends what it has claimed; gives how much each has done.
async fn work_off(store: &Store, bounds: &ConcurrencyLimits, name: &str) -> usize {
    let claimers = (0..4).map(|number| async move {
        let node = format!("n{number}");
        register(store, &node).await;
        let mut done = 0;
        loop {
            let claimed = store.claim_within(bounds, &node.as_str().into(), &"default".into(), 5).await.unwrap().tasks;
            let running = running(store, name).await;
            assert!(running <= MOST, "{running} run at once");
            for task in &claimed {
                let end = ended(task, &node, Outcome::Succeeded, Verdict::Completed);
                store.finish(&[end], OnStale::Record).await.unwrap();
            }
            done += claimed.len();
            if claimed.is_empty() && store.peek(&["default".into()]).await.unwrap().queues.is_empty() {
                return done;
            }
        }
    });
    futures::future::join_all(claimers).await.into_iter().sum()
}

async fn claim(store: &Store, bounds: &ConcurrencyLimits, count: usize) -> Vec<String> {
    let claimed = store.claim_within(bounds, &"n".into(), &"default".into(), count).await.unwrap().tasks;
    claimed.into_iter().map(|task| task.due_at.map_or(task.name, |due_at| due_at.to_rfc3339())).collect()
}

/// How many turns were taken in all.
async fn turns(store: &Store) -> i64 {
    let turns = sexton_entities::turn::Entity::find().all(store.connection()).await.unwrap();
    turns.iter().map(|row| row.turn).sum()
}

/// Ends the oldest unfinished task.
async fn end_first(store: &Store) {
    store.cancel(tasks(store).await.iter().map(|task| task.id).min().unwrap()).await.unwrap();
}

/// Fires three instants of schedule `s` that are queued.
async fn three_queued(database: &Database) -> Store {
    let store = database.store().await;
    register(&store, "n").await;
    store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
    let queued = |hours| Firing { overlap: Overlap::Queue, ..firing("s", ahead_at(hours), Fate::Fired) };
    assert_eq!(store.fire("n", &[queued(0)]).await.unwrap(), ["s"]);
    assert_eq!(store.fire("n", &[queued(1), queued(2)]).await.unwrap(), ["s", "s"]);
    store
}

on_each_database! {
    async fn a_limit_holds_for_all_claimers_together(database: Database) {
        let store = database.store().await;
        let limit = ConcurrencyLimits::new([(&"default".into(), MOST)], []);
        enqueue(&store, "work", 60).await;
        assert_eq!(work_off(&store, &limit, "work").await, 60);
        // A pause counts here as well.
        enqueue(&store, "work", 1).await;
        store.pause_queue(&"default".into(), true).await.unwrap();
        assert!(store.claim_within(&limit, &"n0".into(), &"default".into(), 1).await.unwrap().tasks.is_empty());
        store.pause_queue(&"default".into(), false).await.unwrap();
        assert_eq!(store.claim_within(&limit, &"n0".into(), &"default".into(), 1).await.unwrap().tasks.len(), 1);
    }

    async fn a_bound_of_a_task_holds_for_all_claimers_together(database: Database) {
        let store = database.store().await;
        for name in ["narrow", "wide", "narrow"] {
            enqueue(&store, name, 25).await;
        }
        assert_eq!(work_off(&store, &narrow(), "narrow").await, 75);
    }

    async fn what_may_not_run_is_in_nobodys_way(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "narrow", 50).await;
        enqueue(&store, "wide", 4).await;
        let mixed = ["narrow", "narrow", "narrow", "wide", "wide"];
        assert_eq!(claim(&store, &narrow(), 5).await, mixed, "those behind are found by the same claim");
        assert_eq!(claim(&store, &narrow(), 5).await, ["wide", "wide"]);
        assert!(claim(&store, &narrow(), 5).await.is_empty());
        let [first, ..] = &tasks(&store).await[..] else { panic!("some are left") };
        store.release(&"n".into(), &[ClaimIdentity { claim: Claim::new(first.id, first.fence), enqueued_at: first.enqueued_at, claimed_at: None }]).await.unwrap();
        assert_eq!(claim(&store, &narrow(), 5).await, ["narrow"], "one was given back, so there is room for one");
    }

    async fn runs_in_order_begin_when_the_earlier_ones_have_ended(database: Database) {
        let store = three_queued(&database).await;
        let bounds = in_order(&["s"]);
        let ledger = store.occurrences("s", 9).await.unwrap();
        let reason = Reason::Queued { unfinished: ahead_at(0), late_by: None };
        let told: Vec<_> = ledger.iter().map(|entry| (entry.fate, Reason::of(entry))).collect();
        assert_eq!(told, [(Fate::Fired, Some(reason.clone())), (Fate::Fired, Some(reason)), (Fate::Fired, None)]);
        enqueue(&store, "s-task", 1).await;
        let first = store.claim_within(&bounds, &"n".into(), &"default".into(), 5).await.unwrap().tasks;
        assert_eq!(first.iter().map(|task| task.due_at).collect::<Vec<_>>(), [None, Some(ahead_at(0))]);
        assert!(claim(&store, &bounds, 5).await.is_empty());
        // One that waits for another attempt is not over.
        let failed = ended(&first[1], "n", Outcome::Failed, Verdict::Retry);
        let failed = sexton::domain::task::FinishedAttempt { retry_ms: 3_600_000, ..failed };
        store.finish(&[failed], OnStale::Record).await.unwrap();
        assert!(claim(&store, &bounds, 5).await.is_empty());
        end_first(&store).await;
        assert_eq!(claim(&store, &bounds, 5).await, [ahead_at(1).to_rfc3339()]);
    }

    async fn four_claimers_get_runs_in_order_one_by_one(database: Database) {
        let store = three_queued(&database).await;
        let bounds = in_order(&["s"]);
        for hours in 0..3 {
            let (node, queue) = ("n".into(), "default".into());
            let claims = (0..4).map(|_| store.claim_within(&bounds, &node, &queue, 5));
            let claimed: Vec<_> = futures::future::join_all(claims).await.into_iter().flat_map(|c| c.unwrap().tasks).collect();
            assert_eq!(claimed.iter().map(|task| task.due_at).collect::<Vec<_>>(), [Some(ahead_at(hours))]);
            let end = ended(&claimed[0], "n", Outcome::Succeeded, Verdict::Completed);
            store.finish(&[end], OnStale::Record).await.unwrap();
        }
    }

    async fn the_first_run_is_found_behind_newer_ones(database: Database) {
        let store = three_queued(&database).await;
        let bounds = in_order(&["s"]);
        // The newer ones go first by their priority; one of them stands in another queue.
        let sql = "UPDATE sexton_task SET priority = priority - 1 WHERE id > (SELECT least FROM (SELECT MIN(id) AS least FROM sexton_task) x)";
        database.application().await.execute_unprepared(sql).await.unwrap();
        let first = store.claim_within(&bounds, &"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        assert_eq!(first.due_at, Some(ahead_at(0)));
        assert!(claim(&store, &bounds, 1).await.is_empty());
        let end = ended(&first, "n", Outcome::Succeeded, Verdict::Completed);
        store.finish(&[end], OnStale::Record).await.unwrap();
        store.move_waiting(&[("s", "other", 7)]).await.unwrap();
        assert!(claim(&store, &bounds, 1).await.is_empty());
        let moved = store.claim_within(&bounds, &"n".into(), &"other".into(), 5).await.unwrap().tasks;
        assert_eq!(moved.iter().map(|task| task.due_at).collect::<Vec<_>>(), [Some(ahead_at(1))]);
    }

    async fn a_claim_that_gets_nothing_writes_nothing(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let both = ConcurrencyLimits::new([(&"default".into(), 2)], &[TaskDefinition { max_parallel: Some(1), ..TaskDefinition::new("narrow", NOOP) }]);
        enqueue(&store, "narrow", 5).await;
        assert_eq!(claim(&store, &both, 5).await, ["narrow"]);
        let before = turns(&store).await;
        assert!(claim(&store, &both, 5).await.is_empty());
        enqueue(&store, "wide", 5).await;
        assert_eq!(claim(&store, &both, 5).await, ["wide"]);
        let between = turns(&store).await;
        assert!(claim(&store, &both, 5).await.is_empty(), "the limit of the queue is reached");
        assert_eq!(turns(&store).await, between);
        assert_eq!(between - before, i64::from(database.kind != Kind::Sqlite), "one turn for one claim that got something");
    }
}
