//! The node's lease: until when its running tasks are its own, as far as it knows itself; and its contact with the
//! database.

use std::time::Duration;

use parking_lot::Mutex;

use crate::{
    clock::uptime,
    domain::daemon::lease::{Contact, Grant},
};

/// The node's own view of its lease. It outlives the module that keeps it.
#[derive(Debug, Default)]
pub struct Lease(Mutex<LeaseState>);

#[derive(Clone, Debug, Default)]
struct LeaseState {
    grant: Option<Grant>,
    contact: Contact,
    /// When the first heartbeat was sent that the database did not answer; none while it answers.
    silent_since: Option<Duration>,
    /// Why the latest heartbeat failed; none while the database answers.
    silence: Option<String>,
}

impl Lease {
    /// The lease was renewed by that heartbeat. The database counts from some moment after it was sent.
    pub fn renew(&self, grant: Grant) {
        let mut state = self.0.lock();
        state.contact = state.contact.after_heartbeat(state.grant, grant.asked_at, uptime(), grant.length);
        state.grant = Some(grant);
    }

    /// The database does not answer, or did not answer for a while.
    pub fn note_away(&self) {
        self.0.lock().contact = Contact::Away;
    }

    /// The heartbeat that was sent at `asked_at` has failed, because the database does not answer or is read-only.
    pub fn note_failed_heartbeat(&self, asked_at: Duration, why: String) {
        let mut state = self.0.lock();
        state.contact = Contact::Away;
        state.silence = Some(why);
        state.silent_since.get_or_insert(asked_at);
    }

    /// The node cannot be registered, because the database does not answer or is read-only.
    pub fn note_silence(&self, why: String) {
        self.0.lock().silence = Some(why);
    }

    /// Why the latest heartbeat failed; none while the database answers.
    pub fn silence(&self) -> Option<String> {
        self.0.lock().silence.clone()
    }

    /// How long the database did not answer the heartbeats, once it answers again; none if it was not away.
    pub fn end_silence(&self) -> Option<Duration> {
        let mut state = self.0.lock();
        state.silence = None;
        state.silent_since.take().map(|since| uptime().saturating_sub(since))
    }

    /// The lease as it was granted last; none before the first heartbeat.
    pub fn grant(&self) -> Option<Grant> {
        self.0.lock().grant
    }

    /// The time that is left; none before the first grant.
    pub fn left(&self) -> Option<Duration> {
        self.grant().map(|grant| grant.left(uptime()))
    }

    /// Whether the lease has run out, and other nodes may have taken the tasks.
    pub fn is_lost(&self) -> bool {
        self.grant().is_some_and(|grant| !grant.is_alone && grant.is_over(uptime()))
    }

    /// Whether claimed tasks must not begin, because other nodes may take them.
    pub fn holds_back(&self) -> bool {
        self.grant().is_some_and(|grant| grant.holds_back(uptime()))
    }

    /// Whether it is too late to begin what must have ended before the lease does, with that grace time.
    pub fn is_late_for(&self, kill_after: Duration) -> bool {
        self.grant().is_some_and(|grant| grant.is_late_for(uptime(), kill_after))
    }

    /// Whether other nodes may have been given this node's tasks: the lease was in doubt at `now`, or the database was
    /// away less than one lease ago.
    pub fn is_doubtful(&self, length: Duration, now: Duration) -> bool {
        let (grant, contact) = {
            let state = self.0.lock();
            (state.grant, state.contact)
        };
        grant.is_some_and(|grant| now >= grant.doubtful_at()) || contact.is_doubtful(length, now)
    }

    /// How long this node must not release the tasks of others yet; none while the database is away.
    pub fn rescue_delay(&self, length: Duration) -> Option<Duration> {
        self.0.lock().contact.rescue_delay(length, uptime())
    }
}
