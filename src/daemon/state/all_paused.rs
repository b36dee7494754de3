//! What keeps the whole cluster from beginning anything, as this node last saw it: the pause of everything, and a maintenance.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    domain::schedule::reason::shown,
    store::{Halt, Maintenance, MaintenanceSeen, NodeOutlook, PauseDetails, Peek},
};

/// The pause of everything, and the maintenance in force. Clones share them.
#[derive(Clone, Default)]
pub struct AllPaused {
    halt: Arc<Mutex<Halt>>,
}

impl AllPaused {
    /// Notes what the database says, and logs a change. Returns whether a maintenance is over.
    pub fn note(&self, halt: Halt) -> bool {
        let before = std::mem::replace(&mut *self.halt.lock(), halt.clone());
        match (before.pause, halt.pause) {
            (None, Some(PauseDetails { paused_by, pause_reason, .. })) => {
                let (by, reason) = (named(paused_by), because(pause_reason));
                tracing::warn!("everything is paused{by}{reason}; nothing new begins until `sexton resume`");
            }
            (Some(_), None) => tracing::info!("everything is resumed"),
            _ => {}
        }
        let is_over = before.maintenance.is_some() && halt.maintenance.is_none();
        match (before.maintenance, halt.maintenance) {
            (before, Some(now)) if before.as_ref() != Some(&now) => {
                let Maintenance { ends_at, login, reason, .. } = now;
                let (by, reason) = (named(login), because(reason));
                let end = ends_at.map_or_else(|| "`sexton maintenance off`".to_owned(), shown);
                tracing::warn!("maintenance is on{by}{reason}; nothing new begins until {end}");
            }
            (Some(_), None) => tracing::info!("the maintenance is over"),
            _ => {}
        }
        is_over
    }

    /// Whether a poll says something else than what is known.
    pub fn differs(&self, seen: &Peek, outlook: Option<&NodeOutlook>) -> bool {
        let halt = self.halt.lock();
        let known = halt.maintenance.as_ref();
        let known = known.map(|known| MaintenanceSeen { ends_at: known.ends_at, reason: known.reason.clone() });
        known != seen.maintenance || outlook.is_some_and(|outlook| outlook.is_paused != halt.pause.is_some())
    }

    /// Since when everything is paused, by whom and why; `None` if it is not.
    pub fn get(&self) -> Option<PauseDetails> {
        self.halt.lock().pause.clone()
    }

    /// The maintenance that is in force.
    pub fn maintenance(&self) -> Option<Maintenance> {
        self.halt.lock().maintenance.clone()
    }
}

fn named(by: Option<String>) -> String {
    by.map(|by| format!(" by {by}")).unwrap_or_default()
}

fn because(reason: Option<String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}
