//! The task of an instant: whether it has begun, and when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sexton_entities::{history, states::Outcome, task};

use crate::domain::schedule::missed_policy::PUNCTUAL;

/// The task of an instant.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The task, until it is finished.
    pub task: Option<task::Model>,
    /// The latest attempt that had a verdict.
    pub attempt: Option<history::Model>,
    /// When the first attempt on record began.
    pub began_at: Option<DateTime<Utc>>,
}

/// When the task of an instant began, counted from its enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At once, or nothing else is known.
    AtOnce,
    /// After this time.
    Later(Duration),
    /// It has not begun, or it ended before it began.
    NotYet,
}

impl Begin {
    pub(super) fn between(run: &Run, enqueued_at: DateTime<Utc>) -> Self {
        match run.began_at() {
            Some(began) if began - enqueued_at > PUNCTUAL => {
                Self::Later((began - enqueued_at).to_std().unwrap_or_default())
            }
            Some(_) => Self::AtOnce,
            None => {
                let is_dropped = |end: &history::Model| matches!(end.outcome, Outcome::Skipped | Outcome::Cancelled);
                let never = run.task.is_none() && run.attempt.as_ref().is_some_and(is_dropped);
                if never || run.has_not_begun() { Self::NotYet } else { Self::AtOnce }
            }
        }
    }
}

impl Run {
    /// When the first attempt began.
    pub fn began_at(&self) -> Option<DateTime<Utc>> {
        self.began_at.or_else(|| self.task.as_ref()?.started_at)
    }

    /// Whether its task is unfinished, and no attempt has begun.
    pub(super) fn has_not_begun(&self) -> bool {
        let is_new = |task: &task::Model| task.attempt == 0 && task.snoozes == 0;
        self.began_at().is_none() && self.task.as_ref().is_some_and(is_new)
    }

    /// The task's number.
    pub fn id(&self) -> Option<i64> {
        self.task.as_ref().map(|task| task.id).or_else(|| self.attempt.as_ref().and_then(|attempt| attempt.task_id))
    }
}
