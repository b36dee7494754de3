//! How long ago this node's lease was last prolonged.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// The node's own view of its lease. It outlives the module that keeps it.
#[derive(Debug)]
pub struct Lease(Mutex<Instant>);

impl Default for Lease {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Lease {
    /// It has just been prolonged.
    pub fn renew(&self) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Instant::now();
    }

    /// How long ago that was.
    pub fn kept_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).elapsed()
    }
}
