//! Other users of the machine can neither lead the daemon to files of their choice nor read its memory.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use nix::unistd::Uid;
use sexton::NewTask;

use super::Service;
use crate::{
    daemon::history,
    support::{Daemon, Database, Kind, Printed, block_on, eventually},
};

/// The user and the group `nobody`.
const NOBODY: u32 = 65_534;

#[test]
fn state_and_log_directories_in_which_others_may_write_are_refused() {
    assert!(Uid::effective().is_root(), "this test needs root: only root can give a folder away");
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let state = service.file.with_file_name("state");
        let (spool, log) = (state.join("spool"), state.join("log"));
        fs::create_dir_all(&spool).unwrap();
        fs::create_dir_all(&log).unwrap();
        let refused = |says: &str| {
            for arguments in [["run"], ["start"]] {
                let output = service.call(&arguments);
                assert_eq!(output.status.code(), Some(1), "{arguments:?}");
                assert!(output.errors().contains(says), "{arguments:?}: {}", output.errors());
            }
        };
        chown(&state, None, Some(NOBODY)).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o770)).unwrap();
        refused("daemon.state_dir: the group nogroup may write to");
        chown(&state, None, Some(0)).unwrap();
        chown(&spool, Some(NOBODY), None).unwrap();
        refused("spool belongs to nobody, and the daemon runs as root");
        chown(&spool, Some(0), None).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o777)).unwrap();
        refused("log: `chmod o-w");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o750)).unwrap();
        service.done(&["start"]);
        service.done(&["stop"]);
    });
}

#[test]
fn a_log_that_is_a_link_is_not_written() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let log = service.file.with_file_name("state").join("log");
        fs::create_dir_all(&log).unwrap();
        let victims = ["sexton.log", "supervisor.log"].map(|name| {
            let victim = database.folder.path().join(name);
            fs::write(&victim, "precious\n").unwrap();
            symlink(&victim, log.join(name)).unwrap();
            victim
        });
        service.done(&["start"]);
        let (_, status) = service.status();
        let problem = status["daemon"]["log"]["last_problem"].to_string();
        assert!(problem.contains("this is a symbolic link"), "{status:#}");
        service.done(&["stop"]);
        for victim in victims {
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n", "{}", victim.display());
        }
    });
}

#[test]
fn the_control_socket_is_private_from_its_first_moment() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        for socket in ["control.sock", "notify.sock"] {
            let mode = fs::symlink_metadata(service.run_dir.join(socket)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{socket}");
        }
        let left = fs::read_dir(&service.run_dir).unwrap().flatten().map(|entry| entry.path());
        assert!(!left.into_iter().any(|path| path.is_dir()), "the directory in which a socket was bound is gone");
        service.done(&["stop"]);
    });
}

#[test]
fn the_commands_cannot_read_the_environment_of_the_daemon() {
    assert!(Uid::effective().is_root(), "this test needs root: the daemon runs as another user");
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        // `SEXTON_TASK_ID` shows that reading works where it is allowed.
        let body = "tr '\\\\0' '\\\\n' < /proc/$$/environ | grep -c ^SEXTON_TASK_ID; cat /proc/$(cat)/environ";
        let config = database.config("n", &format!("[task.spy]\ncommand = [\"sh\", \"-c\", \"{body}\"]\n"));
        let program = database.folder.path().join("sexton");
        fs::copy(env!("CARGO_BIN_EXE_sexton"), &program).unwrap();
        give(database.folder.path());
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config).arg("run").env("A_SECRET", "s3cr3t").uid(NOBODY).gid(NOBODY);
        let daemon = Daemon::start_command(command, &config);
        let task = NewTask::new("spy").payload(serde_json::json!(daemon.pid()));
        sexton::Client::new(store.clone()).enqueue(task).await.unwrap();
        eventually("it is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        daemon.stop();
        let output = store.output(row.id).await.unwrap().unwrap();
        assert_eq!(output.stdout.trim(), "1", "{output:?}");
        assert!(output.stderr.contains("Permission denied"), "{output:?}");
    });
}

/// Gives a directory and all that is in it to nobody.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
