//! A node's lease while it cannot be renewed: what still begins, what stops, and when. And after an outage: when a node
//! may release the tasks of others.
//!
//! The database counts a lease from some moment after the node has sent its heartbeat. The node counts from the moment of
//! sending, so that the lease never lasts longer for the node than for the database. All instants are times since boot,
//! which cannot be set and include a suspend.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What of a lease is kept free at its end: a killed process needs a moment to be gone. A tenth of the lease, at most this.
const MAX_MARGIN: Duration = Duration::from_secs(3);
/// A heartbeat that takes longer than this part of the lease shows that the database did not answer meanwhile.
const SLOW: u32 = 4;

/// What happens to a running attempt when its node cannot keep its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLeaseLost {
    /// It continues, and its result counts if no other node has taken the task. The task may run twice at once.
    Finish,
    /// It is stopped before the lease is over, so that the task never runs twice at once.
    Stop,
}

/// A lease that a heartbeat has granted, as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// When the heartbeat was sent.
    pub asked_at: Duration,
    /// The length of the lease.
    pub length: Duration,
    /// Whether the heartbeat saw no other live node: nobody could take the tasks.
    pub is_alone: bool,
}

/// The contact of a node with its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// The database was never away.
    #[default]
    Steady,
    /// The database does not answer, and no heartbeat has arrived since.
    Away,
    /// The database has been answering since then.
    BackSince(Duration),
}

impl OnLeaseLost {
    /// The words of the configuration.
    pub const WORDS: [(&str, Self); 2] = [("finish", Self::Finish), ("stop", Self::Stop)];

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Stop => "stop",
        }
    }
}

impl Grant {
    /// The time that is left of the lease.
    pub fn left(&self, now: Duration) -> Duration {
        (self.asked_at + self.length).saturating_sub(now)
    }

    /// Whether the lease has run out.
    pub fn is_over(&self, now: Duration) -> bool {
        self.left(now).is_zero()
    }

    /// When two thirds of the lease have passed. A node that is well has renewed it by then.
    pub fn doubtful_at(&self) -> Duration {
        self.asked_at + self.length * 2 / 3
    }

    /// Whether claimed tasks must not begin: other nodes may take them soon, or have taken them.
    pub fn holds_back(&self, now: Duration) -> bool {
        !self.is_alone && now >= self.doubtful_at()
    }

    /// Whether it is too late to begin what must have ended before the lease does: its `kill_after` would be cut short. In
    /// the first half of a lease it never is, so that a long grace time prevents nothing.
    pub fn is_late_for(&self, now: Duration, kill_after: Duration) -> bool {
        let latest = self.ends_at().saturating_sub(kill_after);
        !self.is_alone && now >= latest.clamp(self.asked_at + self.length / 2, self.doubtful_at())
    }

    /// When everything must have ended that must never run twice at once.
    pub fn ends_at(&self) -> Duration {
        self.asked_at + self.length - (self.length / 10).min(MAX_MARGIN)
    }

    /// When an attempt begins to stop that must have ended before the lease does: early enough for `kill_after`, but not
    /// before the lease is doubtful.
    pub fn stop_at(&self, kill_after: Duration) -> Duration {
        self.ends_at().saturating_sub(kill_after).max(self.doubtful_at())
    }

    /// The grace time of an attempt that is to stop now; none if there is no reason to stop it yet.
    pub fn stop(&self, now: Duration, kill_after: Duration) -> Option<Duration> {
        (!self.is_alone && now >= self.stop_at(kill_after)).then(|| self.ends_at().saturating_sub(now).min(kill_after))
    }
}

impl Contact {
    /// The contact after a heartbeat that was sent at `asked_at` and answered at `now`. `before` is the lease until then.
    pub fn after_heartbeat(self, before: Option<Grant>, asked_at: Duration, now: Duration, length: Duration) -> Self {
        let was_late = before.is_some_and(|before| asked_at >= before.doubtful_at());
        let was_slow = now.saturating_sub(asked_at) > length / SLOW;
        match self {
            Self::Away => Self::BackSince(now),
            _ if was_late || was_slow => Self::BackSince(now),
            same => same,
        }
    }

    /// Whether an answer that took this long shows that the database was away.
    pub fn is_slow(took: Duration, lease: Duration) -> bool {
        took > lease / SLOW
    }

    /// How long this node must not release the tasks of others yet; none if that is not known. All nodes may have lost the
    /// same database: one lease after its return the others are back, or dead.
    pub fn rescue_delay(self, lease: Duration, now: Duration) -> Option<Duration> {
        match self {
            Self::Steady => Some(Duration::ZERO),
            Self::Away => None,
            Self::BackSince(since) => Some((since + lease).saturating_sub(now)),
        }
    }

    /// Whether the node's claims may have been given to others: the database was away less than one lease ago.
    pub fn is_doubtful(self, lease: Duration, now: Duration) -> bool {
        self.rescue_delay(lease, now) != Some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The default lease, among other nodes.
    const GRANT: Grant = Grant { asked_at: Duration::from_secs(100), length: Duration::from_secs(30), is_alone: false };

    #[test]
    fn a_stop_begins_early_enough_and_ends_before_the_lease() {
        assert_eq!(GRANT.stop(seconds(121), seconds(5)), None, "there is time for another heartbeat");
        assert_eq!(GRANT.stop(seconds(122), seconds(5)), Some(seconds(5)));
        assert_eq!(GRANT.stop(seconds(125), seconds(5)), Some(seconds(2)), "late, and over in time all the same");
        assert_eq!(GRANT.stop(seconds(130), seconds(5)), Some(Duration::ZERO));
        assert_eq!(GRANT.stop(seconds(119), seconds(3_600)), None, "a long grace time does not stop healthy work");
        assert_eq!(GRANT.stop(seconds(120), seconds(3_600)), Some(seconds(7)), "it is cut short instead");
    }

    #[test]
    fn nothing_new_begins_while_the_lease_is_in_doubt() {
        assert!(!GRANT.holds_back(seconds(119)) && GRANT.holds_back(seconds(120)));
        assert!(!GRANT.is_over(seconds(129)) && GRANT.is_over(seconds(130)));
    }

    #[test]
    fn what_could_not_use_its_grace_time_does_not_begin() {
        assert!(!GRANT.is_late_for(seconds(119), seconds(5)) && GRANT.is_late_for(seconds(120), seconds(5)));
        assert!(!GRANT.is_late_for(seconds(116), seconds(10)) && GRANT.is_late_for(seconds(117), seconds(10)));
        assert!(!GRANT.is_late_for(seconds(114), seconds(3_600)), "it begins in the first half");
        assert!(GRANT.is_late_for(seconds(115), seconds(3_600)));
        assert!(!Grant { is_alone: true, ..GRANT }.is_late_for(seconds(100_000), seconds(5)));
    }

    #[test]
    fn a_node_alone_finishes_everything() {
        let alone = Grant { is_alone: true, ..GRANT };
        assert_eq!(alone.stop(seconds(100_000), seconds(5)), None);
        assert!(!alone.holds_back(seconds(100_000)) && alone.is_over(seconds(100_000)));
    }

    #[test]
    fn one_lease_after_an_outage_others_may_be_rescued() {
        let (lease, now) = (seconds(30), seconds(100));
        assert_eq!(Contact::Steady.rescue_delay(lease, now), Some(Duration::ZERO));
        assert_eq!(Contact::Away.rescue_delay(lease, now), None);
        let back = Contact::Away.after_heartbeat(Some(GRANT), seconds(100), seconds(100), lease);
        assert_eq!(back, Contact::BackSince(seconds(100)));
        assert_eq!(back.rescue_delay(lease, seconds(110)), Some(seconds(20)));
        assert!(back.is_doubtful(lease, seconds(129)) && !back.is_doubtful(lease, seconds(130)));
    }

    #[test]
    fn an_outage_that_no_statement_saw_is_noticed() {
        let beat = |asked_at, answered_at| {
            Contact::Steady.after_heartbeat(Some(GRANT), seconds(asked_at), seconds(answered_at), seconds(30))
        };
        assert_eq!(beat(110, 110), Contact::Steady);
        assert_eq!(beat(110, 118), Contact::BackSince(seconds(118)), "the answer took long");
        assert_eq!(beat(120, 120), Contact::BackSince(seconds(120)), "the heartbeat was late");
    }

    #[test]
    fn the_words_are_those_of_the_configuration() {
        for (word, setting) in OnLeaseLost::WORDS {
            assert_eq!(setting.word(), word);
        }
    }

    proptest! {
        /// Whenever its daemon looks, what must not run twice has ended when the lease is over; and no stop begins while
        /// the heartbeats arrive as they should.
        #[test]
        fn no_grace_time_reaches_beyond_the_lease(
            length in 30u64..3_600_000,
            late in 0u64..4_000_000,
            kill_after in 0u64..4_000_000,
        ) {
            let [length, late, kill_after] = [length, late, kill_after].map(Duration::from_millis);
            let grant = Grant { asked_at: seconds(7), length, is_alone: false };
            let now = grant.asked_at + late;
            match grant.stop(now, kill_after) {
                Some(grace) => {
                    prop_assert!(now >= grant.doubtful_at());
                    prop_assert!(grace <= kill_after);
                    prop_assert!(grace.is_zero() || now + grace <= grant.ends_at());
                }
                None => prop_assert!(now < grant.ends_at()),
            }
            prop_assert!(grant.ends_at() < grant.asked_at + length);
            prop_assert!(grant.doubtful_at() < grant.ends_at());
        }
    }
}
