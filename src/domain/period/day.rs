//! The days of a definition such as `monday -1 may` or `day 1 - 15 / 2`.

use chrono::{Datelike as _, Days, NaiveDate, Weekday};

/// Years with every combination of first weekday and leap year: one cycle of 28 years.
const CYCLE: std::ops::Range<i32> = 2000..2028;

/// One day of a definition. A month or year that it does not name is that of the day in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaySpec {
    /// `2026-12-24`.
    Date(NaiveDate),
    /// `february 10`, `february -1`.
    MonthDay(u32, i32),
    /// `day 15`, `day -1`.
    Day(i32),
    /// `monday 3 may`, `friday -1 may`.
    NthOfMonth(Weekday, i32, u32),
    /// `monday 3`, `friday -1`.
    Nth(Weekday, i32),
    /// `monday`.
    Weekday(Weekday),
}

/// End of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The definition has one day.
    Same,
    /// This day, inclusive.
    Day(DaySpec),
    /// No end: a date with a step.
    Open,
}

/// The days of one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// The text of the definition.
    pub text: String,
    /// The day, or the first day of a range.
    pub first: DaySpec,
    /// The last day.
    pub until: Until,
    /// Distance of two days, counted from the first day. At least 1.
    pub step: u32,
}

/// Position of a named day relative to its month.
enum DayLookup {
    /// Before the month: the fifth-last Monday of a month with four.
    Before(NaiveDate),
    On(NaiveDate),
    /// After the month: the 31st of a month with 30 days. Holds the first day of the next month.
    After(NaiveDate),
}

impl DayRange {
    /// Whether a day belongs to the definition.
    pub fn holds(&self, day: NaiveDate) -> bool {
        match (self.first, self.until) {
            (DaySpec::Weekday(first), Until::Same) => day.weekday() == first,
            (DaySpec::Weekday(first), Until::Day(DaySpec::Weekday(last))) => {
                let since = day.weekday().days_since(first);
                since <= last.days_since(first) && since.is_multiple_of(self.step)
            }
            (first, Until::Same) => matches!(first.seen_from(day), Some(DayLookup::On(found)) if found == day),
            (first, until) => {
                let Some(DayLookup::Before(start) | DayLookup::On(start) | DayLookup::After(start)) =
                    first.seen_from(day)
                else {
                    return false;
                };
                let is_over = match until {
                    Until::Same | Until::Open => false,
                    Until::Day(last) => match last.seen_from(day) {
                        Some(DayLookup::On(last)) => day > last,
                        // The range ends with the month.
                        Some(DayLookup::After(next)) => day >= next,
                        // The range ends before the month begins.
                        Some(DayLookup::Before(_)) | None => true,
                    },
                };
                let since = (day - start).num_days();
                !is_over && since >= 0 && since % i64::from(self.step) == 0
            }
        }
    }

    /// Precedence of the definition: a smaller number is more specific and wins.
    pub fn rank(&self) -> u8 {
        match self.first {
            DaySpec::Date(_) => 0,
            DaySpec::MonthDay(..) => 1,
            DaySpec::Day(_) => 2,
            DaySpec::NthOfMonth(..) => 3,
            DaySpec::Nth(..) => 4,
            DaySpec::Weekday(_) => 5,
        }
    }

    /// Whether at least one day belongs to the definition.
    pub(super) fn ever_comes(&self) -> bool {
        match (self.first, self.until) {
            (DaySpec::Date(first), Until::Day(DaySpec::Date(last))) => first <= last,
            (DaySpec::Date(_), _) => true,
            _ => {
                let start = NaiveDate::from_ymd_opt(CYCLE.start, 1, 1);
                let days = start.into_iter().flat_map(|start| start.iter_days());
                days.take_while(|day| day.year() < CYCLE.end).any(|day| self.holds(day))
            }
        }
    }

    /// The full dates in the definition.
    pub(super) fn dates(&self) -> impl Iterator<Item = NaiveDate> {
        let last = match self.until {
            Until::Day(last) => Some(last),
            Until::Same | Until::Open => None,
        };
        [Some(self.first), last].into_iter().flatten().filter_map(|spec| match spec {
            DaySpec::Date(date) => Some(date),
            _ => None,
        })
    }
}

impl DaySpec {
    /// The day, with the month and year of `day` where the definition names none.
    fn seen_from(self, day: NaiveDate) -> Option<DayLookup> {
        let month = match self {
            Self::MonthDay(month, _) | Self::NthOfMonth(_, _, month) => month,
            _ => day.month(),
        };
        let month = NaiveDate::from_ymd_opt(day.year(), month, 1)?;
        match self {
            Self::Date(date) => Some(DayLookup::On(date)),
            Self::MonthDay(_, number) | Self::Day(number) => day_of(month, number),
            Self::NthOfMonth(weekday, nth, _) | Self::Nth(weekday, nth) => nth_of(month, weekday, nth),
            // A plain weekday is not a single day.
            Self::Weekday(_) => None,
        }
    }
}

/// The day of that number in the month that begins with `first`. Negative numbers count from the end.
fn day_of(first: NaiveDate, number: i32) -> Option<DayLookup> {
    let length = i32::from(first.num_days_in_month());
    let number = if number < 0 { length + 1 + number } else { number };
    placed(first, number, length)
}

/// The nth weekday of the month that begins with `first`. Negative numbers count from the end.
fn nth_of(first: NaiveDate, weekday: Weekday, nth: i32) -> Option<DayLookup> {
    let length = i32::from(first.num_days_in_month());
    let earliest = 1 + weekday.days_since(first.weekday()) as i32;
    let number = match nth {
        1.. => earliest + 7 * (nth - 1),
        _ => earliest + 7 * ((length - earliest) / 7) + 7 * (nth + 1),
    };
    placed(first, number, length)
}

fn placed(first: NaiveDate, number: i32, length: i32) -> Option<DayLookup> {
    if number < 1 {
        return Some(DayLookup::Before(first));
    }
    match number > length {
        true => first.checked_add_days(Days::new(length as u64)).map(DayLookup::After),
        false => first.with_day(number as u32).map(DayLookup::On),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(definition: &str, from: &str, count: usize) -> Vec<String> {
        let range: DayRange = definition.parse().expect("a definition");
        let from: NaiveDate = from.parse().expect("a date");
        from.iter_days().take(4_000).filter(|day| range.holds(*day)).take(count).map(|day| day.to_string()).collect()
    }

    #[test]
    fn single_days_are_found() {
        assert_eq!(days("monday", "2026-11-21", 2), ["2026-11-23", "2026-11-30"]);
        assert_eq!(days("day 31", "2026-01-01", 3), ["2026-01-31", "2026-03-31", "2026-05-31"]);
        assert_eq!(days("day -1", "2028-01-15", 3), ["2028-01-31", "2028-02-29", "2028-03-31"]);
        assert_eq!(days("day -3", "2026-02-01", 1), ["2026-02-26"]);
        assert_eq!(days("monday -1 may", "2026-01-01", 2), ["2026-05-25", "2027-05-31"]);
        assert_eq!(days("monday 3 may", "2026-01-01", 1), ["2026-05-18"]);
        assert_eq!(days("thursday 4 november", "2026-01-01", 1), ["2026-11-26"]);
        assert_eq!(days("monday 5", "2026-01-01", 2), ["2026-03-30", "2026-06-29"]);
        assert_eq!(days("february -1", "2027-01-01", 2), ["2027-02-28", "2028-02-29"]);
        assert_eq!(days("february 29", "2026-01-01", 2), ["2028-02-29", "2032-02-29"]);
    }

    #[test]
    fn ranges_and_steps_are_found() {
        assert_eq!(days("2026-12-24 - 2027-01-06", "2026-01-01", 99).len(), 14);
        assert_eq!(days("day 1 - 15", "2026-02-14", 3), ["2026-02-14", "2026-02-15", "2026-03-01"]);
        assert_eq!(days("day -2 - -1", "2026-02-01", 3), ["2026-02-27", "2026-02-28", "2026-03-30"]);
        assert_eq!(days("day 27 - 31 / 2", "2026-02-01", 4), ["2026-02-27", "2026-03-27", "2026-03-29", "2026-03-31"]);
        assert_eq!(days("february 10 - march 20", "2026-01-01", 60).len(), 39 + 21);
        assert_eq!(days("february 27 - 29", "2027-01-01", 3), ["2027-02-27", "2027-02-28", "2028-02-27"]);
        let summer = days("monday 1 march - friday -1 october", "2026-01-01", 300);
        assert_eq!((summer[0].as_str(), summer[242].as_str()), ("2026-03-02", "2026-10-30"));
        assert_eq!(days("monday 1 may - 2", "2026-01-01", 9).last().map(String::as_str), Some("2027-05-03"));
        assert_eq!(days("2026-01-01 / 3", "2026-01-02", 2), ["2026-01-04", "2026-01-07"]);
        assert_eq!(
            days("monday - friday / 2", "2026-11-22", 4),
            ["2026-11-23", "2026-11-25", "2026-11-27", "2026-11-30"]
        );
        assert_eq!(days("friday - monday", "2026-11-24", 5).last().map(String::as_str), Some("2026-12-04"));
    }
}
