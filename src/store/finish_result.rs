//! What became of a batch of finished attempts.

use std::{collections::BTreeSet, ops::AddAssign};

use sea_orm::QueryResult;

use super::{StoreError, rows::claim_of};
use crate::domain::task::claim::Claim;

/// A task whose claim held at its finish.
pub(super) struct HeldTask {
    pub(super) claim: Claim,
    /// Whether tasks wait for it, or have waited.
    pub(super) is_followed: bool,
    /// The group to which it belongs.
    pub(super) group: Option<String>,
}

/// The value of the column `is_followed`. `id` is the column with the number of the task. In an empty table it costs a look into
/// its index.
pub(super) fn is_followed(id: &str) -> String {
    format!("CASE WHEN EXISTS (SELECT 1 FROM sexton_task_dependency w WHERE w.after_id = {id}) THEN 1 ELSE 0 END")
}

impl HeldTask {
    /// Reads the columns `id`, `fence`, `is_followed` and `group_name`.
    pub(super) fn of(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            claim: claim_of(row)?,
            is_followed: row.try_get::<i32>("", "is_followed")? == 1,
            group: row.try_get("", "group_name")?,
        })
    }
}

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Finishes whose claim held.
    pub counted: usize,
    /// Finishes that came too late and were recorded as superseded.
    pub stale: usize,
    /// Tasks that will be tried again later.
    pub retrying: usize,
    /// Tasks that are available again at once.
    pub released: usize,
    /// Tasks that waited for the end of these and are available now.
    pub followers: usize,
    /// The groups of tasks that have ended: see [`Store::settle_groups`](super::Store::settle_groups).
    pub groups: BTreeSet<String>,
}

impl AddAssign for Recorded {
    fn add_assign(&mut self, more: Self) {
        self.counted += more.counted;
        self.stale += more.stale;
        self.retrying += more.retrying;
        self.released += more.released;
        self.followers += more.followers;
        self.groups.extend(more.groups);
    }
}
