//! Days of the week and times of day from lists, as iTop and OTRS have them instead of a crontab.

use std::fmt;

use chrono::{NaiveTime, Timelike as _};

use crate::domain::cron::{CronExpr, weekday};

/// Indexed by the day's number.
const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days of the week as numbers: 0 is Sunday. Sorted, without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekDays(Vec<u16>);

/// The times on each of the days of a [`Weekly`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayTimes {
    /// One time of day, as in iTop.
    At(NaiveTime),
    /// Each listed minute of each listed hour, as in the generic agent of OTRS.
    Grid {
        /// Hours, 0 to 23.
        hours: Vec<u16>,
        /// Minutes, 0 to 59.
        minutes: Vec<u16>,
    },
}

/// A rule made of days and times.
#[derive(Clone, Debug, PartialEq)]
pub struct Weekly {
    /// Days of the week.
    pub days: WeekDays,
    /// Times on each of the days.
    pub times: DayTimes,
    expr: CronExpr,
}

impl WeekDays {
    /// Reads numbers (0 and 7 mean Sunday) and names.
    ///
    /// # Errors
    /// If the list is empty, or a word is neither a number of a day nor a name. The text names the first such word.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut days = words.into_iter().map(weekday).collect::<Result<Vec<u16>, String>>()?;
        days.sort_unstable();
        days.dedup();
        if days.is_empty() { Err("the list is empty: name at least one day".to_owned()) } else { Ok(Self(days)) }
    }

    /// Their names, in three letters.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().filter_map(|day| NAMES.get(usize::from(*day)).copied()).collect()
    }
}

impl Weekly {
    /// Combines days and times. A list of all hours or all minutes is a wildcard, which follows real time.
    ///
    /// # Errors
    /// If an hour or a minute is out of range.
    pub fn new(days: WeekDays, mut times: DayTimes) -> Result<Self, String> {
        let text = match &mut times {
            DayTimes::At(time) => format!("{} {} {}", time.second(), time.minute(), time.hour()),
            DayTimes::Grid { hours, minutes } => format!("0 {} {}", list(minutes, 60), list(hours, 24)),
        };
        let expr = CronExpr::parse(&format!("{text} * * {}", days.names().join(",")), "");
        Ok(Self { expr: expr.map_err(|error| error.to_string())?, days, times })
    }

    /// The rule as a crontab expression.
    pub fn expr(&self) -> &CronExpr {
        &self.expr
    }
}

/// A field of a crontab expression. Sorts the list and removes repeats.
fn list(values: &mut Vec<u16>, all: usize) -> String {
    values.sort_unstable();
    values.dedup();
    match values.len() == all {
        true => "*".to_owned(),
        false => joined(values),
    }
}

fn joined(values: &[u16]) -> String {
    values.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// Reads `23:30` or `23:30:15`.
///
/// # Errors
/// If the text is not a time of day, or has a fraction of a second.
pub fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    let formats = ["%H:%M", "%H:%M:%S"];
    let time = formats.iter().find_map(|format| NaiveTime::parse_from_str(text.trim(), format).ok());
    time.filter(|time| time.nanosecond() == 0)
        .ok_or_else(|| format!("`{text}` is not a time of day: write 23:30 or 23:30:15"))
}

/// Writes a time of day in the form that [`time_of_day`] reads.
pub fn shown(time: NaiveTime) -> String {
    time.format(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.days.names().join(",");
        match &self.times {
            DayTimes::At(time) => write!(f, "{days} {}", shown(*time)),
            DayTimes::Grid { hours, minutes } => {
                write!(f, "{days} hours {} minutes {}", joined(hours), joined(minutes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_become_an_expression() {
        let days = WeekDays::read(["thu", "Monday", "1", "7"]).expect("days");
        let weekly = Weekly::new(days, DayTimes::At(time_of_day("23:30").expect("a time"))).expect("a rule");
        assert_eq!(weekly.to_string(), "sun,mon,thu 23:30");
        assert_eq!(weekly.expr().to_string(), "0 30 23 * * sun,mon,thu");
        let grid = DayTimes::Grid { hours: vec![14, 2], minutes: (0..60).collect() };
        let weekly = Weekly::new(WeekDays::read(["1"]).expect("days"), grid).expect("a rule");
        assert_eq!(weekly.expr().to_string(), "0 * 2,14 * * mon");
        assert!(weekly.expr().is_wildcard());
        assert!(WeekDays::read(["moonday"]).expect_err("no day").contains("did you mean `MONDAY`"));
        assert!(WeekDays::read([]).is_err() && time_of_day("24:00").is_err());
    }
}
