//! A hundred thousand tasks over several nodes: each is completed exactly once, whichever node is killed meanwhile. On
//! MariaDB and MySQL there are thirty thousand: these take a minute for more.

use std::{collections::HashSet, time::Duration};

use sexton::{
    NewTask,
    domain::{identity::NodeId, task::claim::Claim},
    store::Store,
};
use sexton_entities::states::Outcome;

use super::{completed, count};
use crate::support::{Daemon, Database, Kind, block_on, within};

const PATIENCE: Duration = Duration::from_secs(300);
const SETTINGS: &str = "heartbeat = \"500ms\"\nlease = \"3s\"\n[task.nothing]\nkind = \"noop\"";

fn tasks(kind: Kind) -> i64 {
    match kind {
        Kind::Postgres | Kind::Sqlite => 100_000,
        Kind::MariaDb | Kind::MySql => 30_000,
    }
}

async fn enqueue_all(store: &Store, tasks: i64) {
    for _ in 0..tasks / 1_000 {
        let batch: Vec<NewTask> =
            (0..1_000).map(|number| NewTask::new("nothing").queue("default").payload(number)).collect();
        store.enqueue_all(store.connection(), &batch).await.unwrap();
    }
}

async fn all_done(store: &Store) {
    within(PATIENCE, "all tasks are done", async || count(store, "COUNT(*) FROM sexton_task").await == 0).await;
}

/// Each task has one completed row, and nothing else ended any of them.
async fn each_is_completed_once(store: &Store, tasks: i64) {
    assert_eq!(completed(store).await, tasks);
    let distinct = "COUNT(DISTINCT task_id) FROM sexton_history WHERE verdict = 'completed'";
    assert_eq!(count(store, distinct).await, tasks);
    let others = "COUNT(*) FROM sexton_history WHERE outcome NOT IN ('succeeded', 'interrupted', 'superseded')";
    assert_eq!(count(store, others).await, 0);
}

fn nodes(database: &Database, count: usize) -> Vec<Daemon> {
    (0..count).map(|number| database.daemon(&format!("n{number}"), SETTINGS)).collect()
}

async fn over_several_nodes(kind: Kind, count_of_nodes: usize) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    enqueue_all(&store, tasks(kind)).await;
    let nodes = nodes(&database, count_of_nodes);
    all_done(&store).await;
    for node in nodes {
        node.stop();
    }
    each_is_completed_once(&store, tasks(kind)).await;
    let others: Vec<_> =
        super::history(&store).await.into_iter().filter(|row| row.outcome != Outcome::Succeeded).collect();
    let reasons: std::collections::BTreeSet<_> = others.iter().map(|row| (&row.node, &row.error, row.fence)).collect();
    assert!(others.is_empty(), "{} attempts were interrupted, and nobody was killed: {reasons:?}", others.len());
    let shares = count(&store, "COUNT(DISTINCT node) FROM sexton_history").await;
    assert_eq!(shares, count_of_nodes as i64, "every node had its share");
}

async fn with_a_node_killed(kind: Kind, count_of_nodes: usize) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    enqueue_all(&store, tasks(kind)).await;
    let mut nodes = nodes(&database, count_of_nodes);
    // At a moment at which it certainly has tasks, it is frozen; then it is killed.
    let mut victim = nodes.remove(0);
    let mut held = HashSet::new();
    within(PATIENCE, "the victim is frozen with tasks", async || {
        victim.signal(nix::sys::signal::Signal::SIGSTOP);
        held = held_by(&store, "n0-").await;
        let is_caught = !held.is_empty() && completed(&store).await > 0;
        if !is_caught {
            victim.signal(nix::sys::signal::Signal::SIGCONT);
        }
        is_caught
    })
    .await;
    victim.kill();
    all_done(&store).await;
    for node in nodes {
        node.stop();
    }
    each_is_completed_once(&store, tasks(kind)).await;
    // A last statement may have been with the database when the victim was frozen: a claim of more, or a finish.
    let recorded: HashSet<Claim> = super::history(&store)
        .await
        .into_iter()
        .filter(|row| row.node.as_deref().is_some_and(|node| node.starts_with("n0-")))
        .map(|row| Claim::new(row.task_id.unwrap(), row.fence))
        .collect();
    let missing: Vec<&Claim> = held.difference(&recorded).collect();
    assert!(missing.is_empty(), "what the victim had is on record under its name: {missing:?}");
}

/// The claims of the node whose id begins so.
async fn held_by(store: &Store, node: &str) -> HashSet<Claim> {
    let Some(node) = store.nodes().await.unwrap().into_iter().map(|row| row.id).find(|id| id.starts_with(node)) else {
        return HashSet::new();
    };
    store.running_of(&NodeId::from(node)).await.unwrap().into_iter().map(|running| running.claim).collect()
}

#[test]
fn over_four_nodes_on_postgres() {
    block_on(over_several_nodes(Kind::Postgres, 4));
}

#[test]
fn over_four_nodes_on_mariadb() {
    block_on(over_several_nodes(Kind::MariaDb, 4));
}

#[test]
fn over_four_nodes_on_mysql() {
    block_on(over_several_nodes(Kind::MySql, 4));
}

#[test]
fn over_two_nodes_on_sqlite() {
    block_on(over_several_nodes(Kind::Sqlite, 2));
}

#[test]
fn with_one_of_four_nodes_killed_on_postgres() {
    block_on(with_a_node_killed(Kind::Postgres, 4));
}

#[test]
fn with_one_of_four_nodes_killed_on_mariadb() {
    block_on(with_a_node_killed(Kind::MariaDb, 4));
}

#[test]
fn with_one_of_four_nodes_killed_on_mysql() {
    block_on(with_a_node_killed(Kind::MySql, 4));
}

#[test]
fn with_one_of_two_nodes_killed_on_sqlite() {
    block_on(with_a_node_killed(Kind::Sqlite, 2));
}
