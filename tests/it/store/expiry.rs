//! Tasks that expire: never claimed from then on, and on record as skipped.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use sexton::{
    Client, NewTask,
    store::{Enqueued, OnStale, Store},
};
use sexton_entities::states::{Fate, Outcome, TaskState, Verdict};

use super::{
    ended, register,
    schedules::{ahead, firing, sighting, tasks},
};
use crate::{
    daemon::history,
    support::{Kind, eventually, on_each_database},
};

async fn enqueued(store: &Store, task: NewTask) -> i64 {
    match Client::new(store.clone()).enqueue(task).await.unwrap() {
        Enqueued::New(id) => id,
        there => panic!("{there:?}"),
    }
}

fn in_an_hour() -> NewTask {
    NewTask::new("work").queue("default").expires(Duration::from_secs(3_600))
}

/// Lets the time of a task run out.
async fn run_out(store: &Store, id: i64) {
    let now = sexton::clock::machine_time() - TimeDelta::minutes(5);
    let past = now.format("%Y-%m-%d %H:%M:%S").to_string();
    let sql = format!("UPDATE sexton_task SET expires_at = '{past}' WHERE id = {id}");
    store.connection().execute_unprepared(&sql).await.unwrap();
}

async fn claimed(store: &Store) -> Vec<i64> {
    let claimed = store.claim(&"n".into(), &"default".into(), 10).await.unwrap();
    claimed.tasks.into_iter().map(|task| task.claim.task_id).collect()
}

on_each_database! {
    async fn an_expired_task_is_not_claimed_and_ends_as_skipped(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let late = enqueued(&store, in_an_hour().payload(7)).await;
        let timely = enqueued(&store, in_an_hour()).await;
        run_out(&store, late).await;
        let seen = store.peek(&["default".into()]).await.unwrap();
        assert!(seen.due, "somebody must end it");
        assert_eq!(claimed(&store).await, [timely]);
        assert_eq!(store.queues_with_expired_tasks().await.unwrap(), [Some("default".into())]);
        assert_eq!(store.skip_expired(None, "why").await.unwrap(), 0, "tasks without a queue only");
        assert_eq!(store.skip_expired(Some(&"default".into()), "it isn't time").await.unwrap(), 1);
        assert!(store.queues_with_expired_tasks().await.unwrap().is_empty());
        assert!(store.task(late).await.unwrap().is_none());
        let row = history(&store).await.remove(0);
        assert_eq!((row.task_id, row.outcome, row.verdict), (Some(late), Outcome::Skipped, Some(Verdict::Discarded)));
        assert_eq!((row.reason_code.as_deref(), row.error.as_deref()), (Some("expired"), Some("it isn't time")));
        assert_eq!((row.payload, row.started_at, row.attempt), (Some(serde_json::json!(7).into()), None, 0));
    }

    async fn many_tasks_expire_at_once(database: Database) {
        let store = database.store().await;
        let many = vec![in_an_hour().delay(Duration::from_secs(60)); 1_100];
        Client::new(store.clone()).enqueue_all(many).await.unwrap();
        assert_eq!(store.queues_with_expired_tasks().await.unwrap(), []);
        let next = store.next_instants().await.unwrap().expiry.unwrap();
        assert!((3_600..3_720).contains(&(next - sexton::clock::machine_time()).num_seconds()), "{next}");
        store.connection().execute_unprepared("UPDATE sexton_task SET expires_at = run_at").await.unwrap();
        let sql = "UPDATE sexton_task SET expires_at = enqueued_at";
        store.connection().execute_unprepared(sql).await.unwrap();
        eventually("it is later than the enqueue", async || {
            !store.queues_with_expired_tasks().await.unwrap().is_empty()
        })
        .await;
        assert_eq!(store.skip_expired(Some(&"default".into()), "why").await.unwrap(), 1_100);
        assert_eq!((history(&store).await.len(), store.next_instants().await.unwrap().expiry), (1_100, None));
    }

    async fn what_has_begun_does_not_expire(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for (outcome, retry_ms) in [(Outcome::Failed, 0), (Outcome::Snoozed, 0)] {
            let id = enqueued(&store, in_an_hour()).await;
            let task = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
            run_out(&store, id).await;
            assert_eq!(store.skip_expired(Some(&"default".into()), "why").await.unwrap(), 0, "it runs");
            let mut end = ended(&task, "n", outcome, Verdict::Retry);
            end.retry_ms = retry_ms;
            store.finish(&[end], OnStale::Record).await.unwrap();
            assert_eq!(store.skip_expired(Some(&"default".into()), "why").await.unwrap(), 0, "it waits for a retry");
            eventually("it is due again", async || {
                store.promote().await.unwrap();
                store.task(id).await.unwrap().unwrap().state == TaskState::Available
            })
            .await;
            assert_eq!(store.skip_expired(Some(&"default".into()), "why").await.unwrap(), 0);
            assert_eq!(claimed(&store).await, [id]);
        }
    }

    async fn an_application_sets_the_expiry_in_its_own_form(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let application = database.application().await;
        let (past, ahead) = match database.kind {
            Kind::Sqlite => ("datetime('now', '-1 hour')", "datetime('now', '+1 hour')"),
            Kind::Postgres => ("now() - interval '1 hour'", "now() + interval '1 hour'"),
            Kind::MariaDb | Kind::MySql => ("utc_timestamp(6) - INTERVAL 1 HOUR", "utc_timestamp(6) + INTERVAL 1 HOUR"),
        };
        for at in [past, ahead] {
            let sql = format!("INSERT INTO sexton_task (name, queue, expires_at) VALUES ('a', 'default', {at})");
            application.execute_unprepared(&sql).await.unwrap();
        }
        assert_eq!(claimed(&store).await, [2]);
        assert_eq!(store.skip_expired(Some(&"default".into()), "why").await.unwrap(), 1);
        for bad in ["'soon'", "'0000-00-00 00:00:00'"] {
            let sql = format!("INSERT INTO sexton_task (name, expires_at) VALUES ('a', {bad})");
            let refused = application.execute_unprepared(&sql).await.is_err();
            let unread = store.task(3).await.unwrap().is_some_and(|task| task.expires_at.is_some());
            assert!(refused && !unread, "{bad}");
        }
    }

    async fn the_task_of_an_instant_expires(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let at = ahead();
        let mut due = firing("s", at, Fate::Fired);
        due.expires_at = Some(at + TimeDelta::hours(1));
        store.fire("n", &[due]).await.unwrap();
        assert_eq!(tasks(&store).await[0].expires_at, Some(at + TimeDelta::hours(1)));
        store.fire("n", &[firing("s", at + TimeDelta::hours(2), Fate::Skipped)]).await.unwrap();
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.reason_code.as_deref()), (Outcome::Skipped, Some("missed")));
    }
}

#[test]
fn an_expiry_that_cannot_be_is_refused() {
    let at = |text: &str| text.parse().unwrap();
    let task = NewTask::new("a").run_at(at("2026-11-21T10:00:00Z"));
    let refused = |expiry| task.clone().expires_at(at(expiry)).check().unwrap_err().to_string();
    assert!(refused("2026-11-21T10:00:00Z").contains("which is not after its earliest start 2026-11-21 10:00:00 UTC"));
    assert!(refused("+012026-11-21T10:00:00Z").contains("only the years 1000 to 9998"));
    assert_eq!(task.clone().expires_at(at("2026-11-21T10:00:01Z")).check(), Ok(()));
}
