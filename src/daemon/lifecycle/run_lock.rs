//! The door of a daemon: its run directory, held by a lock for life, so that there is one daemon behind each.

use std::io;

use parking_lot::{Mutex, MutexGuard};

use crate::{
    config::DaemonConfig,
    service::{ExitReport, FileLock, LockError, RESTARTED, Role, RunDir, check_owner},
};

/// What a daemon is reached by.
#[derive(Debug)]
pub struct RunLock {
    pub(in crate::daemon) run: RunDir,
    lock: Mutex<LockState>,
}

/// How the lock is held.
#[derive(Debug)]
enum LockState {
    /// By this object.
    Here(FileLock),
    /// There is no place for one.
    Not,
}

impl RunLock {
    /// Opens it.
    ///
    /// # Errors
    /// If another daemon is behind it, or a folder of the daemon is not safe from others. A place in which nothing can be
    /// written is none: the daemon works without a door then, and says so.
    pub fn open(config: &DaemonConfig) -> anyhow::Result<Self> {
        check_owner(&config.state_dir).map_err(|error| anyhow::anyhow!("daemon.state_dir: {error}"))?;
        let run = RunDir::at(&config.run_dir);
        let file = run.lock_file(Role::Daemon);
        let kept = std::env::var_os(RESTARTED).and_then(|_| FileLock::kept(&file));
        let lock = match (run.create(), kept) {
            (Ok(()), Some(lock)) => LockState::Here(lock),
            (Ok(()), None) => match run.lock(Role::Daemon) {
                Ok(lock) => LockState::Here(lock),
                Err(LockError::Held(holder)) => anyhow::bail!(
                    "a daemon is running already with run directory {}: {holder}. Two daemons need two of them \
                     (daemon.run_dir)",
                    run.path().display()
                ),
                Err(error) => Self::without(&error.to_string()),
            },
            // Somebody else's: whoever waits behind it is not to be trusted.
            (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied && run.path().exists() => {
                anyhow::bail!("daemon.run_dir: {error}")
            }
            (Err(error), _) => Self::without(&error.to_string()),
        };
        Ok(Self { run, lock: Mutex::new(lock) })
    }

    fn without(why: &str) -> LockState {
        tracing::error!(
            "there is no place for the control socket ({why}): `status`, `stop` and `reload` cannot reach this daemon, \
             signals can. Set daemon.run_dir"
        );
        LockState::Not
    }

    /// Whether the daemon can be reached through it.
    pub(in crate::daemon) fn is_there(&self) -> bool {
        !matches!(*self.lock(), LockState::Not)
    }

    fn lock(&self) -> MutexGuard<'_, LockState> {
        self.lock.lock()
    }

    /// Sees to it that the daemon is found, also if somebody has cleared the run directory away. Whether it had to.
    ///
    /// # Errors
    /// If another daemon is behind the door by now, or nothing can be written there.
    pub(in crate::daemon) fn mend(&self) -> Result<bool, LockError> {
        let mut held = self.lock();
        let file = self.run.lock_file(Role::Daemon);
        if !matches!(&*held, LockState::Here(lock) if !lock.is_at(&file)) {
            return Ok(false);
        }
        self.run.create().map_err(|error| LockError::Impossible { path: self.run.path().to_owned(), error })?;
        *held = LockState::Here(self.run.lock(Role::Daemon)?);
        tracing::warn!("{} was cleared away, and is put in order again", self.run.path().display());
        Ok(true)
    }

    /// Leaves the daemon's last words for whoever has asked it to end.
    pub(in crate::daemon) fn leave_word(&self, ending: &ExitReport) {
        if self.is_there()
            && let Err(error) = self.run.set_ending(ending)
        {
            tracing::warn!("{}: {error}", self.run.path().display());
        }
    }

    /// Lets it stay held while this process starts itself anew.
    pub fn keep_over_exec(&self) {
        if let LockState::Here(lock) = &*self.lock()
            && let Err(error) = lock.keep_over_exec()
        {
            tracing::warn!("the daemon's lock has to be taken anew: {error}");
        }
    }
}
