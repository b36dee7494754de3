//! Whether everything is paused, as this node last saw it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::PauseDetails;

/// The pause of everything. Clones share it.
#[derive(Clone, Default)]
pub struct AllPaused {
    pause: Arc<Mutex<Option<PauseDetails>>>,
}

impl AllPaused {
    /// Notes what the database says, and logs a change.
    pub fn note(&self, pause: Option<PauseDetails>) {
        let before = std::mem::replace(&mut *self.pause.lock(), pause.clone());
        match (before, pause) {
            (None, Some(PauseDetails { paused_by, pause_reason, .. })) => {
                let by = paused_by.map(|by| format!(" by {by}")).unwrap_or_default();
                let reason = pause_reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                tracing::warn!("everything is paused{by}{reason}; nothing new begins until `sexton resume`");
            }
            (Some(_), None) => tracing::info!("everything is resumed"),
            _ => {}
        }
    }

    /// Since when everything is paused, by whom and why; `None` if it is not.
    pub fn get(&self) -> Option<PauseDetails> {
        self.pause.lock().clone()
    }
}
