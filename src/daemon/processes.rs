//! The programs that are kept running: what outlives the modules that look after them.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use crate::{
    clock::machine_time,
    shepherd::{Folder, Home, Seat, Shepherds},
};

/// The programs of one daemon. Their folders are beside those of the attempts, so that nobody takes one for the other.
pub struct Processes {
    /// Who stands over them.
    pub(super) shepherds: Shepherds,
    starts: AtomicI64,
    records: Mutex<HashMap<String, Arc<Record>>>,
    seats: Mutex<HashMap<String, Seat>>,
    /// What daemons have left that are gone.
    homes: Mutex<Vec<Home>>,
    is_hurried: AtomicBool,
}

/// What became of one module's program since the daemon's start.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Which incarnation of the module looks after it: the last one that has said so.
    pub(super) keeper: AtomicU64,
    pub(super) starts: AtomicU64,
    pub(super) falls: AtomicU64,
    pub(super) recycled: AtomicU64,
    pub(super) last_end: Mutex<Option<String>>,
}

impl Record {
    /// Notes how it ended.
    pub(super) fn set_last_end(&self, how: impl Into<String>) {
        *self.last_end.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(how.into());
    }
}

impl Processes {
    pub(super) fn new(shepherds: Shepherds) -> Self {
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
    pub(super) fn next_start(&self) -> i64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is known of that module's program.
    pub(super) fn record(&self, module: &str) -> Arc<Record> {
        let mut records = self.records.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        records.entry(module.to_owned()).or_default().clone()
    }

    /// Whether this daemon is the one that keeps this module, of all that share the folder. It stays so until it leaves,
    /// unless somebody has removed the seat and another daemon was faster with a new one.
    pub(super) fn take_seat(&self, module: &str) -> io::Result<bool> {
        let mut seats = self.seats.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !seats.get(module).is_some_and(Seat::is_there) {
            seats.remove(module);
            let Some(seat) = Seat::take(self.shepherds.root(), module)? else { return Ok(false) };
            seats.insert(module.to_owned(), seat);
        }
        Ok(true)
    }

    /// Whether the seat of that module is where it belongs, whoever has it.
    pub(super) fn knows_seat(&self, module: &str) -> bool {
        Seat::is_known(self.shepherds.root(), module)
    }

    /// Lets another daemon keep this module.
    pub(super) fn leave_seat(&self, module: &str) {
        self.seats.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(module);
    }

    /// What was started by this daemon and has its folder still, and what daemons have left that are gone.
    pub(super) fn left(&self) -> io::Result<[Vec<Folder>; 2]> {
        let mut homes = self.homes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        homes.extend(Home::abandoned(self.shepherds.root()));
        homes.retain(|home| !home.remove_if_empty());
        let own = self.shepherds.open_home().map(|home| home.folders()).transpose()?;
        let of_others = homes.iter().map(Home::folders).collect::<io::Result<Vec<_>>>()?;
        Ok([own.unwrap_or_default(), of_others.concat()])
    }

    /// The daemon is to end at once: nobody has its own time to end any more.
    pub(super) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Release);
    }

    /// Whether the daemon is to end at once.
    pub(super) fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Acquire)
    }

    /// Removes what is empty, at the end of the daemon.
    pub(super) fn leave(&self) {
        self.homes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).retain(|home| !home.remove_if_empty());
        self.shepherds.leave();
    }
}
