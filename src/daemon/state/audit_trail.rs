//! Deeds outside the database, on their way into the audit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sexton_client::principal::Principal;
use sexton_entities::states::Via;

use crate::store::{Deed, Store, StoreError};

/// Maximum number of deeds that wait while the database is away.
const MAX_WAITING: usize = 100;
/// Delay between two tries to record a deed.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Records deeds. What is done does not wait for it. Clones share it.
#[derive(Clone)]
pub(in crate::daemon) struct AuditTrail {
    store: Store,
    waiting: Arc<AtomicUsize>,
}

impl AuditTrail {
    pub(in crate::daemon) fn new(store: Store) -> Self {
        Self { store, waiting: Arc::default() }
    }

    /// Logs a deed, and records it as soon as the database answers. It needs a running Tokio runtime. A deed that is not
    /// recorded when the daemon stops is in the log only.
    pub(in crate::daemon) fn note(&self, by: &Principal, deed: Deed) {
        log(by, &deed);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("{} is not in the audit: too many deeds wait for the database", deed.action);
            return;
        }
        let (store, waiting) = (self.store.acting(by.clone()), self.waiting.clone());
        tokio::spawn(async move {
            let mut tries = 0;
            while let Err(error) = store.audit(&deed).await {
                if !error.is_outage() && !matches!(error, StoreError::Conflict(_)) {
                    tracing::warn!("{} is not in the audit: {error}", deed.action);
                    break;
                }
                if tries == 0 {
                    tracing::warn!("{} is not in the audit yet: {error}", deed.action);
                }
                tries += 1;
                tokio::time::sleep(RETRY_DELAY).await;
            }
            waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Logs who does something.
pub(in crate::daemon) fn log(by: &Principal, deed: &Deed) {
    let way = match by.via {
        Via::Cli => "the command line",
        Via::Signal => "a signal",
        Via::ControlSocket => "the control socket",
        Via::Client => "an application",
        Via::Daemon => "the daemon itself",
    };
    let person = by.person().map(|person| format!(" by {person}")).unwrap_or_default();
    let reason = by.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let name = deed.name.as_deref().unwrap_or_default();
    tracing::info!("{} of {} {name}{person} through {way}{reason}", deed.action, deed.target);
}
