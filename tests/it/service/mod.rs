//! The daemon's life for its operator: `start`, `stop`, `status`, `reload`, without systemd.

mod control;
mod moved;
mod places;
mod recycling;
mod reloading;
mod safety;
mod start_stop;
mod survival;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Database, PATIENCE, Printed, sexton};

/// A configuration whose daemon is started in the background. No process is left after the test.
struct Service {
    file: PathBuf,
    run_dir: PathBuf,
}

impl Service {
    /// On an SQLite file, with settings that begin inside `[daemon]`.
    fn new(database: &Database, settings: &str) -> Self {
        let file = database.config("n", settings);
        let run_dir = file.with_file_name("state").join("run");
        Self { file, run_dir }
    }

    fn call(&self, arguments: &[&str]) -> Output {
        sexton(&self.file).args(arguments).output().unwrap()
    }

    /// Calls a command that must succeed, and returns its output.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}{}", output.text(), output.errors(), self.log());
        output.text()
    }

    /// The output of `status`, and its exit code.
    fn status(&self) -> (i32, Value) {
        let output = self.call(&["status", "--json"]);
        (output.status.code().unwrap(), output.json())
    }

    /// Process id in the lock file of a role; none if there is no such file.
    fn pid(&self, role: &str) -> Option<i32> {
        let text = fs::read_to_string(self.run_dir.join(format!("{role}.lock"))).ok()?;
        text.lines().next()?.parse().ok()
    }

    fn daemon(&self) -> i32 {
        self.pid("daemon").unwrap()
    }

    fn kill(&self, signal: Signal) {
        kill(Pid::from_raw(self.daemon()), signal).unwrap();
    }

    fn log(&self) -> String {
        let folder = self.file.with_file_name("state").join("log");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        format!("{}{}", read("sexton.log"), read("supervisor.log"))
    }

    /// Waits until `look` finds something.
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "waited without success: {what}\n{}", self.log());
            pause();
        }
    }

    fn wait_for_log(&self, text: &str) {
        self.wait(text, || self.log().contains(text).then_some(()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for role in ["supervisor", "daemon"] {
            if let Some(pid) = self.pid(role).filter(|pid| is_ours(*pid, &self.run_dir)) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("── {} ──\n{}", self.file.display(), self.log());
        }
    }
}

/// Whether the process has a file of that run directory open: no other process is killed.
fn is_ours(pid: i32, run_dir: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.starts_with(run_dir))
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
