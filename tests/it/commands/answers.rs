//! What a command receives, what it may answer, and what counts as success.

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::{Outcome, Verdict};

use super::{Stand, outcome_of};
use crate::support::{Database, Kind, Printed as _, block_on, eventually, sexton, value};

#[test]
fn it_knows_its_attempt_and_nothing_of_the_daemon() {
    block_on(async {
        let definition = "command = [\"env\"]\nmax_attempts = 4\ntimeout = \"1m\"\nenv = { OWN = \"x y\" }\n\
                          pass_env = [\"CARGO_PKG_*\"]\npayload_env = { ORDER = \"/order/id\" }";
        let (row, output) = outcome_of(definition, Some(json!({"order": {"id": 7}}))).await;
        let text = output.unwrap().stdout;
        let has = |line: &str| text.lines().any(|known| known == line);
        for line in [
            "SEXTON_TASK_NAME=it",
            "SEXTON_TASK_ATTEMPT=1",
            "SEXTON_TASK_MAX_ATTEMPTS=4",
            "SEXTON_TASK_QUEUE=default",
            "SEXTON_RESULT_FD=3",
            "OWN=x y",
            "ORDER=7",
            "CARGO_PKG_NAME=sexton",
        ] {
            assert!(has(line), "{line} is missing in\n{text}");
        }
        assert!(has(&format!("SEXTON_TASK_FENCE={}", row.fence)), "{text}");
        assert!(has(&format!("SEXTON_TASK_ID={}", row.task_id.unwrap())), "{text}");
        assert!(has(&format!("SEXTON_TASK_NODE={}", row.node.unwrap())), "{text}");
        let deadline = text.lines().find_map(|line| line.strip_prefix("SEXTON_TASK_DEADLINE=")).unwrap();
        let deadline: chrono::DateTime<chrono::Utc> = deadline.parse().unwrap();
        assert!(((deadline - row.started_at.unwrap()).num_seconds() - 60).abs() <= 1, "{deadline}");
        assert!(text.contains("HOME=") && text.contains("PATH=/usr/local/sbin"), "{text}");
        assert!(!text.contains("CARGO_MANIFEST_DIR"), "undeclared variables stay with the daemon:\n{text}");
    });
}

#[test]
fn it_inherits_no_descriptor_and_no_ignored_signal() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let body = "ls /proc/self/fd | tr '\\n' ' '; echo; grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -n";
        let config = database.config("n", &format!("[task.it]\ncommand = [\"sh\", \"-c\", \"\"\"{body}\"\"\"]"));
        // As a cron entry with a lock would start it, and a shell that ignores signals.
        let run = format!(
            "trap '' HUP INT USR1; ulimit -Sn 500; exec 9> {0}/lock; exec \"$@\"",
            database.folder.path().display()
        );
        let binary = env!("CARGO_BIN_EXE_sexton");
        let daemon = std::process::Command::new("sh")
            .args(["-c", &run, "sh", binary, "--config"])
            .arg(&config)
            .arg("run")
            .spawn();
        let mut daemon = daemon.unwrap();
        let stand = Stand { database, store, config, daemon: None };
        let (row, output) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{row:?}");
        let text = output.unwrap().stdout;
        assert!(text.starts_with("0 1 2 3 4 "), "the fourth is of ls itself: {text}");
        for kind in ["SigIgn:", "SigBlk:"] {
            let mask =
                text.lines().find_map(|line| u64::from_str_radix(line.strip_prefix(kind)?.trim(), 16).ok()).unwrap();
            // 32 and 33 are the C library's own, and cannot be asked for.
            assert_eq!(mask & 0x7fff_ffff, 0, "{text}");
        }
        assert!(text.ends_with("\n500\n"), "the limit that the daemon was started with: {text}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
        daemon.wait().unwrap();
    });
}

#[test]
fn a_result_is_kept_in_history() {
    block_on(async {
        let definition =
            r#"command = ["sh", "-c", '''echo '{"result": {"rows": 3}}' >&3; echo '{"progess": 1}' >&3''']"#;
        let (row, output) = outcome_of(definition, None).await;
        assert_eq!((row.outcome, value(&row.result)), (Outcome::Succeeded, Some(json!({"rows": 3}))));
        let told = output.unwrap().stderr;
        assert!(told.contains("sexton: invalid answer of the command: `progess` is not known"), "{told}");
    });
}

#[test]
fn a_result_that_no_database_would_keep_is_told() {
    block_on(async {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let definition = format!("command = [\"sh\", \"-c\", '''echo '{{\"result\": {deep}}}' >&3''']");
        let (row, output) = outcome_of(&definition, None).await;
        assert_eq!((row.outcome, row.result), (Outcome::Succeeded, None));
        assert!(output.unwrap().stderr.contains("result: it is nested more than 30 levels deep"));
    });
}

#[test]
fn progress_is_shown_while_it_runs() {
    block_on(async {
        let definition =
            r#"command = ["sh", "-c", '''echo '{"progress": {"percent": 40, "text": "page 2"}}' >&3; sleep 30''']"#;
        let mut stand = Stand::of(definition).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let show = || sexton(&stand.config).args(["task", "show", &id.to_string()]).output().unwrap().text();
        eventually("progress is shown", async || show().contains("progress 40 % page 2")).await;
        sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
        assert_eq!(stand.finished(id).await.outcome, Outcome::Cancelled);
        stand.stop();
    });
}

#[test]
fn it_may_ask_to_be_tried_again_with_new_work() {
    block_on(async {
        let body = r#"if grep -q second; then echo '{"result": "done"}' >&3; else echo '{"retry_after": 0.1, "payload": "second"}' >&3; fi"#;
        let mut stand = Stand::of(&format!("command = [\"sh\", \"-c\", '''{body}''']")).await;
        let (row, _) = stand.run(Some(json!("first"))).await;
        let rows = stand.rows(row.task_id.unwrap()).await;
        let told: Vec<_> = rows.iter().map(|row| (row.verdict.unwrap(), value(&row.payload).unwrap())).collect();
        assert_eq!(told, [(Verdict::Retry, json!("first")), (Verdict::Completed, json!("second"))]);
        assert_eq!(rows[0].error.as_deref(), Some("it asked to be tried again in 100ms"));
        assert_eq!(value(&row.result), Some(json!("done")));
        // That is no failure: no attempt is counted, and the default of one attempt is enough.
        let outcomes: Vec<_> = rows.iter().map(|row| (row.outcome, row.attempt)).collect();
        assert_eq!(outcomes, [(Outcome::Snoozed, 1), (Outcome::Succeeded, 1)]);
        let log = stand.stop();
        assert!(log.contains("it snoozed after") && !log.contains("ERROR"), "{log}");
    });
}

#[test]
fn it_may_not_ask_without_end_where_that_is_limited() {
    block_on(async {
        let body = r#"echo '{"retry_after": 0.05}' >&3; exit 1"#;
        let settings = "max_snoozes = 2\nmax_attempts = 2\nretry = { delay = \"10ms\" }";
        let mut stand = Stand::of(&format!("command = [\"sh\", \"-c\", '''{body}''']\n{settings}")).await;
        let (row, _) = stand.run(None).await;
        let rows = stand.rows(row.task_id.unwrap()).await;
        let told: Vec<_> = rows.iter().map(|row| (row.outcome, row.verdict.unwrap(), row.attempt)).collect();
        let expected = [
            (Outcome::Snoozed, Verdict::Retry, 1),
            (Outcome::Snoozed, Verdict::Retry, 1),
            (Outcome::Failed, Verdict::Retry, 1),
            (Outcome::Failed, Verdict::Discarded, 2),
        ];
        assert_eq!(told, expected);
        let why = "it asked to be tried again once more, and max_snoozes is 2: it asked to be tried again in 50ms";
        assert_eq!(row.error.as_deref(), Some(why));
        stand.stop();
    });
}

#[test]
fn it_may_give_itself_up() {
    block_on(async {
        let definition =
            "command = [\"sh\", \"-c\", '''echo '{\"discard\": \"no such order\"}' >&3''']\nmax_attempts = 5";
        let (row, _) = outcome_of(definition, None).await;
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Failed, Some(Verdict::Discarded), 1));
        assert_eq!(row.error.as_deref(), Some("no such order"));
    });
}

#[test]
fn success_is_what_is_declared() {
    block_on(async {
        let exit = |code: i32, settings: &str| {
            format!("command = [\"sh\", \"-c\", \"echo oh dear >&2; exit {code}\"]\n{settings}")
        };
        assert_eq!(outcome_of(&exit(0, ""), None).await.0.outcome, Outcome::Succeeded);
        assert_eq!(outcome_of(&exit(3, "success_codes = [0, 3]"), None).await.0.outcome, Outcome::Succeeded);
        assert_eq!(
            outcome_of(&exit(0, "success_codes = [3]"), None).await.0.error.as_deref(),
            Some("exit code 0: oh dear")
        );
        let (row, _) = outcome_of(&exit(0, "fail_on_stderr = true"), None).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(0)));
        assert_eq!(row.error.as_deref(), Some("it wrote to standard error: oh dear"));
    });
}

#[test]
fn what_it_cost_is_on_record() {
    block_on(async {
        // Enough to be seen: a hundred milliseconds of work, fifty megabytes of memory.
        let body = "dd if=/dev/zero bs=50M count=1 of=/dev/null 2>/dev/null; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo 12345678";
        let (row, _) = outcome_of(&format!("command = [\"sh\", \"-c\", '''{body}''']"), None).await;
        assert_eq!((row.outcome, row.output_bytes), (Outcome::Succeeded, Some(9)));
        assert!(row.cpu_user_ms.unwrap() > 20, "{row:?}");
        assert!(row.peak_memory.unwrap() > 50_000_000 && row.peak_memory.unwrap() < 500_000_000, "{row:?}");
    });
}
