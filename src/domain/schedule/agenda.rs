//! The next instants of many schedules: due ones are found without examining the others.

use std::{cmp::Reverse, collections::BinaryHeap};

use chrono::{DateTime, Utc};

/// The next instant of each schedule. Schedules are known by numbers.
#[derive(Clone, Debug, Default)]
pub struct Agenda(BinaryHeap<Reverse<(DateTime<Utc>, usize)>>);

impl Agenda {
    /// Adds the next instant of a schedule.
    pub fn note(&mut self, number: usize, at: DateTime<Utc>) {
        self.0.push(Reverse((at, number)));
    }

    /// The earliest instant of all.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the schedule that has been due for longest and returns its number. `None` if none is due at `now`.
    pub fn take_due(&mut self, now: DateTime<Utc>) -> Option<usize> {
        self.first().filter(|at| *at <= now)?;
        self.0.pop().map(|Reverse((_, number))| number)
    }
}

impl FromIterator<(usize, DateTime<Utc>)> for Agenda {
    fn from_iter<I: IntoIterator<Item = (usize, DateTime<Utc>)>>(items: I) -> Self {
        Self(items.into_iter().map(|(number, at)| Reverse((at, number))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_schedules_are_taken_in_order_and_once() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("an instant");
        let mut agenda: Agenda = [(0, at(30)), (1, at(10)), (2, at(20))].into_iter().collect();
        assert_eq!(agenda.first(), Some(at(10)));
        assert_eq!(agenda.take_due(at(9)), None);
        assert_eq!((agenda.take_due(at(20)), agenda.take_due(at(20))), (Some(1), Some(2)));
        assert_eq!(agenda.take_due(at(29)), None);
        agenda.note(1, at(25));
        assert_eq!((agenda.take_due(at(29)), agenda.first()), (Some(1), Some(at(30))));
    }
}
