//! Which attempts this daemon has begun, in a file for the next daemon on this machine.

use crate::{
    daemon::inflight::InFlight,
    domain::{identity::DatabaseId, task::claim::Claim},
    shepherd::{BegunJournal, Shepherds},
};

/// The journal of this daemon's attempts.
pub(in crate::daemon) struct BegunAttempts {
    journal: BegunJournal,
    shepherds: Shepherds,
    database: Option<DatabaseId>,
}

impl BegunAttempts {
    /// The journal is made with the first attempt.
    pub(in crate::daemon) fn new(shepherds: Shepherds, database: Option<DatabaseId>) -> Self {
        Self { journal: BegunJournal::default(), shepherds, database }
    }

    /// Enters an attempt that begins now. Without the journal everything goes on: after a crash of this daemon, its tasks
    /// that never began have a row of history as well.
    pub(in crate::daemon) fn enter(&self, claim: Claim, in_flight: &InFlight) {
        let dir = || self.shepherds.node_dir().map(|dir| dir.path().to_owned());
        if let Err(error) = self.journal.enter(claim, dir, self.database.as_ref(), |claim| in_flight.contains(claim)) {
            tracing::warn!(
                "there is no journal of begun attempts from now on: {error}; after a crash of this daemon, tasks that \
                 it had not begun are recorded as interrupted, too"
            );
        }
    }
}
