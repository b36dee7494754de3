//! Groups: counted without a common row, and one task after the last member.

use sexton::{
    Client, NewTask,
    domain::task::FinishedAttempt,
    store::{CancelResult, GroupCounts, OnStale, TaskSelection},
};
use sexton_client::Required;
use sexton_entities::states::{Outcome, TaskState, Verdict};

use super::{
    ended,
    followers::{claimed, completed, enqueued, finish, last, state},
    register,
};
use crate::support::on_each_database;

fn member() -> NewTask {
    NewTask::new("resize").queue("default").group("album")
}

fn after() -> NewTask {
    NewTask::new("publish").queue("default").after_group("album")
}

on_each_database! {
    async fn one_task_begins_after_the_last_of_ten_thousand(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let client = Client::new(store.clone());
        let mut tasks = vec![member(); 10_000];
        tasks.push(after());
        assert_eq!(client.enqueue_all(tasks).await.unwrap(), 10_001);
        let mut released = 0;
        let mut ended = 0;
        while ended < 10_000 {
            let tasks = store.claim(&"n".into(), &"default".into(), 2_000).await.unwrap().tasks;
            let ends: Vec<FinishedAttempt> = tasks.iter().map(completed).collect();
            ended += ends.len();
            // Four at once, as recorders of several nodes.
            let quarter = ends.len().div_ceil(4);
            let recording = ends.chunks(quarter).map(async |part| {
                let recorded = store.finish(part, OnStale::Record).await.unwrap();
                assert_eq!(recorded.groups, ["album".to_owned()].into());
                store.settle_groups(&recorded.groups).await.unwrap().released
            });
            released += futures::future::join_all(recording).await.into_iter().sum::<usize>();
            assert_eq!(released, usize::from(ended == 10_000), "after {ended}");
        }
        let counts = store.group("album").await.unwrap().unwrap();
        let expected = GroupCounts { name: "album".to_owned(), completed: 10_000, ..GroupCounts::default() };
        assert_eq!(counts, expected);
        let next = claimed(&store).await;
        assert_eq!(next.len(), 1);
        let told: serde_json::Value = next[0].predecessors.as_ref().unwrap().decode().unwrap();
        assert_eq!((&told[0]["group"], &told[0]["outcome"]), (&"album".into(), &"succeeded".into()));
    }

    async fn a_member_that_fails_decides_and_all_are_counted(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for _ in 0..4 {
            enqueued(&store, member()).await;
        }
        let [success, failure, always] = [
            enqueued(&store, after()).await,
            enqueued(&store, after().when(Required::Failure)).await,
            enqueued(&store, after().when(Required::Always)).await,
        ];
        let tasks = claimed(&store).await;
        finish(&store, &[completed(&tasks[0]), ended(&tasks[1], "n", Outcome::Failed, Verdict::Discarded)]).await;
        let counts = store.group("album").await.unwrap().unwrap();
        let expected = GroupCounts {
            name: "album".to_owned(), running: 2, completed: 1, failed: 1, followers: 3, ..GroupCounts::default()
        };
        assert_eq!(counts, expected);
        assert_eq!(store.groups().await.unwrap(), [counts]);
        assert_eq!(store.group_members("album", 9).await.unwrap().len(), 2);
        assert_eq!(store.group_followers("album").await.unwrap().len(), 3);
        finish(&store, &[ended(&tasks[2], "n", Outcome::Cancelled, Verdict::Cancelled)]).await;
        finish(&store, &[completed(&tasks[3])]).await;
        // A node that dies between the end of the last member and this: another one looks.
        let settled = store.settle_all().await.unwrap();
        assert_eq!((settled.released, settled.skipped), (2, 1));
        assert_eq!(store.settle_all().await.unwrap(), Default::default());
        assert_eq!((state(&store, failure).await, state(&store, always).await), (Some(TaskState::Available), Some(TaskState::Available)));
        let error = last(&store, success).await.error;
        assert_eq!(error.as_deref(), Some("group album ended as failed, and this task runs only after its success"));
        let counts = store.group("album").await.unwrap().unwrap();
        assert_eq!((counts.completed, counts.failed, counts.cancelled, counts.unfinished()), (2, 1, 1, 0));
        assert_eq!(store.group("other").await.unwrap(), None);
    }

    async fn a_group_is_cancelled_as_a_whole(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for _ in 0..5 {
            enqueued(&store, member()).await;
        }
        let other = enqueued(&store, NewTask::new("other").queue("elsewhere")).await;
        let next = enqueued(&store, after()).await;
        let running = store.claim(&"n".into(), &"default".into(), 2).await.unwrap().tasks;
        let selection = TaskSelection { group: Some("album".to_owned()), ..TaskSelection::default() };
        let ids = store.selected(&selection).await.unwrap().next().await.unwrap();
        let results = store.cancel_all(&ids, &selection).await.unwrap();
        let count = |wanted| results.iter().filter(|(_, result)| *result == wanted).count();
        assert_eq!((count(CancelResult::Cancelled), count(CancelResult::Requested)), (3, 2));
        assert_eq!(store.settle_groups(&["album".to_owned()].into()).await.unwrap(), Default::default());
        let ends: Vec<FinishedAttempt> =
            running.iter().map(|task| ended(task, "n", Outcome::Cancelled, Verdict::Cancelled)).collect();
        let recorded = finish(&store, &ends).await;
        assert_eq!(store.settle_groups(&recorded.groups).await.unwrap().skipped, 1);
        assert!(last(&store, next).await.error.unwrap().starts_with("group album ended as cancelled"));
        assert_eq!(state(&store, other).await, Some(TaskState::Available));
    }

    async fn a_member_that_waits_for_its_group_is_a_cycle(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = enqueued(&store, member()).await;
        let next = enqueued(&store, after()).await;
        let late = enqueued(&store, member().after([next])).await;
        finish(&store, &[completed(&claimed(&store).await[0])]).await;
        assert_eq!(last(&store, first).await.group_name.as_deref(), Some("album"));
        assert_eq!(store.settle_all().await.unwrap().skipped, 2);
        for id in [next, late] {
            let row = last(&store, id).await;
            assert_eq!(row.error, Some(format!("tasks {next}, {late} wait for one another")));
        }
    }
}
