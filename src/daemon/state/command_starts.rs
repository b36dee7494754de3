//! Whether this machine can start commands. If it cannot (no disk space, no process, no memory, no descriptor, no
//! shepherd), it gives their tasks back and claims none, until a probe succeeds.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        daemon::breaker::Breaker,
        text::{duration, plural::counted},
    },
    shepherd::Shepherds,
};

/// A task that opens the breaker so often, each time after a successful probe, is the cause itself: its attempt counts.
const MAX_BLAMES: u32 = 10;

/// Whether commands can be started. Clones share it.
#[derive(Clone)]
pub struct CommandStarts {
    inner: Arc<StartsInner>,
}

struct StartsInner {
    shepherds: Shepherds,
    began: Instant,
    state: Mutex<StartsState>,
}

#[derive(Default)]
struct StartsState {
    breaker: Breaker,
    /// How often each task has opened the breaker, by its number.
    blames: HashMap<i64, u32>,
    /// How many tasks were given back since the breaker opened.
    given_back: u64,
}

/// Why commands cannot be started, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartTrouble {
    /// The reason.
    pub reason: String,
    /// For how long, in milliseconds.
    #[serde(default)]
    pub since_ms: u64,
    /// How many tasks were given back.
    pub given_back: u64,
    /// The next probe, in milliseconds from now.
    #[serde(default)]
    pub next_try_ms: u64,
}

impl CommandStarts {
    pub(in crate::daemon) fn new(shepherds: Shepherds) -> Self {
        let inner = StartsInner { shepherds, began: Instant::now(), state: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    fn now(&self) -> Duration {
        self.inner.began.elapsed()
    }

    /// Whether commands cannot be started at present.
    pub fn is_open(&self) -> bool {
        self.inner.state.lock().breaker.open().is_some()
    }

    /// The trouble; none while commands can be started.
    pub fn trouble(&self) -> Option<StartTrouble> {
        let (now, state) = (self.now(), self.inner.state.lock());
        let open = state.breaker.open()?;
        Some(StartTrouble {
            reason: open.reason.clone(),
            since_ms: now.saturating_sub(open.since).as_millis() as u64,
            given_back: state.given_back,
            next_try_ms: open.probe_at.saturating_sub(now).as_millis() as u64,
        })
    }

    /// The command of that task could not be started. Returns false if the task itself is the cause: then its attempt
    /// failed.
    pub(in crate::daemon) fn note_failure(&self, task_id: i64, reason: &str) -> bool {
        let now = self.now();
        let mut state = self.inner.state.lock();
        if state.breaker.open().is_none() {
            let blames = state.blames.entry(task_id).or_default();
            *blames += 1;
            if *blames > MAX_BLAMES {
                state.blames.remove(&task_id);
                return false;
            }
            state.given_back = 0;
        }
        state.given_back += 1;
        if let Some(open) = state.breaker.trip(now, reason) {
            let wait = duration::text(Duration::from_secs(open.probe_at.saturating_sub(now).as_secs().max(1)));
            tracing::error!(
                "this node cannot start commands: {reason}; it gives their tasks back uncounted, claims none, and tries again in {wait}"
            );
        }
        true
    }

    /// A claimed task is given back while commands cannot be started.
    pub(in crate::daemon) fn note_given_back(&self) {
        self.inner.state.lock().given_back += 1;
    }

    /// A command was started: its task was not the cause of any trouble.
    pub(in crate::daemon) fn note_start(&self, task_id: i64) {
        self.inner.state.lock().blames.remove(&task_id);
    }

    /// The time until the next probe; none while commands can be started.
    pub(in crate::daemon) fn until_probe(&self) -> Option<Duration> {
        let now = self.now();
        self.inner.state.lock().breaker.open().map(|open| open.probe_at.saturating_sub(now))
    }

    /// Probes if it is time. Returns whether commands can be started again.
    pub(in crate::daemon) async fn probe_if_due(&self) -> bool {
        if self.until_probe().is_none_or(|wait| !wait.is_zero()) {
            return false;
        }
        let probed = self.inner.shepherds.probe().await;
        let now = self.now();
        let mut state = self.inner.state.lock();
        let Err(error) = probed else {
            let open_for = state.breaker.close(now).unwrap_or_default();
            let tasks = counted(usize::try_from(state.given_back).unwrap_or(usize::MAX), "task");
            let length = duration::text(Duration::from_secs(open_for.as_secs().max(1)));
            tracing::info!("this node can start commands again, after {length}; it gave back {tasks} meanwhile");
            return true;
        };
        if state.breaker.probe_failed(now, &error.to_string()) {
            tracing::error!("this node still cannot start commands: {error}");
        }
        false
    }
}
