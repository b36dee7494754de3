//! Limits: of time, of resources, of rights; and the cancel.

use std::time::{Duration, Instant};

use sexton::NewTask;
use sexton_entities::states::{Outcome, TaskState};

use super::{Stand, outcome_of, processes, unusual};
use crate::support::{Database, Kind, Mounted, Printed as _, block_on, eventually, sexton, within};

fn shell(script: &str, settings: &str) -> String {
    format!("command = [\"sh\", \"-c\", '''{script}''']\n{settings}")
}

#[test]
fn a_polite_program_is_given_the_chance_to_end() {
    block_on(async {
        let body = "trap 'echo cleaning up; exit 0' TERM; sleep 30 & wait";
        let (row, output) = outcome_of(&shell(body, "timeout = \"300ms\""), None).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Succeeded, Some(0)), "it said itself that it is done");
        assert_eq!(output.unwrap().stdout, "cleaning up\n");
    });
}

#[test]
fn the_whole_tree_has_its_time_to_end() {
    block_on(async {
        // The shell goes at once; what it has started needs two seconds, and writes more than a pipe holds.
        let worker =
            "trap 'head -c 300000 /dev/zero; sleep 2; echo ended in order; exit' TERM; while :; do sleep 0.1; done";
        let folder = tempfile::tempdir().unwrap();
        let path = super::script(folder.path(), "worker", &format!("#!/bin/sh\n{worker}\n"));
        let body = format!("{} & wait", path.display());
        let (row, output) = outcome_of(&shell(&body, "timeout = \"500ms\"\nkill_after = \"30s\""), None).await;
        assert_eq!((row.outcome, row.signal), (Outcome::TimedOut, Some(15)), "{row:?}");
        assert!(output.unwrap().stdout.ends_with("ended in order\n"));
    });
}

#[test]
fn limits_of_resources_are_in_force() {
    block_on(async {
        let settings = "umask = \"027\"\nnice = 7\nlimits = { memory = \"256MiB\", cpu = \"40s\", open_files = 40, processes = 4000, file_size = \"1MiB\" }";
        let body = "umask; nice; ulimit -v; ulimit -t; ulimit -n; ulimit -p; ulimit -f";
        let (row, output) = outcome_of(&shell(body, settings), None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{row:?}");
        assert_eq!(output.unwrap().stdout, "0027\n7\n262144\n40\n40\n4000\n2048\n");
        let (row, _) = outcome_of(
            &shell(
                "head -c 3000000 /dev/zero > big; true",
                &format!("dir = \"{}\"\nlimits = {{ file_size = 4096 }}", std::env::temp_dir().display()),
            ),
            None,
        )
        .await;
        assert_eq!(row.outcome, Outcome::Succeeded, "the shell survives what ends its child: {row:?}");
        let _ = std::fs::remove_file(std::env::temp_dir().join("big"));
        let (row, _) = outcome_of(&shell("while :; do :; done", "limits = { cpu = \"1s\" }"), None).await;
        assert_eq!((row.outcome, row.error.as_deref()), (Outcome::Crashed, Some("killed by SIGXCPU")));
    });
}

#[test]
fn another_user_is_become_for_good() {
    block_on(async {
        let settings = "user = \"nobody\"";
        let (row, output) = outcome_of(&shell("id -un; id -Gn; echo $HOME $USER $LOGNAME", settings), None).await;
        if nix::unistd::geteuid().is_root() {
            let text = output.unwrap().stdout;
            assert!(text.starts_with("nobody\nnogroup\n") && text.ends_with(" nobody nobody\n"), "{text}");
        } else {
            assert_eq!(row.error.as_deref(), Some("cannot become user nobody: only a daemon that runs as root can"));
        }
        let (row, _) = outcome_of(&shell("id", "user = \"no-such-user\""), None).await;
        assert_eq!(row.error.as_deref(), Some("there is no user no-such-user on this machine"));
    });
}

#[test]
fn the_time_limit_holds_without_a_daemon() {
    block_on(async {
        let sleep = unusual();
        let mut stand =
            Stand::of(&shell(&format!("echo begun; sleep {sleep}"), "timeout = \"2s\"\nkill_after = \"100ms\"")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || !processes(&sleep).is_empty()).await;
        stand.kill();
        eventually("its shepherd ends it", async || processes(&sleep).is_empty()).await;
        assert_eq!(stand.store.task(id).await.unwrap().unwrap().state, TaskState::Running, "nobody could record it");
        stand.start();
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::TimedOut);
        assert!((2_000..20_000).contains(&row.duration_ms.unwrap()), "{row:?}");
        assert_eq!(stand.output(&row).await.unwrap().stdout, "begun\n");
        stand.stop();
    });
}

/// Cancels from another process, and waits for the end of the tree.
async fn cancelled(database: Database, patience: Duration) {
    let sleep = unusual();
    let mut stand = Stand::on(
        database,
        &format!(
            "heartbeat = \"5s\"\nlease = \"20s\"\n[task.it]\n{}",
            shell(&format!("setsid sleep {sleep} & sleep {sleep}"), "")
        ),
    )
    .await;
    let id = stand.enqueue(NewTask::new("it")).await;
    eventually("it runs", async || processes(&sleep).iter().filter(|(_, state)| *state == 'S').count() >= 3).await;
    let begun = Instant::now();
    let output = sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
    assert!(output.text().contains("its node will stop it"), "{}", output.errors());
    within(patience, "the tree is gone", async || processes(&sleep).is_empty()).await;
    let row = stand.finished(id).await;
    assert_eq!(row.outcome, Outcome::Cancelled, "after {:?}", begun.elapsed());
    stand.stop();
}

#[test]
fn a_cancel_is_heard_at_once_on_postgres() {
    // Two seconds are promised. The heartbeat is five here, so that it cannot be what did it.
    block_on(async { cancelled(Database::new(Kind::Postgres).await, Duration::from_secs(4)).await });
}

#[test]
fn a_cancel_is_heard_by_the_next_heartbeat_on_mariadb() {
    block_on(async { cancelled(Database::new(Kind::MariaDb).await, Duration::from_secs(30)).await });
}

#[test]
fn a_cancel_is_heard_by_the_next_heartbeat_on_mysql() {
    block_on(async { cancelled(Database::new(Kind::MySql).await, Duration::from_secs(30)).await });
}

#[test]
fn a_delegated_control_group_contains_the_command() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes a control group, and needs root for it");
    block_on(async {
        let (root, _mounted) = control_groups();
        let sleep = unusual();
        let name = format!("sexton-test-{sleep}");
        let group = root.join(&name);
        std::fs::create_dir(&group).unwrap();
        // As systemd marks what it delegates.
        rustix::fs::setxattr(&group, "trusted.delegate", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        let body = format!("cat /proc/self/cgroup; setsid sleep {sleep} & sleep 0.2");
        let mut stand = Stand::of(&shell(&body, "")).await;
        let pid = stand.daemon.as_ref().unwrap().pid();
        std::fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
        let (row, output) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded);
        let text = output.unwrap().stdout;
        let own_group = format!("/{name}/{}-{}", row.task_id.unwrap(), row.fence);
        assert!(text.lines().any(|line| line.starts_with("0::") && line.ends_with(&own_group)), "{text}");
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(own.contains(&format!("/{name}/daemon")), "the daemon itself has moved out of the way: {own}");
        assert_eq!(processes(&format!("sleep {sleep}")), []);
        stand.stop();
        eventually("its groups can be removed", async || {
            std::fs::remove_dir(group.join("daemon")).is_ok() && std::fs::remove_dir(&group).is_ok()
        })
        .await;
    });
}

/// Where control groups of version 2 are; mounted for this test if nobody else has.
fn control_groups() -> (std::path::PathBuf, Option<(Mounted, tempfile::TempDir)>) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if let Some(line) = mounts.lines().find(|line| line.contains(" - cgroup2 ")) {
        return (line.split(' ').nth(4).unwrap().into(), None);
    }
    let folder = tempfile::tempdir().unwrap();
    (folder.path().to_owned(), Some((Mounted::new(folder.path(), "cgroup2", "rw"), folder)))
}
