//! The setting `expect` of a schedule.

use std::{fmt, time::Duration};

use crate::domain::text::duration;

/// How long after its instant a run must have succeeded, unless the setting says otherwise.
pub const GRACE: Duration = Duration::from_secs(3_600);
/// The setting `expect`: by when a run must have succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This time after the latest success.
    Every(Duration),
    /// This time after each instant of the schedule.
    EachInstant(Duration),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(time) => write!(f, "every {}", duration::text(*time)),
            Self::EachInstant(grace) => write!(f, "within {} of each instant", duration::text(*grace)),
        }
    }
}
