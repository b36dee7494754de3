//! The programs of process modules: what outlives the modules that keep them running.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    clock::machine_time,
    domain::identity::ModuleName,
    shepherd::{AttemptDir, ModuleLock, NodeDir, Shepherds},
};

/// The programs of one daemon. Their directories are apart from those of attempts, so that neither is taken for the other.
pub(in crate::daemon) struct Programs {
    /// Starts their shepherds.
    pub(in crate::daemon) shepherds: Shepherds,
    starts: AtomicI64,
    records: Mutex<HashMap<ModuleName, Arc<Record>>>,
    locks: Mutex<HashMap<ModuleName, ModuleLock>>,
    /// Directories of daemons that are gone.
    abandoned: Mutex<Vec<NodeDir>>,
    is_forced: AtomicBool,
}

/// The history of one module's program since the daemon's start.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Record {
    /// Number of the incarnation of the module that keeps the program: the latest one that asked.
    pub(in crate::daemon) keeper: AtomicU64,
    pub(in crate::daemon) starts: AtomicU64,
    pub(in crate::daemon) failures: AtomicU64,
    pub(in crate::daemon) recycled: AtomicU64,
    pub(in crate::daemon) last_end: Mutex<Option<String>>,
}

impl Record {
    /// Notes how the program ended.
    pub(in crate::daemon) fn set_last_end(&self, how: impl Into<String>) {
        *self.last_end.lock() = Some(how.into());
    }
}

impl Programs {
    pub(in crate::daemon) fn new(shepherds: Shepherds) -> Self {
        Self {
            shepherds,
            // Control groups are named after these numbers: no earlier daemon has used them.
            starts: AtomicI64::new(machine_time().timestamp_micros()),
            records: Mutex::default(),
            locks: Mutex::default(),
            abandoned: Mutex::default(),
            is_forced: AtomicBool::new(false),
        }
    }

    /// A number for a start, unique in this daemon.
    pub(in crate::daemon) fn next_start(&self) -> i64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The history of that module's program.
    pub(in crate::daemon) fn record(&self, module: &ModuleName) -> Arc<Record> {
        let mut records = self.records.lock();
        records.entry(module.clone()).or_default().clone()
    }

    /// Takes the module lock, unless this daemon holds it already. True if this daemon, of all that share the directory,
    /// runs the module. It keeps the lock until it releases it, unless the file is deleted and another daemon locks a new
    /// one first.
    ///
    /// # Errors
    /// If the lock file cannot be opened or locked.
    pub(in crate::daemon) fn take_lock(&self, module: &ModuleName) -> io::Result<bool> {
        let mut locks = self.locks.lock();
        if !locks.get(module).is_some_and(ModuleLock::is_in_place) {
            locks.remove(module);
            let Some(lock) = ModuleLock::take(self.shepherds.root(), module)? else { return Ok(false) };
            locks.insert(module.clone(), lock);
        }
        Ok(true)
    }

    /// Whether the lock file of that module exists, whichever daemon holds it.
    pub(in crate::daemon) fn lock_exists(&self, module: &ModuleName) -> bool {
        ModuleLock::exists(self.shepherds.root(), module)
    }

    /// Releases the lock of that module, so that another daemon may run it.
    pub(in crate::daemon) fn release_lock(&self, module: &ModuleName) {
        self.locks.lock().remove(module);
    }

    /// The directories of programs that this daemon started, and of those that daemons which are gone left behind.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub(in crate::daemon) fn leftovers(&self) -> io::Result<[Vec<AttemptDir>; 2]> {
        let mut abandoned = self.abandoned.lock();
        abandoned.extend(NodeDir::abandoned(self.shepherds.root()));
        abandoned.retain(|dir| !dir.remove_if_empty());
        let own = self.shepherds.existing_node_dir().map(|dir| dir.attempt_dirs()).transpose()?;
        let of_others = abandoned.iter().map(NodeDir::attempt_dirs).collect::<io::Result<Vec<_>>>()?;
        Ok([own.unwrap_or_default(), of_others.concat()])
    }

    /// The daemon stops by force: programs have no `stop_timeout` of their own any more.
    pub(in crate::daemon) fn force(&self) {
        self.is_forced.store(true, Ordering::Release);
    }

    /// Whether the daemon stops by force.
    pub(in crate::daemon) fn is_forced(&self) -> bool {
        self.is_forced.load(Ordering::Acquire)
    }

    /// Removes empty directories, at the end of the daemon.
    pub(in crate::daemon) fn leave(&self) {
        self.abandoned.lock().retain(|dir| !dir.remove_if_empty());
        self.shepherds.leave();
    }
}
