//! Crontab expressions: a front parser over `saffron`.
//!
//! `saffron` counts weekdays from 1 = Sunday, refuses 0, handles wrap-around ranges incorrectly and has one opaque error.
//! So this module reads the fields itself, with positions in the errors and the usual weekdays (0 and 7 mean Sunday), and
//! expands them into plain lists. `saffron` compiles only those lists.

mod days;
mod describe;
mod error;
mod field;
mod next_time;
mod values;

use std::{fmt, str::FromStr};

use chrono::NaiveDateTime;
use chrono_tz::Tz;

pub use self::error::CronError;
use self::{field::FieldPart, next_time::CompiledCron};
use crate::domain::text::suggest::hint;

/// A compiled crontab expression: five fields, six with seconds, seven with a year, or an `@` name.
#[derive(Clone)]
pub struct CronExpr {
    /// The text without its zone.
    source: String,
    zone: Option<Tz>,
    /// `None` for `@reboot`, which has no times.
    plan: Option<Box<CompiledCron>>,
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
const REBOOT: &str = "@reboot";

impl CronExpr {
    /// Reads an expression. `name` is the name of the schedule, which decides the value of each `H`.
    ///
    /// # Errors
    /// If the expression is invalid or matches no date.
    pub fn parse(text: &str, name: &str) -> Result<Self, CronError> {
        let (zone, rest) = split_zone(text)?;
        let source = rest.trim().to_owned();
        if source.eq_ignore_ascii_case(REBOOT) {
            return Ok(Self { source, zone, plan: None });
        }
        let fields = match source.starts_with('@') {
            true => parts(plain_form(&source)?, 0),
            false => parts(rest, columns_before(text, rest)),
        };
        if !(5..=7).contains(&fields.len()) {
            let names = ALIASES.iter().map(|(alias, _)| *alias).chain([REBOOT]);
            let hint = if fields.len() == 1 { hint(&source, names) } else { String::new() };
            return Err(CronError::FieldCount { source_text: source, found: fields.len(), hint });
        }
        let plan = CompiledCron::compile(&fields, name, &source)?;
        Ok(Self { source, zone, plan: Some(Box::new(plan)) })
    }

    /// The zone inside the expression, as in `CRON_TZ=Europe/Berlin 0 2 * * *`.
    pub fn zone(&self) -> Option<Tz> {
        self.zone
    }

    /// Whether it is `@reboot`, which has no times and runs once at each start of a daemon.
    pub fn is_at_start(&self) -> bool {
        self.plan.is_none()
    }

    /// Whether minute or hour is a wildcard. Such an entry follows real time across a clock change; any other entry is for
    /// a fixed time of day. cron(8) of Debian makes the same distinction.
    pub fn is_wildcard(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.wildcard)
    }

    /// The first matching wall-clock time strictly after `wall`. `None` if no date matches any more.
    pub fn next_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.plan.as_ref()?.next_after(wall)
    }

    /// A sentence in English, without the zone: `At 02:30 on Monday to Friday`.
    pub fn describe(&self) -> String {
        self.plan
            .as_ref()
            .map_or_else(|| "Once at each start of the daemon".to_owned(), |plan| describe::sentence(plan))
    }
}

impl FromStr for CronExpr {
    type Err = CronError;

    /// Reads an expression without a name, so an `H` has the same value in every expression.
    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text, "")
    }
}

/// Reads a day of the week, a number or a name. Returns 0 for Sunday to 6 for Saturday.
///
/// # Errors
/// If the text is neither. The error lists what is allowed.
pub fn weekday(text: &str) -> Result<u16, String> {
    Ok(field::DAY_OF_WEEK.value(text.trim())? % 7)
}

/// Splits a leading `CRON_TZ=…` or `TZ=…` from the rest.
fn split_zone(text: &str) -> Result<(Option<Tz>, &str), CronError> {
    let trimmed = text.trim_start();
    let Some(rest) = trimmed.strip_prefix("CRON_TZ=").or_else(|| trimmed.strip_prefix("TZ=")) else {
        return Ok((None, text));
    };
    let (name, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    let unknown = |_| CronError::UnknownZone {
        name: name.to_owned(),
        column: columns_before(text, name) + 1,
        hint: hint(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())),
    };
    Ok((Some(name.parse().map_err(unknown)?), rest))
}

/// The five fields that an `@` name abbreviates.
fn plain_form(alias: &str) -> Result<&'static str, CronError> {
    let found = ALIASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(alias));
    found.map(|(_, plain)| *plain).ok_or_else(|| CronError::UnknownAlias {
        name: alias.to_owned(),
        hint: hint(alias, ALIASES.iter().map(|(name, _)| *name).chain([REBOOT])),
    })
}

/// Number of characters of `text` before `part`, which is a slice of it.
fn columns_before(text: &str, part: &str) -> usize {
    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
    text[..offset].chars().count()
}

/// The blank-separated parts of a text, each with the column at which it begins.
fn parts(text: &str, before: usize) -> Vec<FieldPart<'_>> {
    text.split_whitespace()
        .map(|part| FieldPart { text: part, column: before + columns_before(text, part) + 1 })
        .collect()
}

impl fmt::Display for CronExpr {
    /// Writes the text without its zone.
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
    /// Compares the text only: the zone belongs to the recurrence, and the value of an `H` depends on the schedule's name.
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
    fn weekdays_are_numbered_as_in_a_crontab() {
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
    fn ranges_wrap_around_the_end() {
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
    fn errors_name_field_column_and_remedy() {
        assert_eq!(refusal("61 * * * *"), "minute (column 1): 61 is out of range, expected a number from 0 to 59");
        assert_eq!(refusal("0 0,24 * * *"), "hour (column 5): 24 is out of range, expected a number from 0 to 23");
        assert!(refusal("0 0 * * MOO").starts_with("day of week (column 9): `MOO` is not understood, expected"));
        assert!(refusal("*/0 * * * *").contains("`0` is not a step"));
        assert!(refusal("* * * *").contains("has 4"));
        assert!(refusal("@often").contains("@hourly"));
        assert!(refusal("0 0 30 2 *").contains("never runs"));
        assert!(refusal("0 0 31 4,6 *").contains("never runs"));
        assert!(refusal("0 0 29 2 * 2026").starts_with("hour (column 5): 29"), "six fields begin with seconds");
        assert!(refusal("0 0 0 29 2 * 2026-2027").contains("never runs"));
        assert!(refusal("0 0 * * MO").ends_with("did you mean `MON`?"));
        assert!(refusal("@dayly").contains("did you mean `@daily`?"));
        assert!(refusal("daily").contains("did you mean `@daily`?"));
        assert!(refusal("CRON_TZ=Europe/Berln 0 0 * * *").contains("(column 9); did you mean `Europe/Berlin`?"));
        assert!(refusal("TZ=UTC 0 25 * * *").starts_with("hour (column 10): 25 is out of range"));
        assert!(refusal("0 0 L-31 * *").starts_with("day of month (column 5): `L-31` is not understood"));
        assert!(refusal("0 0 32W * *").contains("such as 15W"));
        assert!(refusal("0 0 * * L").contains("FRIL"));
        assert!(refusal("0 0 * * FRI#6").contains("from 1 to 5"));
        assert!(refusal("? * * * *").contains("minute (column 1)"));
        assert!(refusal("H(5-1) * * * *").contains("ends before it begins"));
        assert!(refusal("0 +5 * * *").contains("hour (column 3): `+5` is not understood"));
        assert!(refusal("0 0 0 1 1 * H").contains("cannot choose a year"));
    }

    #[test]
    fn days_that_depend_on_the_month_are_found() {
        // 2026-11-01 is a Sunday, 2027-02-28 one as well, 2026-05-31 too, 2026-08-01 a Saturday.
        for (expression, from, expected) in [
            ("0 0 L * *", "2026-11-21 12:00", "2026-11-30 00:00"),
            ("0 0 l * *", "2027-02-01 12:00", "2027-02-28 00:00"),
            ("0 0 L-3 * *", "2027-02-01 12:00", "2027-02-25 00:00"),
            ("0 0 LW * *", "2027-02-01 12:00", "2027-02-26 00:00"),
            ("0 0 LW * *", "2026-05-01 12:00", "2026-05-29 00:00"),
            ("0 0 L-1W * *", "2026-05-01 12:00", "2026-05-29 00:00"),
            ("0 0 15W * *", "2026-11-01 12:00", "2026-11-16 00:00"),
            ("0 0 1W * *", "2026-07-31 12:00", "2026-08-03 00:00"),
            ("0 0 1W * *", "2026-10-31 12:00", "2026-11-02 00:00"),
            ("0 0 31W * *", "2026-11-01 12:00", "2026-12-31 00:00"),
            ("0 0 1W,15W * *", "2026-11-03 12:00", "2026-11-16 00:00"),
            ("0 0 * * 5L", "2026-11-01 12:00", "2026-11-27 00:00"),
            ("0 0 * * fril", "2026-11-01 12:00", "2026-11-27 00:00"),
            ("0 0 * * FRIDAY#2", "2026-11-01 12:00", "2026-11-13 00:00"),
            ("0 0 * * MON#5", "2026-11-01 12:00", "2026-11-30 00:00"),
            ("0 0 * * MON#1,FRI#1", "2026-11-03 12:00", "2026-11-06 00:00"),
            ("0 0 * * 7#1", "2026-11-01 12:00", "2026-12-06 00:00"),
            ("0 0 13 * FRI", "2026-11-01 12:00", "2026-11-06 00:00"),
            ("0 0 13 * ?", "2026-11-14 12:00", "2026-12-13 00:00"),
            ("0 0 L * FRI", "2026-11-28 12:00", "2026-11-30 00:00"),
            // A star makes a field unrestricted, even with a step: then a day must match both fields.
            ("0 0 */2 * FRI", "2026-11-01 12:00", "2026-11-13 00:00"),
            ("0 0 13 * */5", "2026-11-01 12:00", "2026-11-13 00:00"),
            ("0 0 29 2 */6", "2026-11-01 12:00", "2032-02-29 00:00"),
            ("0 0 29 2 *", "2096-03-01 12:00", "2104-02-29 00:00"),
            ("0 0 1 January MONDAY", "2026-12-31 12:00", "2027-01-01 00:00"),
        ] {
            assert_eq!(next(expression, from), expected, "{expression}");
        }
    }

    #[test]
    fn seconds_and_years_are_read() {
        let after = |expression: &str, from: &str| {
            let expr: CronExpr = expression.parse().expect(expression);
            expr.next_after(from.parse().expect("a time")).map(|wall| wall.to_string())
        };
        assert_eq!(after("*/20 * * * * *", "2026-11-21T10:00:20.5").as_deref(), Some("2026-11-21 10:00:40"));
        assert_eq!(after("*/20 * * * * *", "2026-11-21T10:00:40").as_deref(), Some("2026-11-21 10:01:00"));
        assert_eq!(after("5,50 30 2 * * *", "2026-11-21T02:30:50").as_deref(), Some("2026-11-22 02:30:05"));
        assert_eq!(after("5,50 30 2 * * *", "2026-11-21T02:30:05").as_deref(), Some("2026-11-21 02:30:50"));
        assert_eq!(after("0 0 0 1 1 * 2030/2", "2030-01-01T00:00:00").as_deref(), Some("2032-01-01 00:00:00"));
        assert_eq!(after("0 0 0 1 1 * 2030", "1900-01-01T00:00:00").as_deref(), Some("2030-01-01 00:00:00"));
        assert_eq!(after("0 0 0 1 1 * 2030", "2030-01-01T00:00:00"), None);
        assert_eq!(after("59 59 23 31 12 * *", "2026-11-21T00:00:00").as_deref(), Some("2026-12-31 23:59:59"));
        assert_eq!(after("@reboot", "2026-11-21T00:00:00"), None);
        assert!("@Reboot".parse::<CronExpr>().expect("an expression").is_at_start());
    }

    #[test]
    fn the_name_spreads_schedules_permanently() {
        let at = |expression: &str, name: &str| {
            let expr = CronExpr::parse(expression, name).expect(expression);
            let from = "2026-11-21T23:59:59".parse().expect("a time");
            expr.next_after(from).expect("a next time").format("%d %H:%M").to_string()
        };
        // These values must never change: the schedules of every installation would move.
        assert_eq!(at("H H * * *", "backup"), "22 06:18");
        assert_eq!(at("H H(1-5) H * *", "backup"), at("H H(1-5) H * *", "backup"));
        let mut minutes = [0; 1_440];
        for number in 0..10_000 {
            let expr = CronExpr::parse("H H * * *", &format!("task-{number}")).expect("an expression");
            let next = expr.next_after("2026-11-21T23:59:59".parse().expect("a time")).expect("a next time");
            minutes[(next.hour() * 60 + next.minute()) as usize] += 1;
            let quarter = CronExpr::parse("H/15 H(1-5) * * *", &format!("task-{number}")).expect("an expression");
            let next = quarter.next_after("2026-11-21T23:59:59".parse().expect("a time")).expect("a next time");
            assert!((1..=5).contains(&next.hour()) && next.minute() < 15);
            let later = quarter.next_after(next).expect("a next time");
            assert_eq!(later - next, chrono::TimeDelta::minutes(15));
        }
        assert!(minutes.iter().all(|count| *count < 30), "spread evenly: {:?}", minutes.iter().max());
    }

    #[test]
    fn an_expression_may_begin_with_a_zone() {
        let expr: CronExpr = " CRON_TZ=Asia/Kolkata  0 2 * * *".parse().expect("an expression");
        assert_eq!((expr.zone(), expr.to_string().as_str()), (Some(Tz::Asia__Kolkata), "0 2 * * *"));
        assert_eq!("TZ=UTC @daily".parse::<CronExpr>().expect("an expression").zone(), Some(Tz::UTC));
    }

    /// One list item and its values, computed naively.
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
        /// Compares with a matcher that tries every minute without saffron.
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
        fn any_text_is_read_or_refused_but_never_panics(text in "\\PC{0,40}", ascii in "[ -~\t\n]{0,40}") {
            exercise(&text);
            exercise(&ascii);
        }

        #[test]
        fn anything_like_fields_is_read_or_refused_but_never_panics(
            fields in prop::collection::vec("([0-9]{1,4}|[*?HLW]|MON|JAN|FRIL|FRI#2|15W|LW|L-3|H\\(1-5\\))([-/,#]([0-9]{1,3}|[*?HLW]|FEB|sun)){0,3}", 4..9),
            zone in "(|TZ=|CRON_TZ=UTC |TZ=Europe/Berlin )",
        ) {
            exercise(&format!("{zone}{}", fields.join(" ")));
        }
    }

    /// Accepted expressions also work at the limits of the calendar.
    fn exercise(text: &str) {
        let Ok(expr) = CronExpr::parse(text, text) else { return };
        assert!(!expr.describe().is_empty());
        for wall in [NaiveDateTime::MIN, NaiveDateTime::MAX, NaiveDateTime::default()] {
            if let Some(next) = expr.next_after(wall) {
                assert!(next > wall, "{text}");
            }
        }
    }
}
