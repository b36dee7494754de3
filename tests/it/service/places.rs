//! Unusual run directories, state directories and users.

use std::{fs, os::unix::fs::PermissionsExt as _};

use nix::unistd::Uid;
use sexton::{Client, NewTask};

use super::Service;
use crate::{
    daemon::history,
    support::{Daemon, Database, Kind, Mounted, Printed, block_on, eventually},
};

#[test]
fn a_run_directory_has_one_daemon_only() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let daemon = database.daemon("n", "");
        let service = Service::new(&database, "");
        let output = service.call(&["run"]);
        assert_eq!(output.status.code(), Some(1));
        let told = output.errors();
        assert!(told.contains(&format!("process {}", daemon.pid())) && told.contains("daemon.run_dir"), "{told}");
        daemon.stop();
    });
}

#[test]
fn files_that_a_power_cut_left_do_not_prevent_a_start() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        fs::create_dir_all(&service.run_dir).unwrap();
        drop(std::os::unix::net::UnixListener::bind(service.run_dir.join("control.sock")).unwrap());
        for (file, text) in
            [("daemon.lock", "1\n"), ("supervisor.lock", "1\n"), ("supervisor.json", "{\"pid\":"), ("ending.json", "")]
        {
            fs::write(service.run_dir.join(file), text).unwrap();
        }
        assert_eq!(service.status().0, 3, "nobody has the locks");
        service.done(&["start"]);
        service.done(&["stop"]);
    });
}

#[test]
fn a_run_directory_with_a_long_path_works() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let deep = database.folder.path().join("deep".repeat(20)).join("deeper".repeat(20));
        let mut service = Service::new(&database, &format!("run_dir = \"{}\"", deep.display()));
        service.run_dir = deep;
        service.done(&["start"]);
        assert_eq!(service.status().0, 0);
        assert!(service.log().contains("is too long for the address of a socket"), "{}", service.log());
        service.done(&["stop"]);
    });
}

#[test]
fn without_a_run_directory_the_daemon_works_and_start_explains() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.folder.path().join("file");
        fs::write(&file, "").unwrap();
        let service = Service::new(&database, &format!("run_dir = \"{}/run\"", file.display()));
        let output = service.call(&["start"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("Not a directory"), "{}", output.errors());
        let daemon = Daemon::start(&service.file, &["run"]);
        assert!(daemon.log().contains("there is no control socket"), "{}", daemon.log());
        daemon.stop();
    });
}

#[test]
fn directories_of_other_users_are_refused() {
    assert!(Uid::effective().is_root(), "this test needs root: only root can give a folder away");
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let state = service.file.with_file_name("state");
        fs::create_dir_all(&state).unwrap();
        std::os::unix::fs::chown(&state, Some(65_534), None).unwrap();
        let told = service.call(&["run"]).errors();
        assert!(told.contains("daemon.state_dir: ") && told.contains("belongs to nobody"), "{told}");
        std::os::unix::fs::chown(&state, Some(0), None).unwrap();
        fs::create_dir_all(&service.run_dir).unwrap();
        fs::set_permissions(&service.run_dir, fs::Permissions::from_mode(0o777)).unwrap();
        let told = service.call(&["run"]).errors();
        assert!(told.contains("every user may write to"), "{told}");
        let output = service.call(&["start"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("chmod o-w"), "{}", output.errors());
    });
}

#[test]
fn root_is_warned_or_refused() {
    assert!(Uid::effective().is_root(), "this test needs root");
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let daemon = database.daemon("n", "");
        assert!(daemon.stop().contains("the daemon runs as root"));
        let service = Service::new(&database, "refuse_root = true");
        let output = service.call(&["start"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("does not run as root (daemon.refuse_root)"), "{}", output.errors());
    });
}

/// A daemon whose run directory and state are on a file system that cannot be written to works; `start`, which could not
/// supervise it, explains the problem.
async fn goes_on_where_it_can(options: &str, fill: bool, told: &str) {
    let database = Database::new(Kind::Sqlite).await;
    let store = database.store().await;
    let small = database.folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let _mounted = Mounted::new(&small, "tmpfs", options);
    if fill {
        let filler = fs::File::create(small.join("filler")).unwrap();
        while std::io::Write::write(&mut &filler, &[0; 4_096]).is_ok_and(|count| count > 0) {}
    }
    let settings =
        format!("run_dir = \"{0}/run\"\nlog_dir = \"{0}/log\"\n[task.nothing]\nkind = \"noop\"", small.display());
    let mut service = Service::new(&database, &settings);
    service.run_dir = small.join("run");
    let output = service.call(&["start"]);
    assert_eq!(output.status.code(), Some(1), "{}", output.text());
    assert!(output.errors().contains(told), "{}", output.errors());
    let daemon = Daemon::start(&service.file, &["run"]);
    assert!(daemon.log().contains("there is no control socket") && daemon.log().contains(told), "{}", daemon.log());
    Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
    eventually("it works", async || history(&store).await.len() == 1).await;
    daemon.stop();
}

#[test]
fn on_a_read_only_file_system_it_continues_where_possible() {
    assert!(Uid::effective().is_root(), "this test mounts a file system, and needs root for it");
    block_on(goes_on_where_it_can("ro", false, "Read-only file system"));
}

#[test]
fn on_a_full_disk_it_continues_where_possible() {
    assert!(Uid::effective().is_root(), "this test mounts a file system, and needs root for it");
    block_on(goes_on_where_it_can("size=64k", true, "No space left on device"));
}

#[test]
fn status_is_unknown_if_the_run_directory_is_misconfigured() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let missing = service.file.with_file_name("missing.toml");
        let call = |arguments: &[&str]| crate::support::sexton(&missing).args(arguments).output().unwrap();
        assert_eq!(call(&["status"]).status.code(), Some(4));
        let stopped = call(&["stop"]);
        assert!(!stopped.status.success() && stopped.errors().contains("missing.toml"), "{}", stopped.errors());
        let wrong = Service::new(&database, "run_dir = 7");
        assert_eq!(wrong.call(&["status"]).status.code(), Some(4));
        // Mistakes in other settings do not prevent `status`.
        let elsewhere = Service::new(&database, "workers = 0");
        assert_eq!(elsewhere.call(&["status"]).status.code(), Some(3));
    });
}

#[test]
fn a_removed_run_directory_is_created_again() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "watchdog = \"3s\"");
        service.done(&["start"]);
        let (pid, supervisor) = (service.daemon(), service.pid("supervisor").unwrap());
        fs::remove_file(service.run_dir.join("control.sock")).unwrap();
        service.wait("it answers again", || (service.status().0 == 0).then_some(()));
        fs::remove_dir_all(&service.run_dir).unwrap();
        service.wait("both are found again", || {
            let status = service.status().1;
            (status["daemon"]["pid"] == pid && status["supervisor"]["pid"] == supervisor).then_some(())
        });
        // Its messages arrive as well, so it is not killed.
        service.wait("it is older than its watchdog would let it be", || {
            (service.status().1["daemon"]["uptime_ms"].as_u64() >= Some(8_000)).then_some(())
        });
        assert_eq!(service.daemon(), pid);
        service.done(&["stop"]);
        assert_eq!(service.status().0, 3);
        assert!(!service.log().contains("was silent for"), "{}", service.log());
    });
}
