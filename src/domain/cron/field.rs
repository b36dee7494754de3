//! One field of an expression: lists of values, names, ranges, steps and `H`.

use super::{error::CronError, values::Values};
use crate::domain::text::suggest::hint;

/// The values that one field allows.
#[derive(Debug)]
pub(super) struct FieldRule {
    pub(super) name: &'static str,
    pub(super) min: u16,
    pub(super) max: u16,
    /// Names of `min`, `min + 1` and so on in full. The first three letters are enough.
    pub(super) names: &'static [&'static str],
    /// The end of `*` and of open ranges. For weekdays it excludes 7, the second number of Sunday.
    last: u16,
    /// The largest value that `H` selects. For days of the month it excludes those that some months lack.
    hash_last: u16,
}

/// The smallest year that a field allows.
pub(super) const FIRST_YEAR: u16 = 1970;

const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];
const WEEKDAYS: [&str; 7] = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];

const fn numbers(name: &'static str, min: u16, max: u16) -> FieldRule {
    FieldRule { name, min, max, names: &[], last: max, hash_last: max }
}

pub(super) const SECOND: FieldRule = numbers("second", 0, 59);
pub(super) const MINUTE: FieldRule = numbers("minute", 0, 59);
pub(super) const HOUR: FieldRule = numbers("hour", 0, 23);
pub(super) const DAY_OF_MONTH: FieldRule = FieldRule { hash_last: 28, ..numbers("day of month", 1, 31) };
pub(super) const MONTH: FieldRule = FieldRule { names: &MONTHS, ..numbers("month", 1, 12) };
pub(super) const DAY_OF_WEEK: FieldRule =
    FieldRule { names: &WEEKDAYS, last: 6, hash_last: 6, ..numbers("day of week", 0, 7) };
pub(super) const YEAR: FieldRule = numbers("year", FIRST_YEAR, FIRST_YEAR + 229);

/// A part of an expression with its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldPart<'a> {
    pub(super) text: &'a str,
    /// Position of the first character, counted from 1.
    pub(super) column: usize,
}

impl<'a> FieldPart<'a> {
    /// The items of a comma-separated list.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let mut column = self.column;
        self.text.split(',').map(move |text| {
            let part = FieldPart { text, column };
            column += text.chars().count() + 1;
            part
        })
    }

    /// Whether it is `?` or begins with a star. By the rule of Vixie cron this makes a field unrestricted.
    pub(super) fn is_star(self) -> bool {
        self.text.starts_with('*') || self.text == "?"
    }
}

impl FieldRule {
    /// Number of different values.
    fn width(&self) -> u16 {
        self.last - self.min + 1
    }

    /// Every value of the field.
    pub(super) fn all(&self) -> Values {
        Values::range(self.index(self.min), self.index(self.last))
    }

    /// The number that represents a value in a set: years count from [`FIRST_YEAR`].
    fn index(&self, value: u16) -> u16 {
        if self.min == FIRST_YEAR { value - FIRST_YEAR } else { value }
    }

    /// An error at a position in this field.
    pub(super) fn refuse(&self, part: FieldPart<'_>, problem: String) -> CronError {
        CronError::Field { field: self.name, column: part.column, problem }
    }

    /// The values of a field without forms for special days.
    ///
    /// # Errors
    /// If an item is invalid.
    pub(super) fn read(&self, part: FieldPart<'_>, name: &str) -> Result<Values, CronError> {
        let mut chosen = Values::default();
        for item in part.items() {
            self.mark(item, name, &mut chosen)?;
        }
        Ok(chosen)
    }

    /// Adds the values of one item: `5`, `MON`, `1-5`, `FRI-MON`, `*/15`, `10-50/10`, `5/15`, `H`, `H(1-5)`, `H/15`.
    pub(super) fn mark(&self, item: FieldPart<'_>, name: &str, chosen: &mut Values) -> Result<(), CronError> {
        let refuse = |problem| self.refuse(item, problem);
        let (range, step) = match item.text.split_once('/') {
            None => (item.text, None),
            Some((range, step)) => (range, Some(self.step(step).map_err(refuse)?)),
        };
        if let Some(limits) = hashed(range) {
            return self.mark_hashed(limits, step, name, chosen).map_err(refuse);
        }
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.min, self.last),
            (_, Some((from, to))) => (self.value(from).map_err(refuse)?, self.value(to).map_err(refuse)?),
            (_, None) => {
                let single = self.value(range).map_err(refuse)?;
                (single, if step.is_some() { self.last } else { single })
            }
        };
        // A range that begins with weekday 7 begins on Sunday as day 0; a wrap-around range continues past the end.
        let from = if from > to && from > self.last { self.min } else { from };
        let length = if to >= from { to - from } else { self.width() - (from - to) };
        for offset in (0..=length).step_by(usize::from(step.unwrap_or(1))) {
            chosen.insert(self.index((from - self.min + offset) % self.width() + self.min));
        }
        Ok(())
    }

    /// One value within the limits, or one of each step. The name decides which, permanently.
    fn mark_hashed(
        &self,
        limits: Option<&str>,
        step: Option<u16>,
        name: &str,
        chosen: &mut Values,
    ) -> Result<(), String> {
        if self.min == FIRST_YEAR {
            return Err("`H` cannot choose a year".to_owned());
        }
        let (from, to) = match limits {
            None => (self.min, self.hash_last),
            Some(limits) => {
                let (from, to) = limits.split_once('-').ok_or_else(|| {
                    format!(
                        "`H({limits})` is not understood, expected a range such as H({}-{})",
                        self.min, self.hash_last
                    )
                })?;
                (self.value(from)?, self.value(to)?.min(self.last))
            }
        };
        if from > to {
            return Err(format!("`H({from}-{to})` ends before it begins"));
        }
        let length = to - from + 1;
        let choices = step.map_or(length, |step| step.min(length));
        let first = from + (fnv1a(&[name, self.name]) % u64::from(choices)) as u16;
        match step {
            None => chosen.insert(first),
            Some(step) => (first..=to).step_by(usize::from(step)).for_each(|value| chosen.insert(value)),
        }
        Ok(())
    }

    fn step(&self, text: &str) -> Result<u16, String> {
        let most = if self.min == FIRST_YEAR { self.width() - 1 } else { self.max };
        let step = digits(text).filter(|step| (1..=most).contains(step));
        step.ok_or_else(|| format!("`{text}` is not a step, expected a number from 1 to {most}"))
    }

    /// A number within the field's limits, or one of its names. Case is ignored.
    pub(super) fn value(&self, text: &str) -> Result<u16, String> {
        let named = |name: &str| name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text);
        if let Some(index) = self.names.iter().position(|name| named(name)) {
            return Ok(self.min + index as u16);
        }
        let short: Vec<&str> = self.names.iter().map(|name| &name[..3]).collect();
        let allowed = match self.names {
            [] => format!("a number from {} to {}", self.min, self.max),
            _ => format!("a number from {} to {} or a name ({})", self.min, self.max, short.join(" ")),
        };
        match digits(text) {
            Some(number) if (self.min..=self.max).contains(&number) => Ok(number),
            _ if text.is_empty() => Err(format!("a value is missing, expected {allowed}")),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(format!("{text} is out of range, expected {allowed}"))
            }
            _ => {
                let hint = hint(text, self.names.iter().copied().chain(short));
                Err(format!("`{text}` is not understood, expected {allowed}{hint}"))
            }
        }
    }
}

/// The text inside the brackets of `H(…)`. `None` if the item is not an `H`.
fn hashed(range: &str) -> Option<Option<&str>> {
    let rest = range.strip_prefix(['H', 'h'])?;
    if rest.is_empty() {
        return Some(None);
    }
    Some(Some(rest.strip_prefix('(')?.strip_suffix(')')?))
}

/// Reads a number without a sign.
pub(super) fn digits(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// FNV-1a: the same on every machine and in every version, so a schedule keeps its times.
fn fnv1a(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The low bits alone are not distributed evenly, so the high bits are mixed in.
    hash ^ (hash >> 32)
}
