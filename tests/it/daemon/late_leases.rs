//! Late in a lease: nothing exclusive begins that could not end within it.

use std::time::Duration;

use sexton::{
    Client, NewTask,
    clock::uptime,
    domain::{
        daemon::lease::Grant,
        identity::QueueName,
        task::definition::{NOOP, TaskDefinition},
    },
};

use super::{completed, count};
use crate::support::{Database, Inside, Kind, block_on, blueprint, eventually};

#[test]
fn nothing_exclusive_begins_that_could_not_end_within_the_lease() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let client = Client::new(store.clone());
        let minute = Duration::from_secs(60);
        let mut plan = blueprint(&database);
        plan.config.daemon.heartbeat = 5 * minute;
        plan.config.daemon.lease = 10 * minute;
        let bound = TaskDefinition {
            max_parallel: Some(1),
            kill_after: 60 * minute,
            queue: "serial".into(),
            ..TaskDefinition::new("bound", NOOP)
        };
        plan.config.tasks.insert("bound".to_owned(), bound.into());
        plan.config.queues.insert("serial".into(), plan.config.queues[&QueueName::from("default")].clone());
        let inside = Inside::start(plan);
        eventually("it has a lease", async || inside.daemon.lease.grant().is_some()).await;
        let grant = inside.daemon.lease.grant().unwrap();
        // Half of it is over, and another node lives.
        inside.daemon.lease.renew(Grant {
            asked_at: uptime().saturating_sub(grant.length / 2),
            is_alone: false,
            ..grant
        });
        client.enqueue(NewTask::new("bound").queue("serial")).await.unwrap();
        client.enqueue(NewTask::new("nothing").queue("default")).await.unwrap();
        eventually("the other one is done", async || completed(&store).await == 1).await;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE state = 'available' AND fence = 0").await, 1);
        inside.daemon.lease.renew(Grant { asked_at: uptime(), is_alone: false, ..grant });
        eventually("it begins after a heartbeat", async || completed(&store).await == 2).await;
        assert_eq!(inside.stop(), 0);
    });
}
