//! Ranges of times of day: `09:00-12:00, 13:00-17:00`, `22:00-06:00`.

use std::fmt;

use super::words::RangeError;

/// Seconds in a day.
pub(super) const DAY: u32 = 86_400;

/// A range of times of day that may end on the next day. Its begin is inclusive, its end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// Begin in seconds since midnight.
    pub begin: u32,
    /// End in seconds since the same midnight, up to the end of the next day.
    pub end: u32,
}

/// Reads a list of ranges. An empty list means a day without times.
///
/// # Errors
/// If a range or a time is invalid. The error has its column.
pub fn parse(text: &str) -> Result<Vec<TimeRange>, RangeError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut column = 1;
    let mut ranges = Vec::new();
    for part in text.split(',') {
        ranges.push(range(part, column)?);
        column += part.chars().count() + 1;
    }
    Ok(ranges)
}

fn range(part: &str, column: usize) -> Result<TimeRange, RangeError> {
    let here = column + part.chars().take_while(|letter| letter.is_whitespace()).count();
    let Some((begin, end)) = part.split_once('-') else {
        let found = if part.trim().is_empty() { "nothing".to_owned() } else { format!("`{}`", part.trim()) };
        return Err(RangeError::new(
            here,
            format!("{found} is not a range of times, expected one such as `09:00-17:00`"),
        ));
    };
    let behind = column + begin.chars().count() + 1;
    let (begin, end) = (time(begin, column)?, time(end, behind)?);
    if begin >= DAY {
        return Err(RangeError::new(here, "a range begins before 24:00: use the next day instead"));
    }
    if end > 2 * DAY {
        return Err(RangeError::new(behind, "a range ends at 48:00 at the latest, the end of the next day"));
    }
    // The range crosses midnight.
    let end = if end <= begin { end + DAY } else { end };
    Ok(TimeRange { begin, end })
}

fn time(text: &str, column: usize) -> Result<u32, RangeError> {
    let column = column + text.chars().take_while(|letter| letter.is_whitespace()).count();
    let text = text.trim();
    let parts: Vec<&str> = text.split(':').collect();
    let numbers: Option<Vec<u32>> = parts.iter().map(|part| part_of_time(part)).collect();
    let seconds = match numbers.as_deref() {
        Some([hours, minutes @ 0..60]) => Some(hours * 3600 + minutes * 60),
        Some([hours, minutes @ 0..60, seconds @ 0..60]) => Some(hours * 3600 + minutes * 60 + seconds),
        _ => None,
    };
    let found = if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") };
    seconds.ok_or_else(|| {
        RangeError::new(column, format!("{found} is not a time, expected HH:MM or HH:MM:SS, from 00:00 to 24:00"))
    })
}

fn part_of_time(part: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| part.parse().ok()).flatten()
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end.checked_sub(DAY) {
            Some(next_day) if next_day <= self.begin && self.end > DAY => next_day,
            _ => self.end,
        };
        show(f, self.begin)?;
        f.write_str("-")?;
        show(f, end)
    }
}

fn show(f: &mut fmt::Formatter<'_>, time: u32) -> fmt::Result {
    write!(f, "{:02}:{:02}", time / 3600, time / 60 % 60)?;
    match time % 60 {
        0 => Ok(()),
        seconds => write!(f, ":{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text).expect(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_read_back() {
        assert_eq!(shown("09:00-12:00, 13:00-17:00"), ["09:00-12:00", "13:00-17:00"]);
        assert_eq!(parse("22:00-06:00").expect("times"), [TimeRange { begin: 79_200, end: 108_000 }]);
        assert_eq!(shown("22:00-6:00:01,00:00-24:00,09:00-30:00"), ["22:00-06:00:01", "00:00-24:00", "09:00-06:00"]);
        assert_eq!(shown("09:00-34:00"), ["09:00-34:00"]);
        assert_eq!(parse("07:00-07:00").expect("times"), [TimeRange { begin: 25_200, end: 111_600 }]);
        assert!(parse(" ").expect("no times").is_empty());
    }

    #[test]
    fn errors_have_their_column() {
        let mistake = |text: &str| parse(text).expect_err(text).to_string();
        assert!(mistake("09:00-12:00, 13:60-17:00").starts_with("column 14: `13:60` is not a time"));
        assert!(mistake("09:00").starts_with("column 1: `09:00` is not a range of times"));
        assert!(mistake("09:00-12:00,").starts_with("column 13: nothing is not a range"));
        assert!(mistake("09:00-").starts_with("column 7: nothing is not a time"));
        assert!(mistake("24:00-06:00").contains("begins before 24:00"));
        assert!(mistake("10:00-49:00").starts_with("column 7: a range ends at 48:00 at the latest"));
        assert!(mistake("9-17").starts_with("column 1: `9` is not a time"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-0-9:, ]{0,24}|\\PC{0,16}") {
            if let Ok(ranges) = parse(&text) {
                let again: Vec<String> = ranges.iter().map(ToString::to_string).collect();
                prop_assert_eq!(parse(&again.join(",")), Ok(ranges));
            }
        }
    }
}
