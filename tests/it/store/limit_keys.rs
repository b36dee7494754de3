//! Limits by key, and queues in which keys take turns.

use std::collections::BTreeMap;

use sea_orm::EntityTrait as _;
use serde_json::json;
use sexton::{
    NewTask,
    domain::task::{
        ClaimedTask,
        definition::{NOOP, TaskDefinition},
        limit_key::KeyPath,
        limits::ConcurrencyLimits,
    },
    store::{KeySearch, OnStale, Store},
};
use sexton_entities::states::{Outcome, Verdict};

use super::{ended, enqueue, register, schedules::tasks};
use crate::support::on_each_database;

fn path() -> KeyPath {
    "$.customer".parse().unwrap()
}

/// A limit for the tasks `report` of one customer.
fn by_customer(most: usize) -> ConcurrencyLimits {
    let by = Some(path());
    let report =
        TaskDefinition { max_parallel: Some(most), max_parallel_by: by, ..TaskDefinition::new("report", NOOP) };
    ConcurrencyLimits::new([], &[report])
}

/// Customers take turns in queue `default`.
fn fair() -> ConcurrencyLimits {
    ConcurrencyLimits::default().with_fair_queues([(&"default".into(), &path())])
}

async fn of_customer(store: &Store, name: &str, customer: &str, count: usize) {
    let task = NewTask::new(name).queue("default").payload(json!({ "customer": customer }));
    store.enqueue_all(store.connection(), &vec![task; count]).await.unwrap();
}

/// Sets the keys and claims, as the dispatcher does.
async fn claim(store: &Store, limits: &ConcurrencyLimits, node: &str, count: usize) -> Vec<ClaimedTask> {
    let mut search = KeySearch::default();
    store.set_limit_keys(limits.keys(), &"default".into(), &mut search).await.unwrap();
    store.claim_within(limits, &node.into(), &"default".into(), count).await.unwrap().tasks
}

/// How many of these tasks are of each customer.
fn customers(claimed: &[ClaimedTask]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in claimed {
        let payload = task.payload.as_ref().and_then(|payload| payload.decode::<serde_json::Value>().ok());
        *counts.entry(path().key(payload.as_ref())).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(customer, count)| (customer.to_owned(), count)).into()
}

async fn end(store: &Store, node: &str, claimed: &[ClaimedTask]) {
    for task in claimed {
        let end = ended(task, node, Outcome::Succeeded, Verdict::Completed);
        store.finish(&[end], OnStale::Record).await.unwrap();
    }
}

on_each_database! {
    async fn a_limit_by_key_holds_for_each_key(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        of_customer(&store, "report", "acme", 30).await;
        of_customer(&store, "report", "zorn", 1).await;
        enqueue(&store, "other", 2).await;
        let limits = by_customer(3);
        let first = claim(&store, &limits, "n", 10).await;
        assert_eq!(customers(&first), counts([("", 2), ("acme", 3), ("zorn", 1)]), "those behind are found by the same claim");
        assert!(claim(&store, &limits, "n", 10).await.is_empty());
        let done = first.iter().find(|task| task.name == "report").unwrap();
        end(&store, "n", std::slice::from_ref(done)).await;
        assert_eq!(customers(&claim(&store, &limits, "n", 10).await), counts([("acme", 1)]));
    }

    async fn a_limit_by_key_holds_for_all_claimers_together(database: Database) {
        let store = database.store().await;
        for customer in ["a", "b", "c"] {
            of_customer(&store, "report", customer, 20).await;
        }
        let limits = by_customer(2);
        let claimers = (0..4).map(|number| {
            let (store, limits) = (&store, &limits);
            async move {
                let node = format!("n{number}");
                register(store, &node).await;
                let mut done = 0;
                loop {
                    let claimed = claim(store, limits, &node, 4).await;
                    let mut running: BTreeMap<Option<String>, usize> = BTreeMap::new();
                    for task in tasks(store).await.into_iter().filter(|task| task.node.is_some()) {
                        *running.entry(task.limit_key).or_default() += 1;
                    }
                    assert!(running.values().all(|running| *running <= 2), "{running:?}");
                    end(store, &node, &claimed).await;
                    done += claimed.len();
                    if claimed.is_empty() && store.peek(&["default".into()]).await.unwrap().queues.is_empty() {
                        return done;
                    }
                }
            }
        });
        assert_eq!(futures::future::join_all(claimers).await.into_iter().sum::<usize>(), 60);
    }

    async fn keys_take_turns(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        of_customer(&store, "report", "many", 3_000).await;
        of_customer(&store, "mail", "many", 5).await;
        of_customer(&store, "report", "few", 10).await;
        enqueue(&store, "keyless", 10).await;
        let limits = fair();
        let mut seen = BTreeMap::new();
        for _ in 0..5 {
            for (customer, count) in customers(&claim(&store, &limits, "n", 6).await) {
                *seen.entry(customer).or_default() += count;
            }
        }
        assert_eq!(seen, counts([("", 10), ("few", 10), ("many", 10)]), "each has had its third");
        assert_eq!(customers(&claim(&store, &limits, "n", 6).await), counts([("many", 6)]), "alone it has all");
        // One worker: each claim goes on behind the key of the one before, whatever node that was.
        register(&store, "m").await;
        of_customer(&store, "report", "few", 2).await;
        let mut order = Vec::new();
        for node in ["n", "m", "n", "m"] {
            order.extend(customers(&claim(&store, &limits, node, 1).await).into_keys());
        }
        assert_eq!(order, ["few", "many", "few", "many"]);
    }

    async fn priority_goes_before_the_turn_of_a_key(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        of_customer(&store, "report", "a", 3).await;
        let urgent = NewTask::new("report").queue("default").payload(json!({ "customer": "z" })).priority(-1);
        store.enqueue_all(store.connection(), &vec![urgent; 2]).await.unwrap();
        assert_eq!(customers(&claim(&store, &fair(), "n", 2).await), counts([("z", 2)]));
    }

    async fn a_fair_queue_keeps_limits_by_key(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        of_customer(&store, "report", "acme", 40).await;
        of_customer(&store, "mail", "acme", 1).await;
        of_customer(&store, "report", "zorn", 5).await;
        let limits = by_customer(2).with_fair_queues([(&"default".into(), &path())]);
        let mut claimed = Vec::new();
        for _ in 0..6 {
            claimed.extend(claim(&store, &limits, "n", 3).await);
        }
        let reports: Vec<ClaimedTask> = claimed.iter().filter(|task| task.name == "report").cloned().collect();
        assert_eq!(customers(&reports), counts([("acme", 2), ("zorn", 2)]));
        assert_eq!(claimed.len(), 5, "what may not run is in nobody's way, also of its own key");
    }

    async fn tasks_that_an_application_inserts_get_their_key(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        of_customer(&store, "report", "a", 700).await;
        let mut search = KeySearch::default();
        let (limits, queue) = (fair(), "default".into());
        store.set_limit_keys(limits.keys(), &queue, &mut search).await.unwrap();
        let keyed = async || {
            let tasks = sexton_entities::task::Entity::find().all(store.connection()).await.unwrap();
            tasks.iter().filter(|task| task.limit_key.is_some()).count()
        };
        assert_eq!(keyed().await, 700);
        // One with a key of its own keeps it.
        let sql = "INSERT INTO sexton_task (name, queue, limit_key) VALUES ('report', 'default', 'own')";
        sea_orm::ConnectionTrait::execute_unprepared(store.connection(), sql).await.unwrap();
        store.set_limit_keys(limits.keys(), &queue, &mut search).await.unwrap();
        assert_eq!(keyed().await, 701);
        assert!(tasks(&store).await.iter().any(|task| task.limit_key.as_deref() == Some("own")));
    }

    async fn a_task_that_has_waited_goes_before_a_more_urgent_one(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "urgent", 40).await;
        let hour = chrono::TimeDelta::hours(1);
        let now = store.now().await.unwrap();
        let old = |name: &str, priority, hours: i32| {
            NewTask::new(name).queue("default").priority(priority).run_at(now - hour * hours)
        };
        let tasks = [old("waited", 5, 7), old("not-yet", 9, 7), old("exactly", 2, 2), old("never", 100_000, 90)];
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let aging = ConcurrencyLimits::default().with_aging([(&"default".into(), std::time::Duration::from_secs(3_600))]);
        let names = |claimed: Vec<ClaimedTask>| claimed.into_iter().map(|task| task.name).collect::<Vec<_>>();
        assert_eq!(names(claim(&store, &aging, "n", 1).await), ["waited"], "5 - 7 is before 0");
        let mut next = names(claim(&store, &aging, "n", 41).await);
        next.sort();
        next.dedup();
        assert_eq!(next, ["exactly", "urgent"], "2 - 2 is as urgent as 0");
        assert_eq!(names(claim(&store, &aging, "n", 5).await), ["not-yet", "never"]);
    }
}
