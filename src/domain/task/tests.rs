//! Tests of tasks, and the claimed task that tests start from.

use serde_json::json;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn claimed() -> ClaimedTask {
    ClaimedTask {
        claim: Claim::new(4711, 3),
        name: "report".to_owned(),
        queue: "default".into(),
        payload: Some(json!({"page": 18_446_744_073_709_551_615_u64}).into()),
        enqueued_at: at("2026-11-21T10:00:00Z"),
        started_at: at("2026-11-21T10:00:01.5Z"),
        ..ClaimedTask::sample(4711)
    }
}

#[test]
fn a_claimed_task_is_read_as_earlier_versions_wrote_it() {
    // The manifest of a command that runs through an upgrade of the daemon.
    let text = r#"{"id":4711,"name":"report","queue":"default","payload":{"page":18446744073709551615},
        "attempt":1,"max_attempts":null,"fence":3,"schedule":null,"due_at":null,
        "enqueued_at":"2026-11-21T10:00:00Z","started_at":"2026-11-21T10:00:01.500Z","unreadable":null}"#;
    assert_eq!(serde_json::from_str::<ClaimedTask>(text).expect("the old form"), claimed());
    let again = ClaimedTask { pickups: 2, ..claimed() };
    let written = serde_json::to_string(&again).expect("written");
    assert_eq!(serde_json::from_str::<ClaimedTask>(&written).expect("the new form"), again);
}

#[test]
fn a_payload_may_be_of_any_depth_and_its_numbers_of_any_length() {
    let text = format!("{}123456789012345678901234567890{}", "[".repeat(5_000), "]".repeat(5_000));
    let payload: JsonText = text.parse().expect("JSON");
    let task = ClaimedTask { payload: Some(payload.clone()), ..claimed() };
    let text = serde_json::to_string(&task).expect("written");
    assert_eq!(serde_json::from_str::<ClaimedTask>(&text).expect("read"), task);
    let (end, took) = (at("2026-11-21T10:00:02.5Z"), Duration::from_secs(1));
    let mut finished = task.interrupted(&"n".into(), None, "it was lost", end, took);
    finished.report.next_payload = Some(payload);
    let text = serde_json::to_string(&[&finished]).expect("written");
    assert_eq!(serde_json::from_str::<Vec<FinishedAttempt>>(&text).expect("read"), [finished]);
}

#[test]
fn a_spooled_attempt_is_read_as_earlier_versions_wrote_it() {
    let text = r#"{"task_id":4711,"fence":3,"name":"report","kind":"command","queue":"default","schedule":null,
        "due_at":null,"enqueued_at":"2026-11-21T10:00:00Z","started_at":"2026-11-21T10:00:01.500Z",
        "finished_at":"2026-11-21T10:00:02.500Z","duration_ms":1000,"node":"o'brien-0123456789ab","attempt":1,
        "outcome":"interrupted","verdict":"released","retry_ms":0,"error":"the worker was lost",
        "payload":{"page":18446744073709551615},"report":{"exit_code":null,"signal":null,"core_dumped":null,
        "usage":null,"result":null,"stdout":{"text":"","truncated":false,"stamps":[]},
        "stderr":{"text":"","truncated":false,"stamps":[]},"next_payload":null}}"#;
    let (node, kind) = ("o'brien-0123456789ab".into(), Some("command".to_owned()));
    let (end, took) = (at("2026-11-21T10:00:02.5Z"), Duration::from_secs(1));
    let finished = claimed().interrupted(&node, kind, "the worker was lost", end, took);
    let old = FinishedAttempt { claimed_at: None, ..finished.clone() };
    assert_eq!(serde_json::from_str::<FinishedAttempt>(text).expect("the old form"), old);
    let mut written = serde_json::to_value(&finished).expect("written");
    assert_eq!(serde_json::from_value::<FinishedAttempt>(written.clone()).expect("the new form"), finished);
    assert_eq!(written["claimed_at"], "2026-11-21T10:00:01.500Z");
    written.as_object_mut().expect("an object").remove("claimed_at");
    assert_eq!(
        written,
        serde_json::from_str::<serde_json::Value>(text).expect("JSON"),
        "an older daemon can read it as well"
    );
}

impl ClaimedTask {
    /// The first attempt of task `id`, for tests.
    pub(crate) fn sample(id: i64) -> Self {
        Self {
            claim: Claim::new(id, 1),
            name: "it".to_owned(),
            queue: "q".into(),
            payload: None,
            attempt: 1,
            max_attempts: None,
            pickups: 0,
            schedule: None,
            due_at: None,
            enqueued_at: DateTime::UNIX_EPOCH,
            started_at: DateTime::UNIX_EPOCH,
            unreadable: None,
            snoozes: 0,
            traceparent: None,
            tracestate: None,
            predecessors: None,
        }
    }
}
