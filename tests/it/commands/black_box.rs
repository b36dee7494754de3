//! The black box: output that is bounded, timed, and to be seen while it comes.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Stdio},
};

use nix::{
    fcntl::{Flock, FlockArg, OFlag},
    sys::stat::Mode,
    unistd::mkfifo,
};
use sea_orm::ConnectionTrait as _;
use sexton::NewTask;
use sexton_entities::states::Outcome;

use super::{Stand, outcome_of, processes};
use crate::support::{Printed as _, block_on, eventually, sexton};

#[test]
fn output_is_bounded_and_readable() {
    block_on(async {
        let definition = "command = [\"sh\", \"-c\", '''echo begin; head -c 20000000 /dev/zero | tr '\\000' x; printf 'a\\000b\\377c'; echo end''']\noutput_head = 500\noutput_tail = \"1KiB\"";
        let (row, output) = outcome_of(definition, None).await;
        assert_eq!((row.outcome, row.output_bytes), (Outcome::Succeeded, Some(20_000_015)));
        let output = output.unwrap();
        assert!(output.truncated);
        assert!(
            output.stdout.starts_with("begin\nxxx") && output.stdout.ends_with("a\u{fffd}b\u{fffd}cend\n"),
            "{}",
            output.stdout
        );
        assert!(
            output.stdout.contains(&format!("[… {} bytes left out …]", 20_000_015 - 500 - 1024)),
            "{}",
            output.stdout
        );
    });
}

#[test]
fn two_gigabytes_without_a_newline_take_no_memory() {
    block_on(async {
        let mut stand = Stand::of("command = [\"head\", \"-c\", \"2000000000\", \"/dev/zero\"]").await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let title = format!("sexton: [default] it #{id}");
        let mut most = 0;
        eventually("it is finished", async || {
            for (pid, _) in processes(&title) {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let peak = status
                    .lines()
                    .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
                most = most.max(peak.unwrap_or_default());
            }
            stand.store.task(id).await.unwrap().is_none()
        })
        .await;
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.output_bytes), (Outcome::Succeeded, Some(2_000_000_000)));
        assert!(most > 0 && most < 32 * 1024, "the shepherd had {most} KiB resident");
        stand.stop();
    });
}

#[test]
fn lines_know_when_they_came() {
    block_on(async {
        let definition = "command = [\"sh\", \"-c\", \"echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three\"]";
        let mut stand = Stand::of(definition).await;
        let (row, _) = stand.run(None).await;
        let id = row.task_id.unwrap().to_string();
        let log = sexton(&stand.config).args(["task", "log", &id, "--timestamps"]).output().unwrap().text();
        let lines: Vec<&str> = log.lines().skip(1).map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(lines, ["out one", "err two", "out three"], "{log}");
        let times: Vec<&str> = log.lines().skip(1).map(|line| line.split_once("Z ").unwrap().0).collect();
        assert!(times[0] < times[1] && times[1] < times[2], "{log}");
        let plain = sexton(&stand.config).args(["task", "log", &id]).output().unwrap().text();
        assert!(plain.ends_with("one\nthree\n── standard error ──\ntwo\n"), "{plain}");
        stand.stop();
    });
}

/// Somebody who looks on; what is shown goes to a file.
fn follower(stand: &Stand, id: i64, seen: &Path) -> Child {
    let mut command = sexton(&stand.config);
    command.args(["task", "log", &id.to_string(), "--follow", "--raw"]);
    command.stdout(File::create(seen).unwrap()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_is_watched_is_shown_once_whatever_its_bytes() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let body = "printf 'caf\\351\\n\\000nul\\n'; while [ ! -e go ]; do sleep 0.05; done; printf 'th\\351\\n'";
        let path = super::script(folder.path(), "latin", &format!("#!/bin/sh\n{body}\n"));
        let definition = format!("command = [\"{}\"]\ndir = \"{}\"", path.display(), folder.path().display());
        let mut stand = Stand::of(&definition).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let seen = folder.path().join("seen");
        let mut follower = follower(&stand, id, &seen);
        let first = b"caf\xe9\n\0nul\n";
        eventually("its first lines are shown", async || std::fs::read(&seen).unwrap() == first).await;
        // Without a daemon, the follower sees its end all the same, and waits for somebody who records it.
        stand.kill();
        std::fs::write(folder.path().join("go"), "").unwrap();
        eventually("its last line is shown", async || {
            std::fs::read(&seen).unwrap().ends_with(b"\n") && std::fs::read(&seen).unwrap().len() > first.len()
        })
        .await;
        stand.start();
        assert_eq!(stand.finished(id).await.outcome, Outcome::Succeeded);
        assert!(follower.wait().unwrap().success());
        let text = std::fs::read(&seen).unwrap();
        let rest = String::from_utf8_lossy(&text[first.len()..]).into_owned();
        assert!(text.starts_with(first) && rest == "th\u{fffd}\n", "{rest:?}");
        stand.stop();
    });
}

#[test]
fn a_running_command_can_be_watched() {
    block_on(async {
        let body = "echo first; head -c 5000000 /dev/zero | tr '\\000' x; echo; while [ ! -e go ]; do sleep 0.05; done; echo last; echo hm >&2";
        let folder = tempfile::tempdir().unwrap();
        let definition = format!("command = [\"sh\", \"-c\", '''{body}''']\ndir = \"{}\"", folder.path().display());
        let mut stand = Stand::of(&definition).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let seen = folder.path().join("seen");
        let mut follower = follower(&stand, id, &seen);
        let shown = || std::fs::read_to_string(&seen).unwrap();
        eventually("the tail is shown", async || shown().ends_with("xxx\n")).await;
        assert!(shown().starts_with("first\nxxx") && shown().contains("bytes left out"), "{}", shown());
        std::fs::write(folder.path().join("go"), "").unwrap();
        assert!(follower.wait().unwrap().success(), "it ends with the task");
        assert!(shown().ends_with("xxx\nlast\n"), "…{}", &shown()[shown().len() - 100..]);
        let mut errors = String::new();
        std::io::Read::read_to_string(&mut follower.stderr.take().unwrap(), &mut errors).unwrap();
        assert_eq!(errors, "hm\n");
        assert_eq!(stand.finished(id).await.outcome, Outcome::Succeeded);
        stand.stop();
    });
}

#[test]
fn an_attempt_that_is_just_being_made_is_not_taken_for_ended() {
    block_on(async {
        let mut stand = Stand::of("command = [\"true\"]").await;
        stand.stop();
        let id = stand.enqueue(NewTask::new("it")).await;
        let claim = format!("UPDATE sexton_task SET state = 'running', node = 'ghost', fence = 7 WHERE id = {id}");
        stand.store.connection().execute_unprepared(&claim).await.unwrap();
        let dir = stand.state().join(format!("attempts/ghost/{id}-7"));
        std::fs::create_dir_all(&dir).unwrap();
        let made = dir.join("made");
        let _held = Flock::lock(File::create(&made).unwrap(), FlockArg::LockShared).unwrap();
        // A pipe has a reader as soon as the follower opens it: it finds the manifest before its lock.
        let manifest = dir.join("attempt");
        mkfifo(&manifest, Mode::from_bits_truncate(0o600)).unwrap();
        let seen = dir.join("seen");
        let mut follower = follower(&stand, id, &seen);
        let mut writer = None;
        eventually("the follower looks", async || {
            writer = File::options().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&manifest).ok();
            writer.is_some()
        })
        .await;
        std::fs::rename(made, &manifest).unwrap();
        drop(writer);
        std::fs::write(dir.join("stdout"), "it runs\n").unwrap();
        eventually("its output is shown", async || std::fs::read_to_string(&seen).unwrap() == "it runs\n").await;
        follower.kill().unwrap();
        follower.wait().unwrap();
    });
}

#[test]
fn the_end_is_shown_although_a_letter_stands_across_the_end_of_the_head() {
    block_on(async {
        let body = "sleep 1; printf abc; sleep 0.5; printf 'äöü\\377 LASTWORDS'";
        let definition = format!("command = [\"sh\", \"-c\", '''{body} ''']\noutput_head = 4\noutput_tail = \"1KiB\"");
        let mut stand = Stand::of(&definition).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let mut follower = follower(&stand, id, &seen);
        assert_eq!(stand.finished(id).await.outcome, Outcome::Succeeded);
        assert!(follower.wait().unwrap().success());
        let text = String::from_utf8_lossy(&std::fs::read(&seen).unwrap()).into_owned();
        assert!(text.starts_with("abc") && text.ends_with("öü\u{fffd} LASTWORDS"), "{text}");
        stand.stop();
    });
}
