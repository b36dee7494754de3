//! The error of a handler.

use std::{fmt, time::Duration};

use crate::domain::task::verdict::Wish;

/// Why an attempt failed, and what the handler wants to happen next. The operator `?` converts other errors.
#[derive(Debug)]
pub struct TaskError {
    cause: anyhow::Error,
    wish: Wish,
    crash: bool,
}

impl TaskError {
    /// The attempt failed. The retry policy of the definition decides what happens next.
    pub fn new(cause: impl fmt::Display) -> Self {
        Self { cause: anyhow::anyhow!("{cause}"), wish: Wish::Policy, crash: false }
    }

    /// The attempt failed, and another one would fail as well: the task is discarded.
    pub fn discard(cause: impl fmt::Display) -> Self {
        Self { wish: Wish::Discard, ..Self::new(cause) }
    }

    /// The work is not done, and the task is snoozed: the next attempt follows after this delay. That is no failure, and
    /// the attempt is not counted, up to the `max_snoozes` of the definition.
    pub fn retry_after(delay: Duration, cause: impl fmt::Display) -> Self {
        Self { wish: Wish::RetryAfter(delay), ..Self::new(cause) }
    }

    /// The attempt failed, and the next one, if there is one, does not begin before this delay.
    pub(super) fn not_before(delay: Duration, cause: impl fmt::Display) -> Self {
        Self { wish: Wish::NotBefore(delay), ..Self::new(cause) }
    }

    /// The failure of a command. `crash` means that a signal killed it.
    pub(super) fn of_command(cause: impl fmt::Display, wish: Wish, crash: bool) -> Self {
        Self { wish, crash, ..Self::new(cause) }
    }

    /// This node cannot do the work at present, and another one may.
    pub(super) fn give_back(cause: impl fmt::Display) -> Self {
        Self { wish: Wish::GiveBack, ..Self::new(cause) }
    }

    pub(super) fn is_crash(&self) -> bool {
        self.crash
    }

    /// What the handler wants to happen next.
    #[doc(hidden)]
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
