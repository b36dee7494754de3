//! The begin of a task is not its enqueue: the sentences keep them apart.

use chrono::TimeDelta;
use sexton_entities::states::NodeState;

use super::{
    tests::{AT, LATER, at, attempt, background, entry, hourly, of, told, unfinished, with},
    *,
};
use crate::domain::task::waiting::{LongRunner, NodeQueues, QueueLoad, ServedQueue};

/// A cluster of one node, whose only worker for queue `q` has been busy since ten o'clock.
fn busy() -> ClusterQueues {
    let served = ServedQueue { workers: 1, full_since: None };
    let node =
        NodeQueues { node: "n".into(), state: NodeState::Running, queues: Some([("q".to_owned(), served)].into()) };
    let longest = LongRunner { id: 16, name: "hang".into(), started_at: at(AT) };
    let load = QueueLoad { running: 1, longest: Some(longest), ..QueueLoad::default() };
    ClusterQueues { live: vec![node], loads: [("q".to_owned(), load)].into(), ..ClusterQueues::default() }
}

#[test]
fn enqueued_on_time_is_not_begun() {
    let hourly = hourly();
    let mut hourly = background(&hourly, LATER);
    let fired = |run| InstantRecord { run, ..with(entry(AT, Fate::Fired, None)) };
    let mut waits = unfinished(8, TaskState::Available);
    waits.task.as_mut().expect("a task").attempt = 0;
    let enqueued = "s was enqueued at 2026-11-21T10:00:00Z, on time, as task 8, which has not begun";
    assert_eq!(told(&hourly, &fired(waits.clone())), enqueued);
    hourly.cluster = Some(busy());
    let account = of(&hourly, &fired(waits.clone()));
    let cause = "the only worker of queue q is busy with hang (task 16) for 2h";
    assert_eq!((account.why, account.waits_code), (format!("{enqueued}: {cause}"), Some("workers_busy")));
    let rules = LocalRules { closed: Some("outside period p for good".to_owned()), ..LocalRules::default() };
    hourly.queue_rules.insert("q".to_owned(), rules);
    let closed = told(&hourly, &fired(waits));
    assert_eq!(closed, format!("{enqueued}: queue q is outside period p for good"));
    let mut done = attempt(7, Verdict::Completed, None);
    let entered_at = entry(AT, Fate::Fired, None).entered_at;
    for (seconds, verb, later) in [(9, "ran", ""), (74, "was enqueued", "began 1m 14s later, ")] {
        done.began_at = Some(entered_at + TimeDelta::seconds(seconds));
        let words =
            format!("s {verb} at 2026-11-21T10:00:00Z, on time, {later}as task 7, which was completed after 2.0 s");
        assert_eq!(told(&hourly, &fired(done.clone())), words);
    }
    let mut expired = attempt(9, Verdict::Discarded, Some("it expired before it began: queue q is paused"));
    let end = expired.attempt.as_mut().expect("an end");
    (end.outcome, end.duration_ms) = (Outcome::Skipped, None);
    let words = "was enqueued at 2026-11-21T10:00:00Z, on time, as task 9, which was skipped: it expired before it began: \
                 queue q is paused";
    assert_eq!(told(&hourly, &fired(expired)), format!("s {words}"));
}

#[test]
fn the_sentence_names_the_task_and_how_it_ended() {
    let hourly = hourly();
    let hourly = background(&hourly, LATER);
    let fired = |run| InstantRecord { run, ..with(entry(AT, Fate::Fired, None)) };
    let done = of(&hourly, &fired(attempt(7, Verdict::Completed, None)));
    assert_eq!(done.words, "on time, as task 7, which was completed after 2.0 s");
    assert_eq!((done.became, done.task_id, done.verdict), (Became::Fired, Some(7), Some(Verdict::Completed)));
    let failed = told(&hourly, &fired(attempt(7, Verdict::Discarded, Some("exit code 1"))));
    assert!(failed.ends_with("as task 7, which was discarded after 2.0 s: exit code 1"));
    assert!(told(&hourly, &fired(unfinished(8, TaskState::Running))).ends_with("as task 8, which is running"));
    let retried = told(&hourly, &fired(unfinished(8, TaskState::Available)));
    assert!(retried.ends_with("as task 8, which is available"), "{retried}");
}
