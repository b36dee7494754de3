//! Programs that are kept running: real ones, under real shepherds.

use std::time::Duration;

use super::{House, end, is_gone, pid_of, runs};
use crate::{
    commands::unusual,
    support::{Daemon, PATIENCE, block_on, eventually, sexton},
};

#[test]
fn a_program_is_kept_running_and_its_falls_are_on_the_board() {
    block_on(async {
        let sleep = unusual();
        let mut house = House::new(&format!(
            "[supervisor]\nmax_restarts = 0\n[module.it]\ncommand = [\"sleep\", \"{sleep}\"]\n\
             restart_delay = \"20ms\"\nmax_restart_delay = \"1h\"\n"
        ))
        .await;
        for falls in 1..=5 {
            let pid = runs(&sleep).await;
            eventually("it is seen running", async || house.cell("it", "Pid") == pid.to_string()).await;
            end(pid);
            let seen = falls.to_string();
            eventually("the fall is on the board", async || {
                house.module("it").is_some_and(|module| module["failures"] == falls)
                    && house.cell("it", "Failures") == seen
            })
            .await;
        }
        runs(&sleep).await;
        eventually("it runs again", async || house.cell("it", "State") == "running").await;
        let module = house.module("it").unwrap();
        assert_eq!((&module["state"], &module["last_error"]), (&"running".into(), &"killed by SIGKILL".into()));
        assert_eq!(
            (house.cell("it", "Starts"), house.cell("it", "Last end")),
            ("6".into(), "killed by SIGKILL".into())
        );
        let log = house.log();
        for delay in ["20ms", "40ms", "80ms", "160ms", "320ms"] {
            let text = format!("its program failed (killed by SIGKILL); restarting it in {delay}");
            assert!(log.contains(&text), "{text}\n{log}");
        }
        house.stop();
        assert_eq!(pid_of(&sleep), None);
    });
}

#[test]
fn a_fall_is_told_with_its_code_and_its_last_words_and_ends_nothing_else() {
    block_on(async {
        let mut house = House::new(
            "[supervisor]\nmax_restarts = 0\n[module.it]\ncommand = [\"sh\", \"-c\", \"echo begun; echo no such port >&2; exit 3\"]\n\
             restart_delay = \"1ms\"\nmax_restart_delay = \"20ms\"\n",
        )
        .await;
        eventually("it has fallen often", async || {
            house.cell("it", "Failures").parse().is_ok_and(|falls: u32| falls > 15)
        })
        .await;
        let module = house.module("it").unwrap();
        assert_eq!(module["last_error"], "exit code 3: no such port");
        assert_eq!(house.cell("it", "Last end"), "exit code 3: no such port");
        let log = house.stop();
        assert!(log.contains("INFO it: begun") && log.contains("WARN it: no such port"), "{log}");
    });
}

#[test]
fn what_cannot_be_started_is_tried_again() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (program, sleep) = (folder.path().join("server"), unusual());
        let mut house = House::new(&format!(
            "[module.it]\ncommand = [\"{}\"]\nrestart_delay = \"50ms\"\nmax_restart_delay = \"50ms\"\n",
            program.display()
        ))
        .await;
        eventually("it has fallen", async || house.state("it").is_some_and(|state| state == "failed")).await;
        let error = house.module("it").unwrap()["last_error"].as_str().unwrap().to_owned();
        assert!(error.contains("cannot start") && error.contains("No such file"), "{error}");
        crate::commands::script(folder.path(), "server", &format!("#!/bin/sh\nexec sleep {sleep}\n"));
        runs(&sleep).await;
        house.stop();
    });
}

#[test]
fn output_goes_to_the_log_line_by_line_and_what_is_too_long_is_cut() {
    block_on(async {
        let script = "printf 'a part'; sleep 0.3; echo ' and its end'; head -c 100000 /dev/zero | tr '\\\\0' x; echo; \
                      echo to the errors >&2; exec sleep 3600";
        let mut house = House::new(&format!("[module.it]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n")).await;
        let daemon = house.daemon.as_ref().unwrap();
        for text in ["a part and its end", "to the errors", "xxxx [… 95904 bytes left out …]"] {
            daemon.wait_for_log(text);
        }
        let log = house.stop();
        let of = |text: &str| log.lines().find(|line| line.contains(text)).unwrap().to_owned();
        assert!(of("a part and its end").contains("INFO it: a part"), "{log}");
        assert!(of("to the errors").contains("WARN it: to"), "{log}");
    });
}

#[test]
fn it_is_replaced_when_its_time_is_over() {
    block_on(async {
        let sleep = unusual();
        let tables = format!(
            "[module.it]\ncommand = [\"sh\", \"-c\", \"trap 'echo told to end; exit 0' TERM; sleep {sleep} & wait\"]\ndiscard = \"1s\"\n"
        );
        let mut house = House::new(&tables).await;
        eventually("it was replaced", async || house.cell("it", "Recycled").parse().is_ok_and(|count: u32| count >= 3))
            .await;
        assert_eq!(house.cell("it", "Last end"), "recycled: it has run for 1s");
        assert_eq!(house.cell("it", "Failures"), "0");
        assert!(house.module("it").unwrap()["recycled"].as_u64().unwrap() >= 3);
        let log = house.stop();
        assert!(log.contains("told to end"), "{log}");
        is_gone(&sleep).await;
    });
}

#[test]
fn it_is_replaced_when_its_whole_tree_has_too_much_memory() {
    block_on(async {
        // The child has the memory, not the program itself.
        let script = "sh -c 'x=$(head -c 30000000 /dev/zero | tr \\\"\\\\\\\\0\\\" x); sleep 3600; echo $x' & wait";
        let mut house =
            House::new(&format!("[module.it]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nmemory_limit = \"20MiB\"\n"))
                .await;
        eventually("it was replaced", async || house.cell("it", "Recycled") == "1").await;
        let how = house.cell("it", "Last end");
        assert!(how.starts_with("recycled: it has ") && how.ends_with(" resident, more than 20.0 MiB"), "{how}");
        assert_eq!(house.cell("it", "Failures"), "0");
        house.stop();
    });
}

#[test]
fn it_waits_for_its_check_which_is_told_once() {
    block_on(async {
        let (folder, sleep) = (tempfile::tempdir().unwrap(), unusual());
        let (ready, count) = (folder.path().join("ready"), folder.path().join("count"));
        let check =
            format!("echo x >> {}; test -e {} || {{ echo not ready >&2; exit 1; }}", count.display(), ready.display());
        let mut house = House::new(&format!(
            "[module.it]\ncommand = [\"sleep\", \"{sleep}\"]\ncheck = [\"sh\", \"-c\", \"{check}\"]\nrestart_delay = \"20ms\"\n\
             max_restart_delay = \"50ms\"\n"
        ))
        .await;
        let checks = || std::fs::read_to_string(&count).unwrap_or_default().lines().count();
        eventually("the check was made often", async || checks() >= 5).await;
        assert_eq!(pid_of(&sleep), None);
        assert_eq!(house.cell("it", "Starts"), "0");
        std::fs::write(&ready, "").unwrap();
        runs(&sleep).await;
        eventually("no fall is on the board", async || house.cell("it", "State") == "running").await;
        assert_eq!((house.cell("it", "Failures"), house.cell("it", "Starts")), ("0".into(), "1".into()));
        let log = house.stop();
        assert_eq!(
            log.matches("not starting the program now: its check failed: exit code 1: not ready").count(),
            1,
            "{log}"
        );
    });
}

#[test]
fn it_ends_with_a_killed_daemon_and_the_next_one_runs_exactly_one() {
    block_on(async {
        let sleep = unusual();
        // It is slow to end: the next daemon has to wait for it.
        let body = format!(
            "import signal,time\\nsignal.signal(signal.SIGTERM, lambda *a: (time.sleep(1), exit(0)))\\nwhile True: time.sleep({sleep})"
        );
        let mut house = House::new(&format!("[module.it]\ncommand = [\"python3\", \"-c\", \"{body}\"]\n")).await;
        let first = runs(&sleep).await;
        house.kill();
        house.start();
        // At no time are there two: `pid_of` sees to it.
        eventually("another one runs", async || pid_of(&sleep).is_some_and(|pid| pid != first)).await;
        assert!(house.log().contains("stopping an earlier start of its program first"), "{}", house.log());
        let second = pid_of(&sleep).unwrap();
        house.kill();
        is_gone(&sleep).await;
        house.start();
        eventually("a third one runs", async || pid_of(&sleep).is_some_and(|pid| pid != second)).await;
        house.stop();
        assert_eq!(pid_of(&sleep), None);
        let left = std::fs::read_dir(house.database.folder.path().join("n/state/modules")).unwrap();
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, [".seats"], "nothing else is left");
    });
}

#[test]
fn a_killed_shepherd_is_a_fall_and_leaves_nothing_behind() {
    block_on(async {
        let sleep = unusual();
        let script = format!("sleep {sleep} & wait");
        let mut house =
            House::new(&format!("[module.it]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nrestart_delay = \"10ms\"\n"))
                .await;
        let text = format!("sleep {sleep}");
        eventually("it runs", async || crate::commands::processes(&text).len() == 2).await;
        let before: Vec<i32> = crate::commands::processes(&text).into_iter().map(|(pid, _)| pid).collect();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", before.iter().min().unwrap())).unwrap();
        let shepherd = stat.rsplit_once(") ").unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
        end(shepherd);
        eventually("another one runs", async || {
            let now = crate::commands::processes(&text);
            now.len() == 2 && now.iter().all(|(pid, _)| !before.contains(pid))
        })
        .await;
        eventually("the fall is visible", async || house.cell("it", "Last end").starts_with("its shepherd was killed"))
            .await;
        house.stop();
    });
}

#[test]
fn two_daemons_that_share_a_folder_run_one() {
    block_on(async {
        let sleep = unusual();
        let mut house = House::new(&format!("[module.it]\ncommand = [\"sleep\", \"{sleep}\"]\n")).await;
        let first = runs(&sleep).await;
        let text = std::fs::read_to_string(&house.config).unwrap();
        let other = house.config.with_file_name("other.toml");
        let own = format!("name = \"other\"\nrun_dir = \"{}\"", house.config.with_file_name("run").display());
        std::fs::write(&other, text.replace("name = \"n\"", &own)).unwrap();
        let other = Daemon::start(&other, &["run"]);
        other.wait_for_log("not starting the program now: another daemon with the same state_dir runs it");
        assert_eq!(pid_of(&sleep), Some(first));
        // Whoever removes the seat, or everything, does not make it two.
        let modules = house.config.with_file_name("state").join("modules");
        let seats = modules.join(".seats");
        assert!(seats.is_dir(), "{}", seats.display());
        std::fs::remove_dir_all(&seats).unwrap();
        eventually("the seat is taken again", async || seats.join("it.seat").exists()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pid_of(&sleep), Some(first));
        house.stop();
        eventually("the other one keeps it now", async || pid_of(&sleep).is_some_and(|pid| pid != first)).await;
        other.stop();
        assert_eq!(pid_of(&sleep), None);
    });
}

#[test]
fn an_order_to_stop_at_once_does_not_wait_for_it() {
    block_on(async {
        let sleep = unusual();
        let body = format!(
            "import signal,time\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint('deaf')\\nwhile True: time.sleep({sleep})"
        );
        let mut house = House::new(&format!(
            "[module.it]\ncommand = [\"python3\", \"-u\", \"-c\", \"{body}\"]\nstop_timeout = \"10m\"\n"
        ))
        .await;
        let mut daemon = house.daemon.take().unwrap();
        daemon.wait_for_log("deaf");
        daemon.signal(nix::sys::signal::Signal::SIGQUIT);
        assert!(daemon.wait().success());
        assert!(daemon.log().contains("stopped its program: ended by signal SIGKILL"), "{}", daemon.log());
        assert_eq!(pid_of(&sleep), None);
    });
}

#[test]
fn it_is_told_to_end_by_its_own_signal_and_is_killed_in_the_end() {
    block_on(async {
        let (kind, stubborn) = (unusual(), unusual());
        let python = |body: &str| format!("[\"python3\", \"-u\", \"-c\", \"import signal,time\\n{body}\"]");
        let mut house = House::new(&format!(
            "[module.kind]\ncommand = {}\nstop_signal = \"QUIT\"\nstop_timeout = \"30s\"\n\
             [module.stubborn]\ncommand = {}\nstop_timeout = \"300ms\"\n",
            python(&format!("def bye(*a):\\n  print('bye'); time.sleep(6); print('gone'); exit(7)\\nsignal.signal(signal.SIGQUIT, bye)\\nprint('up')\\nwhile True: time.sleep({kind})")),
            python(&format!("signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint('deaf')\\nwhile True: time.sleep({stubborn})")),
        ))
        .await;
        let daemon = house.daemon.as_ref().unwrap();
        daemon.wait_for_log("up");
        daemon.wait_for_log("deaf");
        let begun = std::time::Instant::now();
        let log = house.stop();
        assert!(begun.elapsed() > Duration::from_secs(5) && begun.elapsed() < PATIENCE, "it is waited for");
        for text in ["bye", "gone", "stopped its program: exit code 7", "ended by signal SIGKILL"] {
            assert!(log.contains(text), "{text}\n{log}");
        }
        assert_eq!((pid_of(&kind), pid_of(&stubborn)), (None, None));
    });
}

#[test]
fn its_last_words_are_heard_whatever_their_bytes() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        // The first letter stands across the end of what is kept of the beginning; `\351` is no UTF-8.
        let body = "head -c 16383 /dev/zero | tr '\\000' x; printf 'äöüäöü\\nand the end: LASTWORDS'\n\
                    printf '\\351\\351\\351 once\\n' >&2; sleep 0.4; printf 'caf\\351 twice\\n' >&2; exit 3";
        let path = crate::commands::script(folder.path(), "last", &format!("#!/bin/sh\n{body}\n"));
        let delays = "restart_delay = \"1h\"\nmax_restart_delay = \"1h\"\n";
        let mut house = House::new(&format!("[module.it]\ncommand = [\"{}\"]\n{delays}", path.display())).await;
        eventually("it has fallen", async || house.cell("it", "Failures") == "1").await;
        let log = house.stop();
        for text in ["INFO it: and the end: LASTWORDS", "\u{fffd} once", "WARN it: caf\u{fffd} twice"] {
            let count = log.lines().filter(|line| line.contains(text)).count();
            assert_eq!(count, 1, "{text}\n{log}");
        }
    });
}

/// The parent of a process: of a program, its shepherd.
fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_shepherd_that_was_stopped_blocks_nothing() {
    block_on(async {
        let (left, restarted) = (unusual(), unusual());
        let mut house = House::new(&format!(
            "[module.left]\ncommand = [\"sleep\", \"{left}\"]\nstop_timeout = \"0s\"\n\
             [module.it]\ncommand = [\"sleep\", \"{restarted}\"]\nstop_timeout = \"0s\"\n"
        ))
        .await;
        let (first, other) = (runs(&left).await, runs(&restarted).await);
        let freeze = |pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP);
        freeze(parent(first)).unwrap();
        house.kill();
        is_gone(&restarted).await;
        house.start();
        let second = runs(&restarted).await;
        assert_ne!(second, other);
        freeze(parent(second)).unwrap();
        sexton(&house.config).args(["module", "restart", "it"]).output().unwrap();
        eventually("what was left is replaced", async || pid_of(&left).is_some_and(|pid| pid != first)).await;
        eventually("it is restarted", async || pid_of(&restarted).is_some_and(|pid| pid != second)).await;
        let log = house.stop();
        assert_eq!(log.matches("does not react: sending CONT").count(), 2, "{log}");
    });
}

#[test]
fn a_folder_that_was_removed_is_made_anew() {
    block_on(async {
        let sleep = unusual();
        let mut house =
            House::new(&format!("[module.it]\ncommand = [\"sleep\", \"{sleep}\"]\nrestart_delay = \"50ms\"\n")).await;
        let first = runs(&sleep).await;
        std::fs::remove_dir_all(house.database.folder.path().join("n/state/modules")).unwrap();
        end(first);
        eventually("it runs again", async || pid_of(&sleep).is_some_and(|pid| pid != first)).await;
        eventually("it is at work", async || house.cell("it", "State") == "running").await;
        house.stop();
        assert_eq!(pid_of(&sleep), None);
    });
}

#[test]
fn a_shepherd_that_somebody_told_to_end_is_no_fall() {
    block_on(async {
        let sleep = unusual();
        let mut house =
            House::new(&format!("[module.it]\ncommand = [\"sleep\", \"{sleep}\"]\nrestart_delay = \"50ms\"\n")).await;
        let first = runs(&sleep).await;
        // The fork server is the parent of the shepherd.
        end(parent(parent(first)));
        eventually("it runs again", async || pid_of(&sleep).is_some_and(|pid| pid != first)).await;
        eventually("it was asked to stop", async || house.cell("it", "Last end").contains("was asked to stop")).await;
        assert_eq!(house.cell("it", "Failures"), "0");
        house.stop();
    });
}
