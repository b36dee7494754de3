//! The programs that are kept running: what outlives the modules that look after them.

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
    shepherd::{AttemptDir, ModuleLock, NodeDir, Shepherds},
};

/// The programs of one daemon. Their folders are beside those of the attempts, so that nobody takes one for the other.
pub struct Processes {
    /// Who stands over them.
    pub(in crate::daemon) shepherds: Shepherds,
    starts: AtomicI64,
    records: Mutex<HashMap<String, Arc<Record>>>,
    seats: Mutex<HashMap<String, ModuleLock>>,
    /// What daemons have left that are gone.
    homes: Mutex<Vec<NodeDir>>,
    is_hurried: AtomicBool,
}

/// What became of one module's program since the daemon's start.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Record {
    /// Which incarnation of the module looks after it: the last one that has said so.
    pub(in crate::daemon) keeper: AtomicU64,
    pub(in crate::daemon) starts: AtomicU64,
    pub(in crate::daemon) falls: AtomicU64,
    pub(in crate::daemon) recycled: AtomicU64,
    pub(in crate::daemon) last_end: Mutex<Option<String>>,
}

impl Record {
    /// Notes how it ended.
    pub(in crate::daemon) fn set_last_end(&self, how: impl Into<String>) {
        *self.last_end.lock() = Some(how.into());
    }
}

impl Processes {
    pub(in crate::daemon) fn new(shepherds: Shepherds) -> Self {
        Self {
            shepherds,
            // No earlier daemon has used these numbers: control groups are named after them.
            starts: AtomicI64::new(machine_time().timestamp_micros()),
            records: Mutex::default(),
            seats: Mutex::default(),
            homes: Mutex::default(),
            is_hurried: AtomicBool::new(false),
        }
    }

    /// A number for a start, of its own in this daemon.
    pub(in crate::daemon) fn next_start(&self) -> i64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is known of that module's program.
    pub(in crate::daemon) fn record(&self, module: &str) -> Arc<Record> {
        let mut records = self.records.lock();
        records.entry(module.to_owned()).or_default().clone()
    }

    /// Whether this daemon is the one that keeps this module, of all that share the folder. It stays so until it leaves,
    /// unless somebody has removed the seat and another daemon was faster with a new one.
    pub(in crate::daemon) fn take_seat(&self, module: &str) -> io::Result<bool> {
        let mut seats = self.seats.lock();
        if !seats.get(module).is_some_and(ModuleLock::is_in_place) {
            seats.remove(module);
            let Some(seat) = ModuleLock::take(self.shepherds.root(), module)? else { return Ok(false) };
            seats.insert(module.to_owned(), seat);
        }
        Ok(true)
    }

    /// Whether the seat of that module is where it belongs, whoever has it.
    pub(in crate::daemon) fn knows_seat(&self, module: &str) -> bool {
        ModuleLock::exists(self.shepherds.root(), module)
    }

    /// Lets another daemon keep this module.
    pub(in crate::daemon) fn leave_seat(&self, module: &str) {
        self.seats.lock().remove(module);
    }

    /// What was started by this daemon and has its folder still, and what daemons have left that are gone.
    pub(in crate::daemon) fn left(&self) -> io::Result<[Vec<AttemptDir>; 2]> {
        let mut homes = self.homes.lock();
        homes.extend(NodeDir::abandoned(self.shepherds.root()));
        homes.retain(|home| !home.remove_if_empty());
        let own = self.shepherds.existing_node_dir().map(|home| home.attempt_dirs()).transpose()?;
        let of_others = homes.iter().map(NodeDir::attempt_dirs).collect::<io::Result<Vec<_>>>()?;
        Ok([own.unwrap_or_default(), of_others.concat()])
    }

    /// The daemon is to end at once: nobody has its own time to end any more.
    pub(in crate::daemon) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Release);
    }

    /// Whether the daemon is to end at once.
    pub(in crate::daemon) fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Acquire)
    }

    /// Removes what is empty, at the end of the daemon.
    pub(in crate::daemon) fn leave(&self) {
        self.homes.lock().retain(|home| !home.remove_if_empty());
        self.shepherds.leave();
    }
}
