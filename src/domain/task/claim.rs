//! The identity of a claim.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One claim of a task: the task, and the fence of this claim. Only the latest claim of a task may finish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// The number of the task: `sexton_task.id`. Attempt manifests of earlier versions call it `id`.
    #[serde(alias = "id")]
    pub task_id: i64,
    /// The fence, which rises with each claim of the task: the database's time of the claim in microseconds, or one more
    /// than before. So it rises also if the database has lost the claim before this one in a failover.
    pub fence: i64,
}

/// A claim, and what distinguishes it from every other one: a database that was restored may give the number of a task
/// again, and a claim that the database has lost may return with the same fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimIdentity {
    /// The task and the fence.
    pub claim: Claim,
    /// When the task was enqueued, by the database's clock.
    pub enqueued_at: DateTime<Utc>,
    /// When it was claimed, by the database's clock; unknown in records of earlier versions.
    pub claimed_at: Option<DateTime<Utc>>,
}

impl Claim {
    /// The claim of that task with that fence.
    pub const fn new(task_id: i64, fence: i64) -> Self {
        Self { task_id, fence }
    }

    /// Reads what [`Display`](fmt::Display) writes: `4711-3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (task_id, fence) = text.split_once('-')?;
        Some(Self { task_id: task_id.parse().ok()?, fence: fence.parse().ok()? })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.task_id, self.fence)
    }
}
