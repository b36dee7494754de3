//! Commands that misbehave: each of them ends, on record, with nothing of it left.

use std::time::{Duration, Instant};

use serde_json::json;
use sexton_entities::states::Outcome;

use super::{Stand, outcome_of, processes, script, shepherd_of, unusual};
use crate::support::{Printed as _, block_on, eventually, sexton};

/// A definition of a shell script.
fn shell(script: &str, settings: &str) -> String {
    format!("command = [\"sh\", \"-c\", '''{script}''']\n{settings}")
}

const LIMIT: &str = "timeout = \"400ms\"\nkill_after = \"300ms\"";

#[test]
fn one_that_ignores_term_is_killed() {
    block_on(async {
        let sleep = unusual();
        let begun = Instant::now();
        let (row, _) = outcome_of(&shell(&format!("trap '' TERM; sleep {sleep}; sleep {sleep}"), LIMIT), None).await;
        assert_eq!((row.outcome, row.signal), (Outcome::TimedOut, Some(9)));
        assert_eq!(row.error.as_deref(), Some("the time limit of 400ms was reached: killed by SIGKILL"));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(processes(&sleep), []);
    });
}

#[test]
fn one_that_forks_twice_and_calls_setsid_is_found() {
    block_on(async {
        let sleep = unusual();
        let body =
            format!("(setsid sh -c 'trap \"\" TERM; (setsid sleep {sleep} &) ; sleep {sleep}' &) ; sleep {sleep}");
        let (row, _) = outcome_of(&shell(&body, LIMIT), None).await;
        assert_eq!(row.outcome, Outcome::TimedOut);
        assert_eq!(processes(&sleep), [], "all of it is gone when the end is on record");
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_holds_up_nothing() {
    block_on(async {
        let sleep = unusual();
        let (row, output) = outcome_of(&shell(&format!("sleep {sleep} & echo done"), ""), None).await;
        assert_eq!((row.outcome, output.unwrap().stdout.as_str()), (Outcome::Succeeded, "done\n"));
        assert!(row.duration_ms.unwrap() < 15_000, "{:?}", row.duration_ms);
        assert_eq!(processes(&sleep), [], "what it has left behind is ended");
    });
}

#[test]
fn what_it_left_behind_is_on_record() {
    block_on(async {
        let sleep = unusual();
        let mut stand = Stand::of(&shell(&format!("sleep {sleep} & (setsid sleep {sleep} &)"), "")).await;
        let id = stand.enqueue(sexton::NewTask::new("it")).await;
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.left_behind, row.error), (Outcome::Succeeded, Some(2), None));
        let said = "2 processes left behind were ended";
        for arguments in [&["history"][..], &["task", "show", &id.to_string()]] {
            let shown = sexton(&stand.config).args(arguments).output().unwrap().text();
            // The table may break the line.
            let flat: Vec<&str> =
                shown.split(|c: char| c.is_whitespace() || c == '|').filter(|word| !word.is_empty()).collect();
            assert!(flat.contains(&"2") && shown.contains("behind"), "{shown}");
        }
        stand
            .daemon
            .as_ref()
            .unwrap()
            .wait_for_log(&format!("{said} (keep_background = true lets such processes live)"));
        let log = stand.stop();
        assert!(log.contains("WARN") && log.contains("it succeeded in"), "{log}");
        assert_eq!(processes(&sleep), []);
    });
}

#[test]
fn what_may_stay_in_the_background_stays() {
    block_on(async {
        let sleep = unusual();
        let (row, _) = outcome_of(&shell(&format!("sleep {sleep} & echo done"), "keep_background = true"), None).await;
        assert_eq!(row.outcome, Outcome::Succeeded);
        let left = processes(&sleep);
        assert_eq!(left.len(), 1, "{left:?}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left[0].0), nix::sys::signal::Signal::SIGKILL).unwrap();
    });
}

#[test]
fn a_segmentation_fault_is_a_crash() {
    block_on(async {
        let (row, _) = outcome_of(&shell("ulimit -c 0; kill -SEGV $$", ""), None).await;
        assert_eq!((row.outcome, row.signal, row.core_dumped), (Outcome::Crashed, Some(11), Some(false)));
        assert_eq!(row.error.as_deref(), Some("killed by SIGSEGV"));
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let no_shebang = script(folder.path(), "no-shebang", "echo hello\n");
        let bad_shebang = script(folder.path(), "bad-shebang", "#!/no/such/interpreter\n");
        let not_executable = folder.path().join("not-executable");
        std::fs::write(&not_executable, "#!/bin/sh\n").unwrap();
        for (program, told) in [
            (no_shebang.display().to_string(), "Exec format error; it is neither a program nor a script"),
            (bad_shebang.display().to_string(), "the file exists, but not the interpreter in its first line"),
            (not_executable.display().to_string(), "Permission denied; is the file executable"),
            ("/no/such/program".to_owned(), "No such file or directory"),
            ("no-such-program".to_owned(), "no such program in PATH="),
        ] {
            let (row, _) = outcome_of(&format!("command = [\"{program}\"]"), None).await;
            let error = row.error.unwrap();
            assert!(error.starts_with(&format!("cannot start {program}: ")) && error.contains(told), "{error}");
            assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, None));
        }
    });
}

#[test]
fn a_directory_that_may_not_be_entered_is_named() {
    block_on(async {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        // Root may enter anything, so it runs as somebody else there.
        let user = if nix::unistd::geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (row, _) = outcome_of(&format!("command = [\"true\"]\n{user}dir = \"{}\"", closed.display()), None).await;
        let error = row.error.unwrap();
        assert!(error.contains(&format!("the working directory {}: Permission denied", closed.display())), "{error}");
    });
}

#[test]
fn a_megabyte_that_nobody_reads_does_no_harm() {
    block_on(async {
        let (row, _) = outcome_of("command = [\"sleep\", \"0.3\"]", Some(json!("x".repeat(1_000_000)))).await;
        assert_eq!(row.outcome, Outcome::Succeeded);
        let (row, output) = outcome_of("command = [\"wc\", \"-c\"]", Some(json!("x".repeat(1_000_000)))).await;
        assert_eq!((row.outcome, output.unwrap().stdout.trim()), (Outcome::Succeeded, "1000002"));
    });
}

#[test]
fn one_that_answers_without_end_is_stopped_all_the_same() {
    block_on(async {
        let (row, _) = outcome_of(&shell("yes >&3", LIMIT), None).await;
        assert_eq!(row.outcome, Outcome::TimedOut, "{row:?}");
        assert!(row.duration_ms.unwrap() < 20_000, "{row:?}");
    });
}

#[test]
fn one_that_multiplies_is_caught() {
    block_on(async {
        let sleep = unusual();
        let (row, _) =
            outcome_of(&shell(&format!("trap '' TERM; while :; do (sleep {sleep} &); done"), LIMIT), None).await;
        assert_eq!(row.outcome, Outcome::TimedOut, "{row:?}");
        assert_eq!(processes(&sleep), []);
    });
}

#[test]
fn one_that_has_stopped_hears_that_it_is_to_end() {
    block_on(async {
        let (row, _) =
            outcome_of(&shell("kill -STOP $$; sleep 60", "timeout = \"300ms\"\nkill_after = \"1m\""), None).await;
        assert_eq!((row.outcome, row.signal), (Outcome::TimedOut, Some(15)), "{row:?}");
    });
}

#[test]
fn death_by_a_real_time_signal_is_on_record() {
    block_on(async {
        let (row, _) = outcome_of(&shell("kill -40 $$", ""), None).await;
        assert_eq!(
            (row.outcome, row.signal, row.error.as_deref()),
            (Outcome::Crashed, Some(40), Some("killed by signal 40"))
        );
    });
}

#[test]
fn a_shepherd_that_is_killed_takes_its_command_along() {
    block_on(async {
        let sleep = unusual();
        let mut stand = Stand::of(&shell(&format!("setsid sleep {sleep} & sleep {sleep}"), "")).await;
        let id = stand.enqueue(sexton::NewTask::new("it")).await;
        eventually("it runs", async || processes(&sleep).iter().filter(|(_, state)| *state == 'S').count() >= 3).await;
        let shepherd = shepherd_of(&sleep).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(shepherd), nix::sys::signal::Signal::SIGKILL).unwrap();
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::Crashed);
        assert!(row.error.as_ref().unwrap().starts_with("its shepherd was killed"), "{row:?}");
        eventually("nothing is left", async || processes(&sleep).is_empty()).await;
        stand.stop();
    });
}

#[test]
fn a_fork_server_that_is_killed_is_started_again() {
    block_on(async {
        let sleep = unusual();
        // The first one runs on under its shepherd, which must not keep the way to the fork server open.
        let mut stand = Stand::of(&shell(&format!("test $SEXTON_TASK_ID -gt 1 || sleep {sleep}"), "")).await;
        let first = stand.enqueue(sexton::NewTask::new("it")).await;
        eventually("it runs", async || shepherd_of(&sleep).is_some()).await;
        let pid = stand.daemon.as_ref().unwrap().pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let all = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let servers: Vec<i32> = all
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .chain([children])
            .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>())
            .collect();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(servers[0]), nix::sys::signal::Signal::SIGKILL).unwrap();
        assert_eq!(stand.run(None).await.0.outcome, Outcome::Succeeded);
        sexton(&stand.config).args(["task", "cancel", &first.to_string()]).output().unwrap();
        assert_eq!(stand.finished(first).await.outcome, Outcome::Cancelled);
        stand.stop();
    });
}
