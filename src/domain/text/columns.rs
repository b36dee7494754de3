//! Which columns of a table give way where it is wider than the terminal.
//!
//! First the texts become narrower, down to [`COMFORT`]. Then columns leave, the least important one first. Then the
//! texts and names become as narrow as they can be.

/// Texts become narrower than this only when no further column can leave.
pub const COMFORT: usize = 28;

/// What a column needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnNeed {
    /// The width of its widest cell or title.
    pub natural: usize,
    /// The width below which it cannot be read.
    pub least: usize,
    /// When it leaves: the columns with the highest number first, those with 0 never.
    pub leaves: u8,
}

impl ColumnNeed {
    fn comfortable(&self) -> usize {
        self.natural.min(self.least.max(COMFORT))
    }
}

/// The width of each column in a table of which `room` columns of the terminal are left for cells after `frame` for each
/// column of the table; `None` for the columns that leave. A table that cannot be narrow enough is as narrow as it can be.
pub fn fitted(needs: &[ColumnNeed], room: usize, frame: usize) -> Vec<Option<usize>> {
    let mut kept = vec![true; needs.len()];
    loop {
        let floors = |floor: fn(&ColumnNeed) -> usize| -> Vec<usize> { needs.iter().map(floor).collect() };
        let total = |widths: &[usize]| -> usize {
            widths.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(width, _)| width + frame).sum()
        };
        let comfortable = floors(ColumnNeed::comfortable);
        let leaving = (0..needs.len()).filter(|place| kept[*place] && needs[*place].leaves > 0);
        // Of equals, the last one.
        let leaving = leaving.max_by_key(|place| needs[*place].leaves);
        let floor = match leaving {
            Some(place) if total(&comfortable) > room => {
                kept[place] = false;
                continue;
            }
            _ if total(&comfortable) <= room => comfortable,
            _ => floors(|need| need.least.min(need.natural)),
        };
        let mut widths: Vec<usize> = needs.iter().map(|need| need.natural).collect();
        while total(&widths) > room {
            let narrower = (0..needs.len()).filter(|place| kept[*place] && widths[*place] > floor[*place]);
            let Some(widest) = narrower.max_by_key(|place| widths[*place]) else { break };
            widths[widest] -= 1;
        }
        return widths.into_iter().zip(kept).map(|(width, kept)| kept.then_some(width)).collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(natural: usize, least: usize, leaves: u8) -> ColumnNeed {
        ColumnNeed { natural, least, leaves }
    }

    #[test]
    fn what_fits_is_not_touched() {
        assert_eq!(fitted(&[need(5, 5, 0), need(70, 8, 0)], 80, 2), [Some(5), Some(70)]);
    }

    #[test]
    fn texts_give_way_first_then_columns_then_names() {
        let columns = [need(6, 6, 0), need(9, 9, 2), need(9, 9, 1), need(200, 12, 0)];
        assert_eq!(fitted(&columns, 80, 3), [Some(6), Some(9), Some(9), Some(44)]);
        assert_eq!(fitted(&columns, 60, 3), [Some(6), None, Some(9), Some(36)]);
        assert_eq!(fitted(&columns, 45, 3), [Some(6), None, None, Some(33)]);
        assert_eq!(fitted(&columns, 30, 3), [Some(6), None, None, Some(18)]);
        assert_eq!(fitted(&columns, 5, 3), [Some(6), None, None, Some(12)], "no narrower than it can be");
    }

    proptest! {
        #[test]
        fn a_table_fits_if_it_can(
            sizes in proptest::collection::vec((1_usize..60, 1_usize..60, 0_u8..4), 1..8),
            room in 1_usize..200,
        ) {
            let needs: Vec<ColumnNeed> = sizes.iter().map(|(a, b, leaves)| need(*a.max(b), *a.min(b), *leaves)).collect();
            let widths = fitted(&needs, room, 3);
            let total: usize = widths.iter().flatten().map(|width| width + 3).sum();
            let least: usize = needs.iter().filter(|need| need.leaves == 0).map(|need| need.least + 3).sum();
            prop_assert!(total <= room.max(least));
            for (need, width) in needs.iter().zip(widths) {
                prop_assert!(need.leaves > 0 || width.is_some());
                prop_assert!(width.is_none_or(|width| (need.least..=need.natural).contains(&width)));
            }
        }
    }
}
