//! Queues with a period: what waits outside it, what begins with it, and what becomes of those who run when it ends.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sexton::{Client, Enqueued, NewTask};
use sexton_entities::states::{Outcome, TaskState};

use super::{completed, history};
use crate::support::{Database, Kind, Printed, block_on, eventually, sexton};

/// Whole seconds, as the times of a period are.
#[expect(clippy::disallowed_methods, reason = "periods are about the real time")]
fn seconds_from_now(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp() + seconds, 0).unwrap()
}

fn number(enqueued: Enqueued) -> i64 {
    let (Enqueued::New(id) | Enqueued::AlreadyThere(id)) = enqueued;
    id
}

/// A period of that name, on each day, between two instants of this day or the next one.
fn period(from: DateTime<Utc>, until: DateTime<Utc>) -> String {
    let times = format!("{}-{}", from.format("%H:%M:%S"), until.format("%H:%M:%S"));
    format!("[period.p]\nranges = {{ \"monday - sunday\" = \"{times}\" }}\n")
}

#[test]
fn tasks_wait_for_the_period_of_their_queue_and_begin_with_it() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let client = Client::new(store.clone());
        let waiting = number(client.enqueue(NewTask::new("nothing").queue("q")).await.unwrap());
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        let begin = seconds_from_now(5);
        // Polling is so slow that only the period can have woken the dispatcher.
        let settings =
            "poll_interval = \"10m\"\n[task.nothing]\nkind = \"noop\"\n[queue.q]\nworkers = 1\nperiod = \"p\"\n";
        let daemon = database.daemon("n", &format!("{settings}{}", period(begin, begin + TimeDelta::hours(1))));
        eventually("the other queue does not wait", async || completed(&store).await == 1).await;
        assert_eq!(store.task(waiting).await.unwrap().unwrap().state, TaskState::Available);
        eventually("the period begins", async || completed(&store).await == 2).await;
        let rows = history(&store).await;
        let done = rows.iter().find(|row| row.task_id == Some(waiting)).unwrap();
        let late = done.started_at.unwrap() - begin;
        assert!((TimeDelta::zero()..TimeDelta::seconds(3)).contains(&late), "{late} late\n{}", daemon.log());
        let log = daemon.stop();
        assert!(log.contains("queue q closes: outside period p until "), "{log}");
        assert!(log.contains("queue q opens: inside period p until "), "{log}");
    });
}

#[test]
fn at_its_end_tasks_are_stopped_and_given_back_or_finished_as_the_queue_says() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let client = Client::new(store.clone());
        let mut ids = Vec::new();
        for (task, queue) in [("long", "stopped"), ("short", "finished"), ("short", "finished")] {
            ids.push(number(client.enqueue(NewTask::new(task).queue(queue)).await.unwrap()));
        }
        let end = seconds_from_now(6);
        let settings = "[task.long]\ncommand = [\"sleep\", \"60\"]\n[task.short]\ncommand = [\"sleep\", \"7\"]\n\
                        [queue.stopped]\nworkers = 1\nperiod = \"p\"\nat_period_end = \"stop\"\n\
                        [queue.finished]\nworkers = 1\nperiod = \"p\"\n";
        let hour = TimeDelta::hours(1);
        let daemon = database.daemon("n", &format!("{settings}{}", period(end - hour, end)));
        eventually("both of those that ran have ended", async || history(&store).await.len() == 2).await;
        let rows = history(&store).await;
        let stopped = rows.iter().find(|row| row.task_id == Some(ids[0])).unwrap();
        assert_eq!(stopped.outcome, Outcome::Interrupted);
        assert!(stopped.error.as_ref().unwrap().starts_with("the period of its queue was over"), "{stopped:?}");
        // Its length is measured apart from its begin.
        let told = end - TimeDelta::milliseconds(500);
        assert!(stopped.finished_at >= told && stopped.finished_at < end + TimeDelta::seconds(3), "{stopped:?}");
        let finished = rows.iter().find(|row| row.task_id == Some(ids[1])).unwrap();
        assert_eq!(finished.outcome, Outcome::Succeeded);
        for (id, attempt) in [(ids[0], 0), (ids[2], 0)] {
            let task = store.task(id).await.unwrap().unwrap();
            assert_eq!((task.state, task.attempt), (TaskState::Available, attempt), "{task:?}");
        }
        // A reload with another period lets them go on.
        let always = period(end - hour, end - hour);
        database.config("n", &format!("{settings}{always}").replace("\"60\"", "\"0\"").replace("\"7\"", "\"0\""));
        eventually("they go on", async || completed(&store).await == 3).await;
        assert!(daemon.stop().contains("periods changed: p"));
    });
}

#[test]
fn a_daemon_that_works_once_does_not_wait_for_a_period() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let id = number(Client::new(store.clone()).enqueue(NewTask::new("nothing").queue("q")).await.unwrap());
        let long_ago = "[task.nothing]\nkind = \"noop\"\n[queue.q]\nworkers = 1\nperiod = \"p\"\n\
                        [period.p]\nranges = { \"2020-01-01\" = \"00:00-24:00\" }\n";
        let file = database.config("n", long_ago);
        let output = tokio::task::spawn_blocking(move || sexton(&file).args(["run", "--once"]).output().unwrap());
        let output = tokio::time::timeout(Duration::from_secs(60), output).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        assert_eq!(store.task(id).await.unwrap().unwrap().state, TaskState::Available);
    });
}
