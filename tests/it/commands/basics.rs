//! What every command can rely on: its payload, its environment, its exit code on record.

use serde_json::json;
use sexton_entities::states::{Outcome, Verdict};

use super::{Stand, outcome_of};
use crate::support::{Daemon, block_on, eventually};

#[test]
fn the_payload_is_on_standard_input_and_the_attempt_in_the_environment() {
    block_on(async {
        let script = "cat; echo; echo $SEXTON_TASK_NAME $SEXTON_TASK_ATTEMPT $SEXTON_TASK_FENCE $OWN; env | grep -c SEXTON__ >&2";
        let definition = format!("command = [\"sh\", \"-c\", \"{script}\"]\nenv = {{ OWN = \"x y\" }}\ndir = \"/\"");
        let (row, output) = outcome_of(&definition, Some(json!({"a": "b c"}))).await;
        let output = output.unwrap();
        assert_eq!(output.stdout, format!("{{\"a\":\"b c\"}}\nit 1 {} x y\n", row.fence));
        assert_eq!(output.stderr, "0\n", "settings of the daemon stay with it");
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(1)), "grep -c counted none");
    });
}

#[test]
fn the_process_list_says_what_runs_and_why() {
    block_on(async {
        let settings = "[task.nightly-report]\ncommand = [\"cat\", \"/proc/self/status\"]\nqueue = \"reports\"\n\
                        schedule = [\"0 4 1 1 *\", { every = \"1s\" }]";
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let body = format!("tr '\\\\000' ' ' < /proc/$PPID/cmdline > {0}.new; mv {0}.new {0}", seen.display());
        let settings = settings.replace("[\"cat\", \"/proc/self/status\"]", &format!("[\"sh\", \"-c\", \"{body}\"]"));
        let mut stand = Stand::new(&settings).await;
        eventually("it has run", async || seen.exists()).await;
        let title = std::fs::read_to_string(&seen).unwrap();
        let title = title.trim();
        assert!(title.starts_with("sexton: [reports] nightly-report - 0 4 1 1 *") && title.contains(" #"), "{title}");
        let daemon =
            std::fs::read_to_string(format!("/proc/{}/cmdline", stand.daemon.as_ref().unwrap().pid())).unwrap();
        assert!(daemon.starts_with("sexton: daemon\0--config\0"), "{daemon:?}");
        stand.stop();
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
        let error = row.error.unwrap();
        assert!(error.starts_with("cannot start true: the working directory /no/such/folder: No such file"), "{error}");
    });
}

#[test]
fn failures_are_retried_until_they_are_given_up() {
    block_on(async {
        let definition = "command = [\"false\"]\nmax_attempts = 3\nretry = { delay = \"20ms\", growth = \"fixed\" }";
        let mut stand = Stand::of(definition).await;
        let (row, _) = stand.run(None).await;
        let rows: Vec<_> = stand.rows(row.task_id.unwrap()).await;
        let verdicts: Vec<_> = rows.iter().map(|row| (row.attempt, row.verdict.unwrap())).collect();
        assert_eq!(verdicts, [(1, Verdict::Retry), (2, Verdict::Retry), (3, Verdict::Discarded)]);
        stand.stop();
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
        daemon.wait_for_log("discarded");
        daemon.wait_for_log("report succeeded");
        let log = daemon.stop();
        assert!(!log.contains('\u{1b}'), "colours are for terminals");
    });
}
