//! Names that a node does not define: left alone, set aside, taken back, discarded.

use std::time::Duration;

use sexton::{
    domain::task::names::{DefinedBy, TaskNames, defined_by},
    store::Store,
};
use sexton_entities::states::{Outcome, TaskState, Verdict};

use super::{beat, enqueue, register};
use crate::support::{on_each_database, value};

fn names(names: &[&str]) -> TaskNames {
    names.iter().copied().collect()
}

/// The names that a node claims, at most five.
async fn claimed(store: &Store, known: &TaskNames) -> Vec<String> {
    let claimed = store.claim_known(known, &"n".into(), &"default".into(), 5).await.unwrap();
    claimed.tasks.into_iter().map(|task| task.name).collect()
}

on_each_database! {
    async fn only_known_names_are_claimed(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        // A real name may begin like another one, or differ in capital letters only.
        for name in ["other", "wor", "Work", "work2"] {
            enqueue(&store, name, 300).await;
        }
        enqueue(&store, "work", 7).await;
        enqueue(&store, "more", 1).await;
        let known = names(&["more", "work"]);
        let seen = store.peek_known(&known, &["default".into(), "empty".into()]).await.unwrap();
        assert_eq!((seen.queues, seen.unknown), (vec!["default".into()], vec!["default".into()]));
        assert_eq!(claimed(&store, &known).await, ["work"; 5]);
        assert_eq!(claimed(&store, &known).await, ["work", "work", "more"], "the others hide none of them");
        assert!(claimed(&store, &known).await.is_empty());
        assert!(claimed(&store, &names(&[])).await.is_empty());
        let seen = store.peek_known(&known, &["default".into()]).await.unwrap();
        assert_eq!((seen.queues, seen.unknown), (vec![], vec!["default".into()]));
        assert_eq!(claimed(&store, &names(&["Work", "none"])).await, ["Work"; 5]);
    }

    async fn claims_within_limits_take_known_names_only(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "other", 50).await;
        enqueue(&store, "work", 5).await;
        let mut narrow = sexton::domain::task::definition::TaskDefinition::new("work", "noop");
        narrow.max_parallel = Some(2);
        let limits = sexton::domain::task::limits::ConcurrencyLimits::new([], [&narrow]);
        let claim = async || {
            let claimed = store.claim_known_within(&limits, &names(&["work"]), &"n".into(), &"default".into(), 9).await;
            claimed.unwrap().tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()
        };
        assert_eq!(claim().await, ["work", "work"]);
        assert!(claim().await.is_empty());
    }

    async fn the_live_nodes_say_what_they_define(database: Database) {
        let store = database.store().await;
        register(&store, "a").await;
        assert!(!store.publish_names(&"stranger".into(), &names(&["x"]), &names(&[])).await.unwrap());
        assert_eq!(defined_by("x", &store.live_names().await.unwrap()), DefinedBy::Perhaps("a".to_owned()));
        assert!(store.publish_names(&"a".into(), &names(&["x", "ü'\""]), &names(&[])).await.unwrap());
        assert!(store.publish_names(&"a".into(), &names(&["x", "ü'\""]), &names(&[])).await.unwrap(), "also without a change");
        store.register(&beat("dead", Duration::ZERO)).await.unwrap();
        let live = store.live_names().await.unwrap();
        assert_eq!(defined_by("ü'\"", &live), DefinedBy::Nodes(vec!["a".to_owned()]));
        assert_eq!(defined_by("y", &live), DefinedBy::Nobody, "a dead node may define nothing");
    }

    async fn what_nobody_defines_is_set_aside_and_taken_back(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "lost", 2_300).await;
        enqueue(&store, "work", 1).await;
        assert_eq!(store.names_ahead(&"default".into()).await.unwrap(), ["lost"]);
        assert_eq!(store.set_unknown_aside(Some(&"default".into()), &names(&["lost"])).await.unwrap(), 2_300);
        assert_eq!(store.names_ahead(&"default".into()).await.unwrap(), ["work"], "the queue is free of them");
        let waiting = store.set_aside_names().await.unwrap();
        assert_eq!((waiting.len(), waiting[0].name.as_str(), waiting[0].tasks), (1, "lost", 2_300));
        let task = store.task(1).await.unwrap().unwrap();
        assert_eq!((task.state, task.queue.as_deref(), task.attempt), (TaskState::Scheduled, Some("default"), 0));
        assert_eq!(store.promote().await.unwrap(), 0, "not before its time");
        assert_eq!(store.take_back(&names(&["work"])).await.unwrap(), 0);
        assert_eq!(store.take_back(&names(&["lost", "work"])).await.unwrap(), 2_300);
        assert_eq!(claimed(&store, &names(&["lost"])).await, ["lost"; 5]);
        assert!(store.set_aside_names().await.unwrap().is_empty());
        let task = store.task(1).await.unwrap().unwrap();
        assert_eq!((task.state, task.unknown_since), (TaskState::Running, None));
    }

    async fn tasks_without_a_queue_are_set_aside_as_well(database: Database) {
        let store = database.store().await;
        let tasks = ["lost", "work"].map(sexton::NewTask::new);
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        assert_eq!(store.set_unknown_aside(None, &names(&["lost"])).await.unwrap(), 1);
        assert_eq!(store.names_without_queue().await.unwrap(), ["work"]);
        assert_eq!(store.take_back(&names(&["lost"])).await.unwrap(), 1);
        let mut waiting = store.names_without_queue().await.unwrap();
        waiting.sort();
        assert_eq!(waiting, ["lost", "work"]);
    }

    async fn what_waited_too_long_is_discarded_with_the_reason(database: Database) {
        let store = database.store().await;
        enqueue(&store, "lost", 1_200).await;
        enqueue(&store, "gone", 1).await;
        store.set_unknown_aside(Some(&"default".into()), &names(&["gone", "lost"])).await.unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(store.discard_set_aside("lost", day, "why").await.unwrap(), 0, "it has just begun to wait");
        assert_eq!(store.discard_set_aside("lost", Duration::ZERO, "no node defines it's name").await.unwrap(), 1_200);
        assert_eq!(store.set_aside_names().await.unwrap().iter().map(|name| name.tasks).collect::<Vec<_>>(), [1]);
        let rows = crate::daemon::history(&store).await;
        assert_eq!(rows.len(), 1_200);
        let row = &rows[0];
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Failed, Some(Verdict::Discarded), 0));
        assert_eq!((row.error.as_deref(), value(&row.payload)), (Some("no node defines it's name"), Some(0.into())));
        assert!(store.task(row.task_id.unwrap()).await.unwrap().is_none());
        let problems = super::problems::problems(&store).await;
        let found: Vec<_> = problems.iter().map(|problem| (problem.name.as_str(), problem.times, problem.discarded)).collect();
        assert_eq!(found, [("lost", 1_200, 1_200)]);
        assert_eq!(problems[0].what, "no node defines it's name");
    }
}
