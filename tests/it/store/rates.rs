//! Rates: how many tasks may begin in a length of time, in the whole cluster.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::EntityTrait as _;
use sexton::{
    domain::task::{
        definition::{NOOP, TaskDefinition},
        limits::ConcurrencyLimits,
        rate::{BucketName, RateLimit},
    },
    store::{ClaimResult, OnStale, Store},
};
use sexton_entities::states::{Outcome, Verdict};

use super::{ended, enqueue, register};
use crate::support::{eventually, on_each_database};

fn limit(rate: &str, burst: u32) -> RateLimit {
    RateLimit::new(rate.parse().unwrap(), Some(burst))
}

/// A rate of queue `default`.
fn of_queue(rate: RateLimit) -> ConcurrencyLimits {
    ConcurrencyLimits::default().with_rates([(&"default".into(), rate)])
}

/// Rates of tasks.
fn of_tasks(rates: &[(&str, RateLimit)]) -> ConcurrencyLimits {
    let rated =
        |(name, rate): &(&str, RateLimit)| TaskDefinition { rate: Some(*rate), ..TaskDefinition::new(name, NOOP) };
    ConcurrencyLimits::new([], &rates.iter().map(rated).collect::<Vec<_>>())
}

async fn claim(store: &Store, limits: &ConcurrencyLimits, node: &str, count: usize) -> ClaimResult {
    store.claim_within(limits, &node.into(), &"default".into(), count).await.unwrap()
}

fn names(claimed: &ClaimResult) -> Vec<&str> {
    claimed.tasks.iter().map(|task| task.name.as_str()).collect()
}

/// Claims all tasks from several nodes at once, as fast as they come; gives when each one began.
async fn begins(store: &Store, limits: &ConcurrencyLimits, count: usize) -> Vec<DateTime<Utc>> {
    let claimers = (0..4).map(|number| async move {
        let (node, mut begins) = (format!("n{number}"), Vec::new());
        register(store, &node).await;
        loop {
            let claimed = claim(store, limits, &node, 7).await;
            for task in &claimed.tasks {
                begins.push(task.started_at);
                let end = ended(task, &node, Outcome::Succeeded, Verdict::Completed);
                store.finish(&[end], OnStale::Record).await.unwrap();
            }
            if claimed.tasks.is_empty() && store.peek(&["default".into()]).await.unwrap().queues.is_empty() {
                return begins;
            }
            tokio::time::sleep(claimed.next_token.unwrap_or_default().min(Duration::from_millis(50))).await;
        }
    });
    let mut begins: Vec<DateTime<Utc>> = futures::future::join_all(claimers).await.into_iter().flatten().collect();
    begins.sort();
    assert_eq!(begins.len(), count);
    begins
}

/// Checks each window that begins and ends with a begin.
fn check_windows(begins: &[DateTime<Utc>], per_second: i64, burst: i64) {
    for (first, start) in begins.iter().enumerate() {
        for (last, end) in begins.iter().enumerate().skip(first) {
            let micros = (*end - *start).num_microseconds().unwrap();
            let most = burst + micros * per_second / 1_000_000;
            let begun = (last - first + 1) as i64;
            assert!(begun <= most, "{begun} began within {micros} us");
        }
    }
}

on_each_database! {
    async fn no_window_has_more_begins_than_a_rate_allows(database: Database) {
        let store = database.store().await;
        for limits in [of_queue(limit("200/1s", 20)), of_tasks(&[("work", limit("200/1s", 20))])] {
            enqueue(&store, "work", 240).await;
            check_windows(&begins(&store, &limits, 240).await, 200, 20);
        }
    }

    async fn a_task_without_a_token_is_in_nobodys_way(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "mail", 30).await;
        enqueue(&store, "other", 4).await;
        let limits = of_tasks(&[("mail", limit("2/1h", 2)), ("never-there", limit("1/1h", 1))]);
        let claimed = claim(&store, &limits, "n", 5).await;
        assert_eq!(names(&claimed), ["mail", "mail", "other", "other", "other"], "those behind are found by the same claim");
        let wait = claimed.next_token.unwrap();
        assert!(wait > Duration::from_secs(1_000) && wait <= Duration::from_secs(1_800), "{wait:?}");
        assert_eq!(names(&claim(&store, &limits, "n", 5).await), ["other"]);
        let nothing = claim(&store, &limits, "n", 5).await;
        assert!(nothing.tasks.is_empty() && nothing.next_token.is_some());
        let seen = store.cluster_queues().await.unwrap();
        assert!(seen.used_up.contains_key(&BucketName::Task("mail".to_owned())), "{seen:?}");
    }

    async fn a_claim_that_fails_takes_no_token(database: Database) {
        let store = database.store().await;
        // A node without a lease gets nothing.
        enqueue(&store, "work", 5).await;
        let limits = of_queue(limit("3/1h", 3));
        assert_eq!(claim(&store, &limits, "stranger", 5).await, ClaimResult::default());
        assert!(store.rates().await.unwrap().is_empty());
        register(&store, "n").await;
        assert_eq!(claim(&store, &limits, "n", 2).await.tasks.len(), 2);
        assert_eq!(store.rates().await.unwrap()[0].tokens, 1);
        let last = claim(&store, &limits, "n", 5).await;
        assert_eq!((last.tasks.len(), last.next_token.is_some()), (1, true));
        // What was given back has used its token.
        let claims: Vec<_> = last.tasks.iter().map(sexton::domain::task::ClaimedTask::identity).collect();
        store.release(&"n".into(), &claims).await.unwrap();
        assert!(claim(&store, &limits, "n", 5).await.tasks.is_empty());
    }

    async fn of_two_rates_the_stricter_counts_while_its_node_lives(database: Database) {
        let store = database.store().await;
        for node in ["a", "b"] {
            register(&store, node).await;
        }
        enqueue(&store, "work", 20).await;
        let (strict, loose) = (of_queue(limit("2/1h", 2)), of_queue(limit("900/1h", 9)));
        assert_eq!(claim(&store, &strict, "a", 1).await.tasks.len(), 1);
        let bound = claim(&store, &loose, "b", 9).await;
        assert_eq!(bound.tasks.len(), 1, "one was left by the other rate");
        let said: Vec<String> = bound.stricter.iter().map(ToString::to_string).collect();
        let sentence = "nodes set different rates for queue default: 900/1h (burst 9) here, 2/1h (burst 2) on a; the smaller one counts";
        assert_eq!(said, [sentence]);
        assert!(claim(&store, &loose, "b", 9).await.tasks.is_empty());
        store.leave(&"a".into()).await.unwrap();
        assert_eq!(claim(&store, &loose, "b", 9).await.postponed, 1, "the bucket is shortened, and asked again at once");
        // The bucket is as empty as it can be by the own rate: the next token is four seconds away.
        let alone = claim(&store, &loose, "b", 9).await;
        assert!(alone.stricter.is_empty() && alone.next_token.is_some_and(|wait| wait <= Duration::from_secs(4)), "{alone:?}");
        eventually("a token has come", async || !claim(&store, &loose, "b", 1).await.tasks.is_empty()).await;
        let row = sexton_entities::rate::Entity::find().one(store.connection()).await.unwrap().unwrap();
        assert_eq!((row.tokens, row.burst, row.node.as_deref()), (900, 9, Some("b")));
    }
}
