//! How far claims have come in a queue.
//!
//! A database that cannot remove dead rows yet, because some transaction still sees them, reads all of them before it finds the
//! first task of a queue. A claim that begins behind the tasks that were claimed last reads none of them.

use std::collections::BTreeMap;

/// The position is kept for at most this number of priorities: those in which the newest tasks were claimed.
const MAX_PRIORITIES: usize = 8;

/// Of each priority, the newest task that was claimed. Tasks before it were claimed, or became available after that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimPosition(BTreeMap<i32, i64>);

/// A part of a queue, in the order of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchRange {
    /// It begins behind the task of this priority and this number.
    pub after: (i64, i64),
    /// It ends before this priority.
    pub until: i64,
}

impl ClaimPosition {
    /// Whether nothing was claimed.
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }

    /// A task of this priority and this number was claimed.
    pub fn advance(&mut self, priority: i32, task_id: i64) {
        let newest = self.0.entry(priority).or_insert(task_id);
        *newest = task_id.max(*newest);
        if self.0.len() > MAX_PRIORITIES
            && let Some((&oldest, _)) = self.0.iter().min_by_key(|(_, task_id)| **task_id)
        {
            self.0.remove(&oldest);
        }
    }

    /// All that the other position has passed was claimed, too.
    pub fn advance_to(&mut self, other: &Self) {
        for (&priority, &task_id) in &other.0 {
            self.advance(priority, task_id);
        }
    }

    /// In the priorities of the other position, it is now where the other one is.
    pub fn return_to(&mut self, other: &Self) {
        self.0.retain(|priority, _| !other.0.contains_key(priority));
        self.advance_to(other);
    }

    /// What is left of the queue.
    pub fn ranges(&self) -> Vec<SearchRange> {
        let start = (i64::from(i32::MIN), i64::MIN);
        let starts = std::iter::once(start).chain(self.0.iter().map(|(&priority, &task)| (i64::from(priority), task)));
        let ends = self.0.keys().map(|&priority| i64::from(priority)).chain([i64::from(i32::MAX) + 1]);
        starts.zip(ends).map(|(after, until)| SearchRange { after, until }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(passed: &[(i32, i64)]) -> ClaimPosition {
        let mut position = ClaimPosition::default();
        passed.iter().for_each(|&(priority, task)| position.advance(priority, task));
        position
    }

    fn is_ahead(position: &ClaimPosition, priority: i32, task: i64) -> bool {
        let place = (i64::from(priority), task);
        position.ranges().iter().any(|range| place > range.after && place.0 < range.until)
    }

    #[test]
    fn what_is_ahead_begins_behind_the_newest_task_of_each_priority() {
        let position = position(&[(0, 7), (0, 5), (-3, 9)]);
        for (priority, task) in [(-3, 10), (0, 8), (i32::MIN, 1), (-2, 1), (4, 1), (i32::MAX, i64::MAX)] {
            assert!(is_ahead(&position, priority, task), "{priority} {task}");
        }
        for (priority, task) in [(-3, 9), (-3, 1), (0, 7), (0, 6)] {
            assert!(!is_ahead(&position, priority, task), "{priority} {task}");
        }
    }

    #[test]
    fn it_returns_in_the_priorities_of_an_earlier_position_only() {
        let mut later = position(&[(0, 7), (5, 9)]);
        later.return_to(&position(&[(0, 2)]));
        assert_eq!(later, position(&[(0, 2), (5, 9)]));
    }

    #[test]
    fn everything_is_ahead_of_the_start() {
        let start = ClaimPosition::default();
        assert!(start.is_start());
        assert!(is_ahead(&start, i32::MIN, -1) && is_ahead(&start, 0, 1));
    }

    #[test]
    fn the_ranges_are_in_the_order_of_claims_and_do_not_overlap() {
        let ranges = position(&[(0, 7), (5, 2), (-3, 9)]).ranges();
        assert_eq!(ranges.len(), 4);
        assert!(ranges.windows(2).all(|two| two[0].until == two[1].after.0));
    }

    #[test]
    fn of_many_priorities_the_newest_tasks_count() {
        let many: Vec<(i32, i64)> = (0..50).map(|number| (50 - number, i64::from(number))).collect();
        let position = position(&many);
        assert!(is_ahead(&position, 50, 0), "long ago");
        assert!(!is_ahead(&position, 1, 49));
        assert_eq!(position.ranges().len(), MAX_PRIORITIES + 1);
    }
}
