//! How the modules wake one another: a bell for each, which is rung and forgotten.
//!
//! A bell carries no message. Whoever hears it looks for itself, so a lost or doubled ring does no harm.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::Wakeup;

/// The bells of one daemon, by module name.
#[derive(Clone, Default)]
pub struct Wakers {
    bells: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    news: Arc<AtomicBool>,
}

impl Wakers {
    /// The bell of that module.
    pub fn of(&self, module: &str) -> Arc<Notify> {
        let mut bells = self.bells.lock();
        bells.entry(module.to_owned()).or_default().clone()
    }

    /// Rings for that module.
    pub fn ring(&self, module: &str) {
        self.of(module).notify_one();
    }

    /// Something was enqueued: rings for whoever it concerns.
    pub fn announce(&self, wakeup: Wakeup) {
        if wakeup == Wakeup::Cancel {
            return self.ring("node");
        }
        if wakeup != Wakeup::Later {
            self.news.store(true, Ordering::Release);
            self.ring("dispatcher");
        }
        if wakeup != Wakeup::Now {
            self.ring("future");
        }
    }

    /// Whether something was enqueued since this was asked last.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }
}
