//! What a check is about.

use crate::domain::check::metric::Metric;

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    Everything,
    Queue(&'a str),
    Schedule(&'a str),
    Task(&'a str),
    Node(&'a str),
}

impl Scope<'_> {
    /// The value that a range without a name is for.
    pub(super) fn main_metric(self) -> Metric {
        match self {
            Self::Everything | Self::Queue(_) => Metric::OldestWaiting,
            Self::Schedule(_) | Self::Task(_) => Metric::LastSuccess,
            Self::Node(_) => Metric::Heartbeat,
        }
    }
}

/// A queue, schedule, task or node that is asked for and does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnknownScope(pub(super) String);
