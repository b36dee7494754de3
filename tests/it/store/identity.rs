//! A claim is what it is: no other claim is taken for it, whatever the database has lost, and whichever it is.

use sea_orm::ConnectionTrait;
use sexton::{
    domain::{
        command::{answer::Progress, capture::Kept},
        task::{ClaimedTask, FinishedAttempt, limits::ConcurrencyLimits, pickups::judge_dead_node},
    },
    store::{HistoryFilter, OnStale, Recorded, Store},
};
use sexton_entities::{
    history,
    states::{Outcome, TaskState, Verdict},
};

use super::{ended, enqueue, one_claimed, register};
use crate::support::{Database, on_each_database};

/// More microseconds than have passed since 1970: by counting alone, a claim that was lost gets the same fence again.
const FAR: i64 = 8_000_000_000_000_000_000;

async fn run(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

/// The database loses a claim: the row is as it was before.
async fn lose(store: &Store, task: &ClaimedTask, fence: i64) {
    let id = task.claim.task_id;
    let sql = "UPDATE sexton_task SET state = 'available', node = NULL, started_at = NULL, attempt = attempt - 1";
    run(store, &format!("{sql}, fence = {fence} WHERE id = {id}")).await;
}

async fn claim(store: &Store, node: &str) -> ClaimedTask {
    store.claim(&node.into(), &"default".into(), 1).await.unwrap().tasks.remove(0)
}

async fn history(store: &Store) -> Vec<history::Model> {
    let mut rows = store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

async fn outcomes(store: &Store) -> Vec<Outcome> {
    history(store).await.iter().map(|row| row.outcome).collect()
}

fn done(task: &ClaimedTask, node: &str) -> FinishedAttempt {
    ended(task, node, Outcome::Succeeded, Verdict::Completed)
}

async fn finish(store: &Store, finished: &FinishedAttempt) -> Recorded {
    store.finish(std::slice::from_ref(finished), OnStale::Record).await.unwrap()
}

/// The task after the death of its node, as a rescuer judges it.
async fn rescue(store: &Store, task: &ClaimedTask, node: &str, max_pickups: i32) -> Recorded {
    let orphan = ended(task, node, Outcome::Interrupted, Verdict::Released);
    let judged = judge_dead_node(orphan, task.pickups, max_pickups);
    store.finish(&[judged], OnStale::Ignore).await.unwrap()
}

on_each_database! {
    async fn a_fence_never_returns(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let first = one_claimed(&store, "n").await;
        let limited = ConcurrencyLimits::new([(&"default".into(), 5)], []);
        let mut last = first.claim.fence;
        for is_limited in [false, true, false] {
            lose(&store, &first, 0).await;
            let again = match is_limited {
                true => store.claim_within(&limited, &"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0),
                false => claim(&store, "n").await,
            };
            assert!(again.claim.fence > last, "{} after {last}", again.claim.fence);
            let row = store.task(first.claim.task_id).await.unwrap().unwrap();
            assert_eq!((row.fence, row.attempt), (again.claim.fence, again.attempt), "what is returned is what is stored");
            last = again.claim.fence;
        }
        let in_1970 = chrono::DateTime::from_timestamp_micros(last).unwrap();
        assert!(super::about_now(in_1970), "it is the database's time: {in_1970}");
    }

    async fn two_executions_of_a_lost_claim_are_on_record_and_one_counts(database: Database) {
        let store = database.store().await;
        register(&store, "first").await;
        register(&store, "second").await;
        for (other, first_ends_first) in [("first", true), ("first", false), ("second", true), ("second", false)] {
            let first = one_claimed(&store, "first").await;
            lose(&store, &first, 0).await;
            let second = claim(&store, other).await;
            let ends = [done(&first, "first"), done(&second, other)];
            let mut counted = 0;
            for index in if first_ends_first { [0, 1] } else { [1, 0] } {
                counted += finish(&store, &ends[index]).await.counted;
            }
            assert_eq!((counted, store.task(first.claim.task_id).await.unwrap()), (1, None));
        }
        use Outcome::{Succeeded, Superseded};
        assert_eq!(
            outcomes(&store).await,
            [Superseded, Succeeded, Succeeded, Superseded, Superseded, Succeeded, Succeeded, Superseded]
        );
    }

    async fn the_same_fence_of_another_node_is_another_claim(database: Database) {
        let store = database.store().await;
        register(&store, "first").await;
        register(&store, "second").await;
        enqueue(&store, "work", 1).await;
        run(&store, &format!("UPDATE sexton_task SET fence = {FAR}")).await;
        let first = claim(&store, "first").await;
        assert_eq!(first.claim.fence, FAR + 1);
        lose(&store, &first, FAR).await;
        let second = claim(&store, "second").await;
        assert_eq!(second.claim, first.claim, "the case that is tested");
        assert_eq!(store.release(&"first".into(), &[first.identity()]).await.unwrap(), 0);
        store.set_progress(&"first".into(), &[(first.identity(), Progress::default())]).await.unwrap();
        assert!(store.adopt(&"third".into(), &[first.identity()]).await.unwrap().held.is_empty());
        let rescued = ended(&first, "first", Outcome::Interrupted, Verdict::Released);
        assert_eq!(store.finish(&[rescued], OnStale::Ignore).await.unwrap().counted, 0);
        let recorded = finish(&store, &done(&first, "first")).await;
        assert_eq!((recorded.counted, recorded.stale), (0, 1));
        let row = store.task(first.claim.task_id).await.unwrap().unwrap();
        assert_eq!((row.state, row.node.as_deref(), row.progress), (TaskState::Running, Some("second"), None));
        assert_eq!(finish(&store, &done(&second, "second")).await.counted, 1);
        assert_eq!(outcomes(&store).await, [Outcome::Superseded, Outcome::Succeeded]);
    }

    async fn a_number_that_is_given_again_is_another_task(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        // An application may write instants in any form that its database understands.
        let earlier = format!(
            "INSERT INTO sexton_task (id, name, queue, fence, enqueued_at) \
             VALUES (1, 'work', 'default', {FAR}, '2026-01-02 03:04:05')"
        );
        run(&store, &earlier).await;
        let with_output = |task: &ClaimedTask, text: &str| {
            let mut finished = done(task, "n");
            finished.report.stdout = Kept { text: text.to_owned(), ..Kept::default() };
            finished
        };
        let old = claim(&store, "n").await;
        let late = with_output(&old, "the old one");
        assert_eq!(finish(&store, &late).await.counted, 1);
        // The database was restored without its sequences: the number and the fence return.
        run(&store, &format!("INSERT INTO sexton_task (id, name, queue, fence) VALUES (1, 'work', 'default', {FAR})")).await;
        let new = claim(&store, "n").await;
        assert_eq!(new.claim, old.claim, "the case that is tested");
        let repeated = finish(&store, &late).await;
        assert_eq!((repeated.counted, repeated.stale), (0, 0), "it is on record already");
        assert_eq!(store.release(&"n".into(), &[old.identity()]).await.unwrap(), 0);
        assert_eq!(store.task(1).await.unwrap().unwrap().state, TaskState::Running);
        assert_eq!(finish(&store, &with_output(&new, "the new one")).await.counted, 1, "no old row is in the way");
        assert_eq!(outcomes(&store).await, [Outcome::Succeeded, Outcome::Succeeded]);
        for (row, text) in history(&store).await.iter().zip(["the old one", "the new one"]) {
            assert_eq!(store.output(row.id).await.unwrap().unwrap().stdout, text);
        }
        assert_eq!(history(&store).await[1].claimed_at, Some(new.started_at));
    }

    async fn what_the_version_before_has_left_on_disk_counts(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1).await;
        let task = claim(&store, "n").await;
        // The version before claimed by counting, and did not keep the instant of the claim.
        run(&store, "UPDATE sexton_task SET fence = 1").await;
        let mut finished = done(&ClaimedTask { claim: sexton::domain::task::claim::Claim::new(1, 1), ..task }, "n");
        finished.claimed_at = None;
        assert_eq!(finish(&store, &finished).await.counted, 1);
        assert_eq!(finish(&store, &finished).await.stale, 0, "repeated");
        assert_eq!(outcomes(&store).await, [Outcome::Succeeded]);
    }

    async fn a_claim_that_the_node_has_already_is_on_record(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let task = one_claimed(&store, "n").await;
        let again = ClaimedTask { started_at: task.started_at + chrono::TimeDelta::seconds(1), ..task.clone() };
        for _ in 0..2 {
            finish(&store, &again.claimed_again(&"n".into())).await;
        }
        assert_eq!(finish(&store, &done(&task, "n")).await.counted, 1, "the attempt that runs counts");
        let rows = history(&store).await;
        assert_eq!(outcomes(&store).await, [Outcome::Superseded, Outcome::Succeeded]);
        let why = "the node had this claim already, and the database had lost it: the attempt that ran went on";
        assert_eq!(rows[0].error.as_deref(), Some(why));
    }

    async fn a_task_that_takes_its_nodes_down_is_discarded(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1).await;
        for deaths in 0..3 {
            let task = claim(&store, "n").await;
            assert_eq!((task.pickups, task.attempt), (deaths, 1));
            let recorded = rescue(&store, &task, "n", 3).await;
            assert_eq!((recorded.counted, recorded.released), (1, usize::from(deaths < 2)));
            // What is given back in good order neither counts nor ends the row of deaths.
            if deaths < 2 {
                let drained = claim(&store, "n").await;
                store.finish(&[ended(&drained, "n", Outcome::Interrupted, Verdict::Released)], OnStale::Record).await.unwrap();
            }
        }
        assert_eq!(store.task(1).await.unwrap(), None);
        let rows = history(&store).await;
        let interrupted = rows.iter().filter(|row| row.outcome == Outcome::Interrupted).count();
        assert_eq!((rows.len(), interrupted), (5, 4), "the attempts before are on record");
        assert_eq!((rows[4].outcome, rows[4].verdict), (Outcome::Crashed, Some(Verdict::Discarded)));
        let why = "its node died during 3 attempts in a row, and max_pickups is 3";
        assert_eq!(rows[4].error.as_deref(), Some(why));
    }

    async fn an_attempt_that_ends_by_itself_begins_the_count_again(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1).await;
        let pickups = async || store.task(1).await.unwrap().unwrap().pickups;
        rescue(&store, &claim(&store, "n").await, "n", 5).await;
        assert_eq!(pickups().await, 1);
        let failed = ended(&claim(&store, "n").await, "n", Outcome::Failed, Verdict::Retry);
        finish(&store, &failed).await;
        assert_eq!(pickups().await, 0);
        store.run_now(1).await.unwrap();
        let slow = claim(&store, "n").await;
        rescue(&store, &slow, "n", 5).await;
        assert_eq!(pickups().await, 1);
        // The node was declared dead, and was not: its attempt has ended after all.
        assert_eq!(finish(&store, &done(&slow, "n")).await.stale, 1);
        assert_eq!(pickups().await, 0);
    }

    async fn a_database_has_one_identity(database: Database) {
        let store = database.store().await;
        let stores = [database.bare_store(), database.bare_store(), database.bare_store(), store.clone()];
        let ids = futures::future::join_all(stores.iter().map(Store::database_id)).await;
        let first = ids[0].as_ref().unwrap();
        assert!(ids.iter().all(|id| id.as_ref().unwrap() == first), "{ids:?}");
        assert_eq!(store.known_database_id(), Some(first));
        assert_eq!(database.bare_store().database_id().await.unwrap(), *first, "it stays");
        let other = Database::new(database.kind).await;
        assert_ne!(other.store().await.database_id().await.unwrap(), *first);
    }
}

on_each_database! {
    async fn a_history_of_the_version_before_is_kept(database: Database) {
        use sexton_migration::{Migrator, MigratorTrait as _};
        let store = database.bare_store();
        Migrator::up(&database.application().await, Some(8)).await.unwrap();
        for (id, outcome) in [(7, "interrupted"), (7, "succeeded"), (8, "failed")] {
            let sql = format!(
                "INSERT INTO sexton_history (task_id, name, queue, outcome, fence, error, core_dumped) \
                 VALUES ({id}, 'work', 'default', '{outcome}', 1, 'it''s kept', true)"
            );
            run(&store, &sql).await;
        }
        run(&store, "DELETE FROM sexton_history WHERE task_id = 8").await;
        let before = history_text(&store).await;
        let steps = store.migrate(&database.options()).await.unwrap();
        assert_eq!(steps[0], "m20261121_000009_identify_claims");
        assert_eq!(history_text(&store).await, before);
        let rows = history(&store).await;
        assert_eq!((rows.len(), rows[1].error.as_deref(), rows[1].core_dumped), (2, Some("it's kept"), Some(true)));
        // A node of the version before still writes beside the new ones, and numbers of rows are not given again.
        run(&store, "INSERT INTO sexton_history (task_id, name, outcome, fence) VALUES (7, 'work', 'succeeded', 1)").await;
        assert!(history(&store).await[2].id > rows[1].id + 1, "the number of the deleted row is not given again");
        // A step that was cut short runs again.
        run(&store, "DELETE FROM sexton_migration WHERE version LIKE '%000009%'").await;
        assert_eq!(store.migrate(&database.options()).await.unwrap().len(), 1);
        assert_eq!(history(&store).await.len(), 3);
        let indexes = Migrator::migrations().len() as u32 - 8;
        Migrator::down(&database.application().await, Some(indexes)).await.unwrap();
        store.migrate(&database.options()).await.unwrap();
        assert_eq!(history(&store).await.len(), 3);
    }
}

/// What every version can read of the history.
async fn history_text(store: &Store) -> Vec<(i64, String)> {
    let sql = "SELECT id, outcome FROM sexton_history ORDER BY id";
    let statement = sea_orm::Statement::from_string(store.connection().get_database_backend(), sql);
    let rows = store.connection().query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "id").unwrap(), row.try_get("", "outcome").unwrap())).collect()
}
