//! The real binary, as a separate process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Database, PATIENCE, WallClock};

/// A running `sexton run`.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The binary with a configuration file, ready for arguments.
pub(crate) fn sexton(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
    command.arg("--config").arg(config).env_remove("SEXTON_CONFIG");
    command
}

impl Database {
    /// Writes a configuration for this database to a directory, and returns the file. The settings begin inside the table
    /// `[daemon]`.
    pub(crate) fn config(&self, name: &str, settings: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("sexton.toml");
        let state = folder.join("state");
        let text = format!(
            "[database]\nurl = \"{}\"\n\n[daemon]\nname = \"{name}\"\nstate_dir = \"{}\"\n{settings}\n",
            self.url,
            state.display()
        );
        fs::write(&file, text).unwrap();
        file
    }

    /// Starts a daemon on this database, and waits until it is ready.
    pub(crate) fn daemon(&self, name: &str, settings: &str) -> Daemon {
        Daemon::start(&self.config(name, settings), &["run"])
    }
}

impl Daemon {
    /// Starts the binary, and waits until it is ready.
    pub(crate) fn start(config: &Path, arguments: &[&str]) -> Self {
        let daemon = Self::spawn(config, arguments);
        daemon.wait_for_log(" runs on ");
        daemon
    }

    /// Starts the binary on a host with that wall clock, and waits until it is ready.
    pub(crate) fn start_on(clock: &WallClock, config: &Path) -> Self {
        let mut command = sexton(config);
        clock.govern(command.arg("run"));
        Self::start_command(command, config)
    }

    /// Starts that command, which runs the binary, and waits until it is ready.
    pub(crate) fn start_command(command: Command, config: &Path) -> Self {
        let daemon = Self::of(command, config);
        daemon.wait_for_log(" runs on ");
        daemon
    }

    /// Starts the binary.
    pub(crate) fn spawn(config: &Path, arguments: &[&str]) -> Self {
        let mut command = sexton(config);
        command.args(arguments);
        Self::of(command, config)
    }

    /// Starts that command, which runs the binary.
    pub(crate) fn spawn_command(command: Command, config: &Path) -> Self {
        Self::of(command, config)
    }

    fn of(mut command: Command, config: &Path) -> Self {
        let log = config.with_extension("log");
        let file = fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log contains that text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "waited without success for `{text}` in the log:\n{}", self.log());
            pause();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the daemon does not end:\n{}", self.log());
            pause();
        }
    }

    /// Stops it cleanly, and returns its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
        self.log()
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test's directory may be gone by now. A second panic would hide the first one.
            let log = fs::read(&self.log);
            let text = log.map_or_else(
                |error| format!("(its log cannot be read: {error})"),
                |log| String::from_utf8_lossy(&log).into_owned(),
            );
            eprintln!("── {} ──\n{text}", self.log.display());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// The output of a command.
pub(crate) trait Printed {
    fn json(&self) -> serde_json::Value;
    fn text(&self) -> String;
    fn errors(&self) -> String;
}

impl Printed for Output {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.text(), self.errors()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}
