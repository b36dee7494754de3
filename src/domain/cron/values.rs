//! The selected values of one field: a set of small numbers.

/// A set of numbers from 0 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values([u64; 4]);

impl Values {
    /// Every number of a range.
    pub(super) fn range(from: u16, to: u16) -> Self {
        let mut values = Self::default();
        (from..=to).for_each(|value| values.insert(value));
        values
    }

    pub(super) fn insert(&mut self, value: u16) {
        if let Some(word) = self.0.get_mut(usize::from(value / 64)) {
            *word |= 1 << (value % 64);
        }
    }

    pub(super) fn contains(&self, value: u16) -> bool {
        self.0.get(usize::from(value / 64)).is_some_and(|word| word & (1 << (value % 64)) != 0)
    }

    /// The smallest number that is at least `from`.
    pub(super) fn first_from(&self, from: u16) -> Option<u16> {
        let start = usize::from(from / 64);
        let masked = self.0.get(start)? & (u64::MAX << (from % 64));
        let words = std::iter::once(masked).chain(self.0[start + 1..].iter().copied());
        let (index, word) = words.enumerate().find(|(_, word)| *word != 0)?;
        Some(((start + index) * 64) as u16 + word.trailing_zeros() as u16)
    }

    /// The largest number.
    pub(super) fn last(&self) -> Option<u16> {
        self.iter().last()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        std::iter::successors(self.first_from(0), |value| self.first_from(value + 1))
    }

    /// The numbers below 32 as a bit set.
    pub(super) fn bits(&self) -> u32 {
        self.0[0] as u32
    }
}
