//! Kind `command`: what programs do, and what is on record of it.

use std::time::{Duration, Instant};

use serde_json::json;
use sexton::{
    Client, NewTask,
    store::{Enqueued, HistoryFilter, Store},
};
use sexton_entities::{
    history, output,
    states::{Outcome, Verdict},
};

use crate::support::{Daemon, Database, Kind, block_on, eventually};

/// Runs one command task to its end; gives its last row of history, and what it wrote.
async fn outcome_of(definition: &str, payload: Option<serde_json::Value>) -> (history::Model, Option<output::Model>) {
    let database = Database::new(Kind::Sqlite).await;
    let store = database.store().await;
    let daemon = database.daemon("n", &format!("[task.it]\n{definition}"));
    let task = NewTask { payload, ..NewTask::new("it") };
    let enqueued = Client::new(store.clone()).enqueue(task).await.unwrap();
    let Enqueued::New(id) = enqueued else { panic!("{enqueued:?}") };
    let row = last_row(&store, id).await;
    let output = store.output(row.id).await.unwrap();
    daemon.stop();
    (row, output)
}

async fn last_row(store: &Store, id: i64) -> history::Model {
    eventually("the task has ended", async || store.task(id).await.unwrap().is_none()).await;
    let filter = HistoryFilter { task_id: Some(id), limit: 1, ..HistoryFilter::default() };
    store.history(&filter).await.unwrap().remove(0)
}

#[test]
fn the_payload_is_on_standard_input_and_the_attempt_in_the_environment() {
    block_on(async {
        let script = "cat; echo; echo $SEXTON_TASK_NAME $SEXTON_TASK_ATTEMPT $SEXTON_TASK_FENCE $OWN; env | grep -c SEXTON__ >&2";
        let definition = format!("command = [\"sh\", \"-c\", \"{script}\"]\nenv = {{ OWN = \"x y\" }}\ndir = \"/\"");
        let (row, output) = outcome_of(&definition, Some(json!({"a": "b c"}))).await;
        let output = output.unwrap();
        assert_eq!(output.stdout, "{\"a\":\"b c\"}\nit 1 1 x y\n");
        assert_eq!(output.stderr, "0\n", "settings of the daemon stay with it");
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(1)), "grep -c counted none");
    });
}

#[test]
fn exit_codes_and_signals_are_on_record() {
    block_on(async {
        let (row, _) = outcome_of("command = [\"sh\", \"-c\", \"exit 3\"]", None).await;
        assert_eq!((row.outcome, row.exit_code, row.error.as_deref()), (Outcome::Failed, Some(3), Some("exit code 3")));
        let (row, _) = outcome_of("command = [\"sh\", \"-c\", \"kill -SEGV $$\"]", None).await;
        assert_eq!((row.outcome, row.signal, row.exit_code), (Outcome::Crashed, Some(11), None));
        assert_eq!(row.error.as_deref(), Some("killed by SIGSEGV"));
        let (row, output) = outcome_of("command = [\"true\"]", None).await;
        assert_eq!((row.outcome, row.verdict, row.exit_code), (Outcome::Succeeded, Some(Verdict::Completed), Some(0)));
        assert_eq!(output, None, "it wrote nothing");
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    block_on(async {
        let (row, _) = outcome_of("command = [\"/no/such/program\"]", None).await;
        assert_eq!(row.outcome, Outcome::Failed);
        assert!(row.error.unwrap().starts_with("cannot start /no/such/program: No such file"));
        let (row, _) = outcome_of("command = [\"true\"]\ndir = \"/no/such/folder\"", None).await;
        assert_eq!(row.error.as_deref(), Some("cannot start true: the directory /no/such/folder is not there"));
    });
}

#[test]
fn the_time_limit_ends_the_whole_group() {
    block_on(async {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let script = format!(
            "trap '' TERM; (trap '' TERM; sleep 30; echo late >> {0}) & sleep 30; echo late >> {0}",
            marker.path().display()
        );
        let definition =
            format!("command = [\"sh\", \"-c\", \"{script}\"]\ntimeout = \"300ms\"\nkill_after = \"200ms\"");
        let begun = Instant::now();
        let (row, _) = outcome_of(&definition, None).await;
        assert_eq!((row.outcome, row.verdict, row.signal), (Outcome::TimedOut, Some(Verdict::Discarded), Some(9)));
        assert_eq!(row.error.as_deref(), Some("the time limit of 300ms was reached: killed by SIGKILL"));
        assert!(begun.elapsed() < Duration::from_secs(20));
        let left =
            std::process::Command::new("pgrep").args(["-f", &marker.path().display().to_string()]).output().unwrap();
        assert!(left.stdout.is_empty(), "nothing of it is left: {left:?}");
    });
}

#[test]
fn a_polite_program_is_given_the_chance_to_end() {
    block_on(async {
        let script = "trap 'echo cleaning up; exit 0' TERM; sleep 30 & wait";
        let (row, output) =
            outcome_of(&format!("command = [\"sh\", \"-c\", \"{script}\"]\ntimeout = \"300ms\""), None).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Succeeded, Some(0)), "it said itself that it is done");
        assert_eq!(output.unwrap().stdout, "cleaning up\n");
    });
}

#[test]
fn output_is_bounded_and_readable() {
    block_on(async {
        let definition = "command = [\"sh\", \"-c\", \"echo begin; head -c 20000000 /dev/zero | tr '\\\\0' x; printf 'a\\\\000b\\\\377c'; echo end\"]\noutput_limit = 1000";
        let (row, output) = outcome_of(definition, None).await;
        assert_eq!(row.outcome, Outcome::Succeeded);
        let output = output.unwrap();
        assert!(output.truncated);
        assert!(
            output.stdout.starts_with("begin\nxxx") && output.stdout.ends_with("a\u{fffd}b\u{fffd}cend\n"),
            "{}",
            output.stdout
        );
        assert!(output.stdout.contains("bytes left out") && output.stdout.len() < 1_200);
    });
}

#[test]
fn a_large_payload_that_nobody_reads_does_no_harm() {
    block_on(async {
        let (row, _) = outcome_of("command = [\"true\"]", Some(json!("x".repeat(1_000_000)))).await;
        assert_eq!(row.outcome, Outcome::Succeeded);
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_up_the_finish() {
    block_on(async {
        let (row, output) = outcome_of("command = [\"sh\", \"-c\", \"sleep 20 & echo done\"]", None).await;
        assert_eq!((row.outcome, output.unwrap().stdout.as_str()), (Outcome::Succeeded, "done\n"));
        assert!(row.duration_ms.unwrap() < 15_000);
    });
}

#[test]
fn failures_are_retried_until_they_are_given_up() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let definition =
            "[task.it]\ncommand = [\"false\"]\nmax_attempts = 3\nretry = { delay = \"20ms\", growth = \"fixed\" }";
        let daemon = database.daemon("n", definition);
        let enqueued = Client::new(store.clone()).enqueue(NewTask::new("it")).await.unwrap();
        let Enqueued::New(id) = enqueued else { panic!("{enqueued:?}") };
        last_row(&store, id).await;
        let filter = HistoryFilter { task_id: Some(id), limit: 10, ..HistoryFilter::default() };
        let mut rows: Vec<_> =
            store.history(&filter).await.unwrap().into_iter().map(|row| (row.attempt, row.verdict.unwrap())).collect();
        rows.reverse();
        assert_eq!(rows, [(1, Verdict::Retry), (2, Verdict::Retry), (3, Verdict::Discarded)]);
        daemon.stop();
    });
}

#[test]
fn the_sample_configuration_visibly_works() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/sexton.toml")).unwrap();
        let moved = sample
            .replace("var/", &format!("{}/", folder.path().display()))
            .replace("\"var\"", &format!("\"{}\"", folder.path().display()));
        let file = folder.path().join("sexton.toml");
        std::fs::write(&file, moved.replace("every = \"30s\"", "every = \"2s\"")).unwrap();
        let daemon = Daemon::start(&file, &["run"]);
        daemon.wait_for_log("tick succeeded");
        daemon.wait_for_log("flaky failed");
        daemon.wait_for_log("given up");
        daemon.wait_for_log("report succeeded");
        let log = daemon.stop();
        assert!(!log.contains('\u{1b}'), "colours are for terminals");
    });
}
