//! Parser for definitions such as `monday -1 may - friday 2 june / 3`, with the column of each error.

use std::{fmt, str::FromStr};

use chrono::{NaiveDate, Weekday};

use super::day::{DayRange, DaySpec, Until};
use crate::domain::text::suggest;

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];
/// Names of the months, each with its maximum number of days.
const MONTHS: [(&str, i32); 12] = [
    ("january", 31),
    ("february", 29),
    ("march", 31),
    ("april", 30),
    ("may", 31),
    ("june", 30),
    ("july", 31),
    ("august", 31),
    ("september", 30),
    ("october", 31),
    ("november", 30),
    ("december", 31),
];
/// Largest step in days. Longer distances need dates of their own.
const LONGEST_STEP: u32 = 3_660;

/// Why a definition is invalid, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// Column of the error, from 1.
    pub column: usize,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl RangeError {
    pub(super) fn new(column: usize, problem: impl Into<String>) -> Self {
        Self { column, problem: problem.into() }
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.problem)
    }
}

/// A word with its first column.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    column: usize,
}

impl FromStr for DayRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (days, step) = split_step(text)?;
        let words = words(days);
        let dashes: Vec<usize> = (0..words.len()).filter(|at| words[*at].text == "-").collect();
        let end = text.chars().count() + 1;
        let (first, until) = match *dashes.as_slice() {
            [] => (read_day(&words, None, end)?, Until::Same),
            [dash] => {
                let first = read_day(&words[..dash], None, words[dash].column)?;
                (first, Until::Day(read_day(&words[dash + 1..], Some(first), end)?))
            }
            [_, second, ..] => {
                return Err(RangeError::new(
                    words[second].column,
                    "a second `-`: a range has one first and one last day",
                ));
            }
        };
        let (step, until) = check(first, until, step, &words)?;
        let range = Self { text: text.to_owned(), first, until, step };
        if range.ever_comes() {
            return Ok(range);
        }
        let column = dashes.first().map_or(1, |dash| words[*dash].column);
        let problem = "no such day exists: the range ends before it begins; write two definitions, \
                       such as `december 20 - december 31` and `january 1 - january 6`";
        Err(RangeError::new(column, problem))
    }
}

/// Checks the definition as a whole: the kinds of its ends, and whether it can have a step.
fn check(first: DaySpec, until: Until, step: Option<DayStep>, words: &[Word]) -> Result<(u32, Until), RangeError> {
    if let Until::Day(last) = until {
        let kinds = (DayKind::of(first), DayKind::of(last));
        let column = words.iter().position(|word| word.text == "-").map_or(1, |dash| words[dash].column + 2);
        if kinds.0 != kinds.1 {
            let problem = match kinds {
                (DayKind::Date, _) | (_, DayKind::Date) => "a range from or to a date has dates at both ends",
                _ => "a range from or to a plain weekday has plain weekdays at both ends",
            };
            return Err(RangeError::new(column, format!("{problem}, here are {} and {}", kinds.0, kinds.1)));
        }
    }
    match (first, until, step) {
        (_, _, None) => Ok((1, until)),
        (DaySpec::Date(_), Until::Same, Some((step, _))) => Ok((step, Until::Open)),
        (_, Until::Same, Some((2.., column))) => Err(RangeError::new(
            column,
            "a step needs something to count from: a range such as `day 1 - 31 / 2`, or a date such as \
             `2026-01-05 / 14`, which is every other Monday",
        )),
        (_, _, Some((step, _))) => Ok((step, until)),
    }
}

/// Both ends of a range are days of one kind: a day without a date is searched in the month of the day in question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DayKind {
    Date,
    Weekday,
    OfMonth,
}

impl DayKind {
    fn of(spec: DaySpec) -> Self {
        match spec {
            DaySpec::Date(_) => Self::Date,
            DaySpec::Weekday(_) => Self::Weekday,
            DaySpec::MonthDay(..) | DaySpec::Day(_) | DaySpec::NthOfMonth(..) | DaySpec::Nth(..) => Self::OfMonth,
        }
    }
}

impl fmt::Display for DayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Date => "a date",
            Self::Weekday => "a plain weekday",
            Self::OfMonth => "a day of a month",
        })
    }
}

/// A step in days, and its column.
type DayStep = (u32, usize);

/// Splits a step such as `/ 2` from the days.
fn split_step(text: &str) -> Result<(&str, Option<DayStep>), RangeError> {
    let Some((days, step)) = text.split_once('/') else { return Ok((text, None)) };
    let column = days.chars().count() + 1;
    let parsed = step.trim().parse().ok().filter(|step| (1..=LONGEST_STEP).contains(step));
    let step: u32 = parsed.ok_or_else(|| {
        let found = if step.trim().is_empty() { "nothing".to_owned() } else { format!("`{}`", step.trim()) };
        RangeError::new(column + 1, format!("{found} is not a step, expected a number from 1 to {LONGEST_STEP}"))
    })?;
    Ok((days, Some((step, column))))
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_open = false;
    for (at, letter) in text.chars().enumerate() {
        if letter.is_whitespace() {
            is_open = false;
            continue;
        }
        if !std::mem::replace(&mut is_open, true) {
            words.push(Word { text: String::new(), column: at + 1 });
        }
        if let Some(word) = words.last_mut() {
            word.text.extend(letter.to_lowercase());
        }
    }
    words
}

/// Reads one day. A number alone means a day of the same form as the `first` day of its range.
fn read_day(words: &[Word], first: Option<DaySpec>, end: usize) -> Result<DaySpec, RangeError> {
    let Some((word, rest)) = words.split_first() else {
        let column = end;
        return Err(RangeError::new(column, "a day is missing, such as `monday`, `day -1`, `may 1` or `2026-12-24`"));
    };
    let (spec, used) = if word.text.chars().next().is_some_and(|letter| letter.is_ascii_digit() || letter == '-') {
        match (word.text.contains(|letter: char| letter != '-' && !letter.is_ascii_digit()), first) {
            (false, _) if word.text.len() > 3 => (read_date(word)?, 0),
            (false, Some(first)) => (like(first, word)?, 0),
            _ => return Err(unknown(word)),
        }
    } else if word.text == "day" {
        (DaySpec::Day(number(rest.first(), end, "day", 31)?), 1)
    } else if let Some(month) = month(&word.text) {
        let (name, most) = MONTHS[month as usize - 1];
        (DaySpec::MonthDay(month, number(rest.first(), end, name, most)?), 1)
    } else if let Some((name, weekday)) = WEEKDAYS.iter().find(|(name, _)| *name == word.text) {
        match rest {
            [] => (DaySpec::Weekday(*weekday), 0),
            [nth] => (DaySpec::Nth(*weekday, number(Some(nth), end, name, 5)?), 1),
            [nth, named, ..] => {
                let nth = number(Some(nth), end, name, 5)?;
                let month = month(&named.text).ok_or_else(|| unknown_month(named))?;
                (DaySpec::NthOfMonth(*weekday, nth, month), 2)
            }
        }
    } else {
        return Err(unknown(word));
    };
    match rest.get(used) {
        Some(more) => Err(RangeError::new(
            more.column,
            format!("`{}` is one word too many; the dash of a range has spaces around it", more.text),
        )),
        None => Ok(spec),
    }
}

fn read_date(word: &Word) -> Result<DaySpec, RangeError> {
    let is_date = word.text.len() == 10 && word.text.match_indices('-').map(|(at, _)| at).eq([4, 7]);
    let date = is_date.then(|| NaiveDate::parse_from_str(&word.text, "%Y-%m-%d").ok()).flatten();
    let problem = || format!("`{}` is not a date of the calendar, expected one such as `2026-12-24`", word.text);
    date.map(DaySpec::Date).ok_or_else(|| RangeError::new(word.column, problem()))
}

/// Reads a number alone, such as `15` in `day 1 - 15`.
fn like(first: DaySpec, word: &Word) -> Result<DaySpec, RangeError> {
    let number = |name: &str, most| number(Some(word), word.column, name, most);
    match first {
        DaySpec::Day(_) => Ok(DaySpec::Day(number("day", 31)?)),
        DaySpec::MonthDay(month, _) => {
            let (name, most) = MONTHS[month as usize - 1];
            Ok(DaySpec::MonthDay(month, number(name, most)?))
        }
        DaySpec::Nth(weekday, _) => Ok(DaySpec::Nth(weekday, number("the weekday", 5)?)),
        DaySpec::NthOfMonth(weekday, _, month) => Ok(DaySpec::NthOfMonth(weekday, number("the weekday", 5)?, month)),
        DaySpec::Date(_) | DaySpec::Weekday(_) => {
            Err(RangeError::new(word.column, format!("`{}` alone is not a day: write the last day in full", word.text)))
        }
    }
}

/// Reads a number from 1, or from -1 counted from the end of the month.
fn number(word: Option<&Word>, end: usize, of: &str, most: i32) -> Result<i32, RangeError> {
    let allowed = format!("expected 1 to {most}, or -1 to -{most} from the end of the month");
    let Some(word) = word else {
        return Err(RangeError::new(end, format!("which number of {of}? {allowed}")));
    };
    let number: Option<i32> = word.text.parse().ok().filter(|_| !word.text.starts_with('+'));
    match number {
        Some(number) if number != 0 && (-most..=most).contains(&number) => Ok(number),
        Some(number) => Err(RangeError::new(word.column, format!("{number} is out of range for {of}, {allowed}"))),
        None => Err(RangeError::new(word.column, format!("`{}` is not a number for {of}, {allowed}", word.text))),
    }
}

fn month(name: &str) -> Option<u32> {
    let at = MONTHS.iter().position(|(known, _)| *known == name)?;
    u32::try_from(at + 1).ok()
}

fn unknown_month(word: &Word) -> RangeError {
    let hint = suggest::hint(&word.text, MONTHS.iter().map(|(name, _)| *name));
    RangeError::new(word.column, format!("`{}` is not a month{hint}", word.text))
}

fn unknown(word: &Word) -> RangeError {
    let text = &word.text;
    if text.trim_start_matches('-').contains('-') {
        return RangeError::new(
            word.column,
            format!("`{text}`: the dash of a range has spaces around it: `monday - friday`"),
        );
    }
    let names = WEEKDAYS.iter().map(|(name, _)| *name).chain(MONTHS.iter().map(|(name, _)| *name)).chain(["day"]);
    let hint = match suggest::hint(text, names) {
        hint if hint.is_empty() => "; expected a weekday, a month, `day` or a date such as `2026-12-24`".to_owned(),
        hint => hint,
    };
    RangeError::new(word.column, format!("`{text}` is not a day{hint}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mistake(text: &str) -> String {
        text.parse::<DayRange>().expect_err(text).to_string()
    }

    #[test]
    fn errors_have_their_column() {
        assert_eq!(mistake("mondya"), "column 1: `mondya` is not a day; did you mean `monday`?");
        assert_eq!(mistake("monday 3 mai"), "column 10: `mai` is not a month; did you mean `may`?");
        assert_eq!(mistake("fri"), "column 1: `fri` is not a day; did you mean `friday`?");
        assert_eq!(
            mistake("monday 6"),
            "column 8: 6 is out of range for monday, expected 1 to 5, or -1 to -5 from the end of the month"
        );
        assert!(mistake("february 30").starts_with("column 10: 30 is out of range for february, expected 1 to 29"));
        assert!(mistake("day").starts_with("column 4: which number of day?"));
        assert!(mistake("day 0").starts_with("column 5: 0 is out of range"));
        assert!(mistake("2026-02-30").contains("not a date of the calendar"));
        assert!(mistake("2026-12-24 - ").starts_with("column 14: a day is missing"));
        assert!(mistake("").starts_with("column 1: a day is missing"));
        assert!(mistake("monday-friday").contains("has spaces around it"));
        assert!(mistake("monday 1 may june").starts_with("column 14: `june` is one word too many"));
        assert!(mistake("day 1 - 15 - 20").starts_with("column 12: a second `-`"));
    }

    #[test]
    fn impossible_and_ambiguous_definitions_are_refused() {
        assert!(mistake("december 20 - january 6").starts_with("column 13: no such day exists"));
        assert!(mistake("2026-12-24 - 2026-12-01").contains("no such day exists"));
        assert!(mistake("day 15 - 1").contains("no such day exists"));
        assert!(mistake("2026-12-24 - day 3").contains("dates at both ends"));
        assert!(mistake("monday - may 3").contains("plain weekdays at both ends"));
        assert!(mistake("2026-12-24 - 27").contains("alone is not a day"));
        assert!(mistake("monday / 2").starts_with("column 8: a step needs something to count from"));
        assert!(mistake("day 1 - 15 / 0").starts_with("column 13: `0` is not a step"));
        assert!(mistake("day 1 - 15 /").contains("nothing is not a step"));
    }

    #[test]
    fn case_and_spaces_are_ignored() {
        let range: DayRange = "  Monday  -1 MAY ".parse().expect("a definition");
        assert_eq!(range.first, DaySpec::NthOfMonth(Weekday::Mon, -1, 5));
        assert_eq!("day 1 - 31/2".parse::<DayRange>().expect("a definition").step, 2);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-0-9a-z /,:]{0,24}|\\PC{0,16}|(day|may|monday|2026-01-0[0-9]|-|/|[-0-9]{1,3}| ){0,8}") {
            let _ = text.parse::<DayRange>();
        }
    }
}
