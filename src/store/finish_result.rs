//! What became of a batch of finished attempts.

use std::ops::AddAssign;

/// The result of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Finishes whose claim held.
    pub counted: usize,
    /// Finishes that came too late and were recorded as superseded.
    pub stale: usize,
    /// Tasks that will be tried again later.
    pub retrying: usize,
    /// Tasks that are available again at once.
    pub released: usize,
}

impl AddAssign for Recorded {
    fn add_assign(&mut self, more: Self) {
        self.counted += more.counted;
        self.stale += more.stale;
        self.retrying += more.retrying;
        self.released += more.released;
    }
}
