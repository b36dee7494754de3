//! Crontab expressions: our own front parser over `saffron`.
//!
//! `saffron` counts weekdays from 1 = Sunday, refuses 0, gets wrap-around ranges wrong and has a single
//! opaque error. So the five fields are read here, with positions in the errors and weekdays as every
//! crontab has them (0 and 7 are Sunday), expanded into plain lists, and only those are compiled by it.

use std::{fmt, str::FromStr};

use chrono::{NaiveDateTime, TimeZone, Utc};

/// A compiled crontab expression of five fields.
#[derive(Clone)]
pub struct CronExpr {
    source: String,
    wildcard: bool,
    compiled: saffron::Cron,
}

/// Why an expression was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error(
        "a crontab expression has five fields (minute hour day-of-month month day-of-week), `{source_text}` has {found}"
    )]
    FieldCount {
        /// The whole expression.
        source_text: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field that cannot be read.
    #[error("{field} (column {column}): {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// Where the offending part begins, counted in characters from 1.
        column: usize,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An `@` name that does not exist.
    #[error("`{0}` is not a known schedule name: use @hourly, @daily, @weekly, @monthly or @yearly")]
    UnknownAlias(String),
    /// An expression such as the 30th of February.
    #[error("`{0}` never comes: no such date exists")]
    Never(String),
}

const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What one field may hold.
struct FieldRule {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names for `min`, `min + 1` and so on.
    names: &'static [&'static str],
}

const FIELDS: [FieldRule; 5] = [
    FieldRule { name: "minute", min: 0, max: 59, names: &[] },
    FieldRule { name: "hour", min: 0, max: 23, names: &[] },
    FieldRule { name: "day of month", min: 1, max: 31, names: &[] },
    FieldRule { name: "month", min: 1, max: 12, names: &MONTHS },
    FieldRule { name: "day of week", min: 0, max: 7, names: &WEEKDAYS },
];
const WEEKDAY: usize = 4;

impl CronExpr {
    /// Whether minute or hour is a wildcard. Such entries follow real time over a change of the clocks;
    /// the others are for a fixed time of day (cron(8) of Debian tells them apart in the same way).
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The first matching wall-clock time strictly after `wall`.
    pub fn next_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.compiled.next_after(Utc.from_utc_datetime(&wall)).map(|found| found.naive_utc())
    }
}

impl FromStr for CronExpr {
    type Err = CronError;

    fn from_str(source: &str) -> Result<Self, CronError> {
        let plain = match source.trim() {
            alias if alias.starts_with('@') => ALIASES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(alias))
                .map(|(_, plain)| *plain)
                .ok_or_else(|| CronError::UnknownAlias(alias.to_owned()))?,
            plain => plain,
        };
        let fields = split_with_columns(plain);
        if fields.len() != FIELDS.len() {
            return Err(CronError::FieldCount { source_text: source.to_owned(), found: fields.len() });
        }
        let mut canonical = Vec::with_capacity(FIELDS.len());
        for (index, ((column, text), rule)) in fields.iter().zip(&FIELDS).enumerate() {
            canonical.push(canonical_field(text, *column, rule, index == WEEKDAY)?);
        }
        let compiled: saffron::Cron = canonical.join(" ").parse().map_err(|_| CronError::Never(source.to_owned()))?;
        if !compiled.any() {
            return Err(CronError::Never(source.to_owned()));
        }
        let wildcard = fields[..2].iter().any(|(_, text)| text.starts_with('*'));
        Ok(Self { source: source.trim().to_owned(), wildcard, compiled })
    }
}

/// The blank-separated parts of a text, each with the column at which it begins.
fn split_with_columns(text: &str) -> Vec<(usize, &str)> {
    text.split_whitespace()
        .map(|part| {
            let offset = part.as_ptr() as usize - text.as_ptr() as usize;
            (text[..offset].chars().count() + 1, part)
        })
        .collect()
}

/// The field as saffron is sound on: `*`, or a list of numbers.
fn canonical_field(text: &str, column: usize, rule: &FieldRule, weekday: bool) -> Result<String, CronError> {
    if text == "*" {
        return Ok("*".to_owned());
    }
    let mut chosen = [false; 64];
    let mut start = column;
    for item in text.split(',') {
        mark(item, start, rule, &mut chosen)?;
        start += item.chars().count() + 1;
    }
    if weekday && chosen[7] {
        chosen[0] = true;
    }
    let highest = if weekday { 6 } else { rule.max };
    let shift = u8::from(weekday); // saffron's Sunday is 1
    // `*/1` restricts nothing: over both day fields, that makes the difference between "or" and "and".
    if text.starts_with('*') && (rule.min..=highest).all(|value| chosen[usize::from(value)]) {
        return Ok("*".to_owned());
    }
    let numbers: Vec<String> = (rule.min..=highest)
        .filter(|value| chosen[usize::from(*value)])
        .map(|value| (value + shift).to_string())
        .collect();
    Ok(numbers.join(","))
}

/// Marks the values of one list item: `5`, `MON`, `1-5`, `FRI-MON`, `*/15`, `10-50/10`, `5/15`.
fn mark(item: &str, column: usize, rule: &FieldRule, chosen: &mut [bool; 64]) -> Result<(), CronError> {
    let refuse = |problem: String| CronError::Field { field: rule.name, column, problem };
    let (range, step) = match item.split_once('/') {
        None => (item, None),
        Some((range, step)) => {
            let parsed = step.parse::<u8>().ok().filter(|step| (1..=rule.max).contains(step));
            let step = parsed
                .ok_or_else(|| refuse(format!("`{step}` is not a step, expected a number from 1 to {}", rule.max)))?;
            (range, Some(step))
        }
    };
    let (from, to) = match (range, range.split_once('-')) {
        ("*", _) => (rule.min, if rule.names.len() == 7 { 6 } else { rule.max }),
        (_, Some((from, to))) => (value(from, rule).map_err(refuse)?, value(to, rule).map_err(refuse)?),
        (_, None) => {
            let single = value(range, rule).map_err(refuse)?;
            (single, if step.is_some() { rule.max } else { single })
        }
    };
    // A weekday 7 that begins a range is the Sunday before it; a wrap-around range goes over the end.
    let width = if rule.names.len() == 7 { 7 } else { rule.max - rule.min + 1 };
    let from = if from > to && from == rule.max && width == 7 { 0 } else { from };
    let length = if to >= from { to - from } else { width - (from - to) };
    for offset in (0..=length).step_by(usize::from(step.unwrap_or(1))) {
        chosen[usize::from((from - rule.min + offset) % width + rule.min)] = true;
    }
    Ok(())
}

/// A number within the field's limits, or one of its names in any case.
fn value(text: &str, rule: &FieldRule) -> Result<u8, String> {
    if let Some(index) = rule.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(rule.min + index as u8);
    }
    let allowed = match rule.names {
        [] => format!("a number from {} to {}", rule.min, rule.max),
        names => format!("a number from {} to {} or a name ({})", rule.min, rule.max, names.join(" ")),
    };
    match text.parse::<u8>() {
        Ok(number) if (rule.min..=rule.max).contains(&number) && text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        Ok(number) => Err(format!("{number} is out of range, expected {allowed}")),
        Err(_) if text.is_empty() => Err(format!("a value is missing, expected {allowed}")),
        Err(_) => Err(format!("`{text}` is not understood, expected {allowed}")),
    }
}

impl fmt::Display for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronExpr({:?})", self.source)
    }
}

impl PartialEq for CronExpr {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate, Timelike, Weekday};
    use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};

    use super::*;

    fn next(expression: &str, from: &str) -> String {
        let wall = NaiveDateTime::parse_from_str(from, "%Y-%m-%d %H:%M").expect("a time");
        let expr: CronExpr = expression.parse().expect("an expression");
        expr.next_after(wall).expect("a next time").format("%Y-%m-%d %H:%M").to_string()
    }

    fn refusal(expression: &str) -> String {
        expression.parse::<CronExpr>().expect_err("must be refused").to_string()
    }

    #[test]
    fn weekdays_are_those_of_a_crontab() {
        // 2026-11-21 is a Saturday.
        for (expression, expected) in [
            ("0 0 * * 0", "2026-11-22 00:00"),
            ("0 0 * * 7", "2026-11-22 00:00"),
            ("0 0 * * sun", "2026-11-22 00:00"),
            ("0 0 * * 1", "2026-11-23 00:00"),
            ("0 0 * * MON-FRI", "2026-11-23 00:00"),
            ("0 0 * * 6", "2026-11-28 00:00"),
            ("0 0 * * 5-7", "2026-11-22 00:00"),
            ("0 0 * * 7-2", "2026-11-22 00:00"),
        ] {
            assert_eq!(next(expression, "2026-11-21 12:00"), expected, "{expression}");
        }
    }

    #[test]
    fn ranges_go_round_the_end() {
        assert_eq!(next("0 22-2 * * *", "2026-11-21 02:00"), "2026-11-21 22:00");
        assert_eq!(next("0 0 * * FRI-MON", "2026-11-23 00:00"), "2026-11-27 00:00");
        assert_eq!(next("0 0 1 NOV-FEB *", "2026-02-01 00:00"), "2026-11-01 00:00");
        assert_eq!(next("50-10/10 * * * *", "2026-11-21 00:10"), "2026-11-21 00:50");
    }

    #[test]
    fn aliases_and_blanks_are_read() {
        assert_eq!(next("  @daily ", "2026-11-21 12:00"), "2026-11-22 00:00");
        assert_eq!(next(" 5 \t 4  * * * ", "2026-11-21 12:00"), "2026-11-22 04:05");
    }

    #[test]
    fn mistakes_name_field_place_and_remedy() {
        assert_eq!(refusal("61 * * * *"), "minute (column 1): 61 is out of range, expected a number from 0 to 59");
        assert_eq!(refusal("0 0,24 * * *"), "hour (column 5): 24 is out of range, expected a number from 0 to 23");
        assert!(refusal("0 0 * * MOO").starts_with("day of week (column 9): `MOO` is not understood, expected"));
        assert!(refusal("*/0 * * * *").contains("`0` is not a step"));
        assert!(refusal("* * * *").contains("has 4"));
        assert!(refusal("@often").contains("@hourly"));
        assert!(refusal("0 0 30 2 *").contains("never comes"));
        assert!(refusal("0 0 31 4,6 *").contains("never comes"));
    }

    /// One list item and the values it stands for, worked out naively.
    fn item(min: u8, max: u8) -> impl Strategy<Value = (String, Vec<u8>)> {
        (min..=max, min..=max, 1..=max.max(2) / 2).prop_map(move |(from, to, step)| {
            let mut values = Vec::new();
            let mut value = from;
            let mut count = 0;
            loop {
                if count % step == 0 {
                    values.push(value);
                }
                if value == to {
                    return (format!("{from}-{to}/{step}"), values);
                }
                value = if value == max { min } else { value + 1 };
                count += 1;
            }
        })
    }

    proptest! {
        /// Against a minute-by-minute matcher that knows nothing of saffron.
        #[test]
        fn agrees_with_a_naive_matcher(
            minutes in prop::collection::vec(item(0, 59), 1..3),
            hours in prop::collection::vec(item(0, 23), 1..3),
            weekdays in prop::collection::vec(item(0, 6), 1..3),
            day in 0i64..400,
        ) {
            let text = |items: &[(String, Vec<u8>)]| items.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>().join(",");
            let holds = |items: &[(String, Vec<u8>)], value: u32| items.iter().any(|(_, values)| values.contains(&(value as u8)));
            let expression = format!("{} {} * * {}", text(&minutes), text(&hours), text(&weekdays));
            let expr: CronExpr = expression.parse().expect("a valid expression");
            let start = (NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + chrono::TimeDelta::days(day)).and_hms_opt(13, 7, 0).expect("a time");
            let expected = (1..=20_160).map(|step| start + chrono::TimeDelta::minutes(step)).find(|wall| {
                holds(&minutes, wall.minute()) && holds(&hours, wall.hour())
                    && holds(&weekdays, wall.weekday().days_since(Weekday::Sun))
            });
            prop_assert_eq!(expr.next_after(start), expected, "{}", expression);
        }

        #[test]
        fn any_text_is_read_or_refused_but_never_panics(text in "[-0-9*/,@ a-zA-Z#?]{0,40}") {
            let _ = text.parse::<CronExpr>();
        }
    }
}
