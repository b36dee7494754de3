//! The run lock: a daemon holds its run directory for life, so that each has one daemon.

use std::{io, path::Path};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    config::DaemonConfig,
    service::{
        ExitReport, FileLock, LockError, Role, RunDir, StartRecord, check_directory, check_tree, has_restarted,
        is_restart, notify,
    },
};

/// A daemon's hold on its run directory, in which its control socket is.
#[derive(Debug)]
pub struct RunLock {
    pub(in crate::daemon) run: RunDir,
    lock: Mutex<LockState>,
    record: Mutex<StartRecord>,
    is_successor: bool,
}

/// Whether the run directory is held.
#[derive(Debug)]
enum LockState {
    Held(FileLock),
    /// Nothing can be written there: the daemon runs without a control socket.
    Unavailable,
}

impl RunLock {
    /// Takes the run directory, and creates it if it is missing. If nothing can be written there, the daemon runs without
    /// a control socket, and logs that. `file` is the configuration file.
    ///
    /// # Errors
    /// If another daemon holds the directory, or other users may write in a directory of the daemon.
    pub fn open(config: &DaemonConfig, file: Option<&Path>) -> anyhow::Result<Self> {
        check_tree(&config.state_dir).map_err(|error| anyhow::anyhow!("daemon.state_dir: {error}"))?;
        check_directory(&config.log_dir).map_err(|error| anyhow::anyhow!("daemon.log_dir: {error}"))?;
        let run = RunDir::at(&config.run_dir);
        let kept = has_restarted().then(|| FileLock::kept(&run.lock_file(Role::Daemon))).flatten();
        let lock = match (run.create(), kept) {
            (Ok(()), Some(lock)) => LockState::Held(lock),
            (Ok(()), None) => match run.lock(Role::Daemon) {
                Ok(lock) => LockState::Held(lock),
                Err(LockError::Held(holder)) => anyhow::bail!(
                    "a daemon already runs with run directory {}: {holder}. A second daemon needs a run directory of its \
                     own: set daemon.run_dir",
                    run.path().display()
                ),
                Err(error) => Self::without(&error.to_string()),
            },
            // Another user's directory: a process that listens there is not to be trusted.
            (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied && run.path().exists() => {
                anyhow::bail!("daemon.run_dir: {error}")
            }
            (Err(error), _) => Self::without(&error.to_string()),
        };
        let record = StartRecord::of(file, &config.state_dir);
        let is_successor = is_restart() || is_restarted_by_service_manager(&run);
        // This process writes a report also when it restarts itself. That is not its end.
        if !matches!(lock, LockState::Unavailable) && run.ending(record.pid).is_some() {
            run.clear_ending();
        }
        let opened = Self { run, lock: Mutex::new(lock), record: Mutex::new(record), is_successor };
        opened.write_start_record();
        Ok(opened)
    }

    /// Whether this daemon replaces one that worked before and did not stop.
    pub(in crate::daemon) fn is_successor(&self) -> bool {
        self.is_successor
    }

    /// The modules run: a daemon that replaces this one after a crash knows that all was well.
    pub(in crate::daemon) fn note_running(&self) {
        self.record.lock().has_run = true;
        self.write_start_record();
    }

    /// Lets commands find the daemon when its configuration names another run directory by then.
    fn write_start_record(&self) {
        if self.is_held()
            && let Err(error) = self.run.set_start_record(&self.record.lock())
        {
            tracing::warn!("{}: {error}", self.run.path().display());
        }
    }

    fn without(why: &str) -> LockState {
        tracing::error!(
            "there is no control socket ({why}): `status`, `stop` and `reload` cannot reach this daemon, signals can. \
             Set daemon.run_dir to a directory that the daemon can write to"
        );
        LockState::Unavailable
    }

    /// Whether the run directory is held.
    pub(in crate::daemon) fn is_held(&self) -> bool {
        !matches!(*self.lock(), LockState::Unavailable)
    }

    fn lock(&self) -> MutexGuard<'_, LockState> {
        self.lock.lock()
    }

    /// Takes the run directory again if it or the lock file was deleted. Returns whether that was needed.
    ///
    /// # Errors
    /// If another daemon holds the directory now, or nothing can be written there.
    pub(in crate::daemon) fn repair(&self) -> Result<bool, LockError> {
        let mut held = self.lock();
        let file = self.run.lock_file(Role::Daemon);
        if !matches!(&*held, LockState::Held(lock) if !lock.is_at(&file)) {
            return Ok(false);
        }
        self.run.create().map_err(|error| LockError::Impossible { path: self.run.path().to_owned(), error })?;
        *held = LockState::Held(self.run.lock(Role::Daemon)?);
        drop(held);
        self.write_start_record();
        tracing::warn!("{} was deleted, and is restored", self.run.path().display());
        Ok(true)
    }

    /// Writes the report for the process that asked the daemon to stop.
    pub(in crate::daemon) fn write_exit_report(&self, report: &ExitReport) {
        if self.is_held()
            && let Err(error) = self.run.set_ending(report)
        {
            tracing::warn!("{}: {error}", self.run.path().display());
        }
    }

    /// Gives the run directory up: the daemon has ended, and the program around it goes on. Its control socket closes.
    pub fn release(&self) {
        *self.lock() = LockState::Unavailable;
    }

    /// Keeps the lock while this process restarts itself by `exec`.
    pub fn keep_over_exec(&self) {
        if let LockState::Held(lock) = &*self.lock()
            && let Err(error) = lock.keep_over_exec()
        {
            tracing::warn!("the run lock cannot be kept over the restart, and is taken again: {error}");
        }
    }
}

/// Whether a service manager such as systemd starts the daemon again after a crash: the earlier one had worked, and left
/// no exit report. A process supervisor of `sexton start` says so itself.
fn is_restarted_by_service_manager(run: &RunDir) -> bool {
    let has_crashed = || run.start_record().is_some_and(|old| old.has_run && run.ending(old.pid).is_none());
    notify::has_manager() && matches!(run.holder(Role::Supervisor), Ok(None)) && has_crashed()
}
