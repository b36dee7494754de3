//! How a handler says that it failed.

use std::{fmt, time::Duration};

use crate::domain::task::lifecycle::Wish;

/// A failed attempt, with what the handler wishes to follow. Every other error turns into one by `?`.
#[derive(Debug)]
pub struct TaskError {
    cause: anyhow::Error,
    wish: Wish,
    crash: bool,
}

impl TaskError {
    /// Failed; the definition's retry policy decides what follows.
    pub fn new(cause: impl fmt::Display) -> Self {
        Self { cause: anyhow::anyhow!("{cause}"), wish: Wish::Policy, crash: false }
    }

    /// Failed, and trying again is of no use.
    pub fn discard(cause: impl fmt::Display) -> Self {
        Self { wish: Wish::Discard, ..Self::new(cause) }
    }

    /// Failed; try again after this time, as long as attempts are left.
    pub fn retry_after(delay: Duration, cause: impl fmt::Display) -> Self {
        Self { wish: Wish::RetryAfter(delay), ..Self::new(cause) }
    }

    /// How a command failed; one that died of a signal did not fail so much as fall.
    pub(super) fn of_command(cause: impl fmt::Display, wish: Wish, crash: bool) -> Self {
        Self { wish, crash, ..Self::new(cause) }
    }

    pub(super) fn is_crash(&self) -> bool {
        self.crash
    }

    /// What the handler wishes to follow.
    pub fn wish(&self) -> Wish {
        self.wish
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)
    }
}

impl<E: Into<anyhow::Error>> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self { cause: error.into(), wish: Wish::Policy, crash: false }
    }
}
