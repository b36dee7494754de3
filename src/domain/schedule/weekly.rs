//! Days of the week and times of the day, chosen from lists: what iTop and OTRS have instead of a crontab.

use std::fmt;

use chrono::{NaiveTime, Timelike as _};

use crate::domain::cron::{CronExpr, weekday};

const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days of the week, from Sunday = 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekDays(Vec<u16>);

/// The times on each of the days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayTimes {
    /// One time, as iTop has it.
    At(NaiveTime),
    /// Each of the minutes in each of the hours, as OTRS' generic agent has it.
    Grid {
        /// From 0 to 23.
        hours: Vec<u16>,
        /// From 0 to 59.
        minutes: Vec<u16>,
    },
}

/// A rule that was chosen from lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Weekly {
    /// On which days.
    pub days: WeekDays,
    /// At what times.
    pub times: DayTimes,
    expr: CronExpr,
}

impl WeekDays {
    /// Reads numbers (0 and 7 are Sunday) and names; tells what is wrong with the first that is neither.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut days = words.into_iter().map(weekday).collect::<Result<Vec<u16>, String>>()?;
        days.sort_unstable();
        days.dedup();
        if days.is_empty() { Err("the list is empty: name at least one day".to_owned()) } else { Ok(Self(days)) }
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().filter_map(|day| NAMES.get(usize::from(*day)).copied()).collect()
    }
}

impl Weekly {
    /// Puts days and times together. Lists of all hours or all minutes are wildcards, which follow real time.
    pub fn new(days: WeekDays, mut times: DayTimes) -> Result<Self, String> {
        let text = match &mut times {
            DayTimes::At(time) => format!("{} {} {}", time.second(), time.minute(), time.hour()),
            DayTimes::Grid { hours, minutes } => format!("0 {} {}", list(minutes, 60), list(hours, 24)),
        };
        let expr = CronExpr::parse(&format!("{text} * * {}", days.names().join(",")), "");
        Ok(Self { expr: expr.map_err(|error| error.to_string())?, days, times })
    }

    /// The same as a crontab expression.
    pub fn expr(&self) -> &CronExpr {
        &self.expr
    }
}

/// A list for a crontab, put in order.
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
pub fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    let formats = ["%H:%M", "%H:%M:%S"];
    let time = formats.iter().find_map(|format| NaiveTime::parse_from_str(text.trim(), format).ok());
    time.filter(|time| time.nanosecond() == 0)
        .ok_or_else(|| format!("`{text}` is not a time of day: write 23:30 or 23:30:15"))
}

/// A time of day as it is read.
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
    fn lists_are_put_in_order_and_become_an_expression() {
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
