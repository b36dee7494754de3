//! The two day fields of an expression, and the days of a month that they select.

use chrono::{Datelike as _, NaiveDate};

use super::{
    error::CronError,
    field::{DAY_OF_MONTH, DAY_OF_WEEK, FieldPart, FieldRule, digits},
    values::Values,
};

/// A day of the month whose number depends on the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonthDay {
    /// `L`, `L-3`: this many days before the last day.
    BeforeLast(u16),
    /// `LW`, `L-3W`: the weekday nearest to that day, within the month.
    WeekdayBeforeLast(u16),
    /// `15W`: the weekday nearest to a day, within the month.
    WeekdayNear(u16),
}

/// One weekday of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeekDay {
    /// `FRIL`: the last of that weekday.
    Last(u16),
    /// `FRI#2`: the second of that weekday.
    Nth(u16, u16),
}

/// Both day fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CronDays {
    /// Days of the month, from 1.
    pub(super) of_month: Values,
    pub(super) in_month: Vec<MonthDay>,
    /// Days of the week, from Sunday = 0.
    pub(super) of_week: Values,
    pub(super) in_week: Vec<WeekDay>,
    /// Whether a day must match both fields. By the rule of Vixie cron this is so unless both fields are restricted, that
    /// is, neither begins with a star.
    pub(super) both: bool,
}

impl CronDays {
    /// Reads both fields.
    pub(super) fn read(month: FieldPart<'_>, week: FieldPart<'_>, name: &str) -> Result<Self, CronError> {
        let (mut of_month, mut in_month) = (Values::default(), Vec::new());
        for item in month.items().filter(|_| month.text != "?") {
            match month_day(item)? {
                Some(special) => in_month.push(special),
                None => DAY_OF_MONTH.mark(item, name, &mut of_month)?,
            }
        }
        let (mut of_week, mut in_week) = (Values::default(), Vec::new());
        for item in week.items().filter(|_| week.text != "?") {
            match week_day(item)? {
                Some(special) => in_week.push(special),
                None => DAY_OF_WEEK.mark(item, name, &mut of_week)?,
            }
        }
        let or_all = |values, part: FieldPart<'_>, rule: &FieldRule| if part.text == "?" { rule.all() } else { values };
        Ok(Self {
            of_month: or_all(of_month, month, &DAY_OF_MONTH),
            in_month,
            of_week: or_all(of_week, week, &DAY_OF_WEEK),
            in_week,
            both: month.is_star() || week.is_star(),
        })
    }

    /// The fields in a form that saffron handles correctly, if there is one: plain lists of which either matches, or one
    /// list and one open field.
    pub(super) fn plain(&self) -> Option<(String, String)> {
        let all = (self.of_month == DAY_OF_MONTH.all(), self.of_week == DAY_OF_WEEK.all());
        if !self.in_month.is_empty() || !self.in_week.is_empty() || (self.both && all == (false, false)) {
            return None;
        }
        let month = if all.0 && self.both { "*".to_owned() } else { list(&self.of_month, 0) };
        let week = if all.1 && self.both { "*".to_owned() } else { list(&self.of_week, 1) };
        Some((month, week))
    }

    /// The selected days of one month as a bit set; bit 1 is the first day.
    pub(super) fn chosen(&self, year: i32, month: u32) -> u32 {
        let Some(shape) = Month::of(year, month) else { return 0 };
        let mut by_month = self.of_month.bits() & shape.days();
        for special in &self.in_month {
            by_month |= shape.special(*special);
        }
        let mut by_week = self.of_week.iter().fold(0, |days, weekday| days | shape.weekdays(weekday));
        for special in &self.in_week {
            by_week |= shape.weekday(*special);
        }
        if self.both { by_month & by_week } else { by_month | by_week }
    }
}

/// A list of numbers in the notation of saffron.
pub(super) fn list(values: &Values, shift: u16) -> String {
    let mut text = String::new();
    for value in values.iter() {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&(value + shift).to_string());
    }
    text
}

/// One month: its length and its first weekday.
struct Month {
    length: u16,
    first: u16,
}

impl Month {
    fn of(year: i32, month: u32) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        let length = match month {
            2 if first.leap_year() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        Some(Self { length, first: first.weekday().num_days_from_sunday() as u16 })
    }

    /// The set of all its days.
    fn days(&self) -> u32 {
        (u32::MAX >> (31 - self.length)) & !1
    }

    fn weekday_of(&self, day: u16) -> u16 {
        (self.first + day - 1) % 7
    }

    /// The first day of the month with that weekday.
    fn first_of(&self, weekday: u16) -> u16 {
        (weekday + 7 - self.first) % 7 + 1
    }

    /// The set of days with that weekday.
    fn weekdays(&self, weekday: u16) -> u32 {
        (self.first_of(weekday)..=self.length).step_by(7).fold(0, |days, day| days | 1 << day)
    }

    fn special(&self, day: MonthDay) -> u32 {
        match day {
            MonthDay::BeforeLast(days) => self.existing(self.length.checked_sub(days)).map_or(0, |day| 1 << day),
            MonthDay::WeekdayBeforeLast(days) => self.near(self.length.checked_sub(days)),
            MonthDay::WeekdayNear(day) => self.near(Some(day)),
        }
    }

    /// The day from Monday to Friday that is nearest to a day, within the month. `None` if the month lacks the day.
    fn near(&self, day: Option<u16>) -> u32 {
        let Some(day) = self.existing(day) else { return 0 };
        let near = match self.weekday_of(day) {
            0 if day == self.length => day - 2,
            0 => day + 1,
            6 if day == 1 => 3,
            6 => day - 1,
            _ => day,
        };
        1 << near
    }

    fn existing(&self, day: Option<u16>) -> Option<u16> {
        day.filter(|day| (1..=self.length).contains(day))
    }

    fn weekday(&self, day: WeekDay) -> u32 {
        let found = match day {
            WeekDay::Last(weekday) => (self.length - 6..=self.length).find(|day| self.weekday_of(*day) == weekday),
            WeekDay::Nth(weekday, count) => self.existing(Some(self.first_of(weekday) + (count - 1) * 7)),
        };
        found.map_or(0, |day| 1 << day)
    }
}

/// `L`, `L-3`, `LW`, `L-3W`, `15W`.
fn month_day(item: FieldPart<'_>) -> Result<Option<MonthDay>, CronError> {
    let text = item.text.to_ascii_uppercase();
    let (text, is_weekday) = match text.strip_suffix('W') {
        Some(text) => (text, true),
        None => (text.as_str(), false),
    };
    if let Some(back) = text.strip_prefix('L') {
        let days = match back.strip_prefix('-') {
            Some(days) => digits(days).filter(|days| (1..=30).contains(days)),
            None => back.is_empty().then_some(0),
        };
        let days = days.ok_or_else(|| {
            let problem = "is not understood, expected `L`, `LW`, or `L-` and a number from 1 to 30";
            DAY_OF_MONTH.refuse(item, format!("`{}` {problem}", item.text))
        })?;
        return Ok(Some(if is_weekday { MonthDay::WeekdayBeforeLast(days) } else { MonthDay::BeforeLast(days) }));
    }
    if !is_weekday {
        return Ok(None);
    }
    let day = digits(text).filter(|day| (1..=31).contains(day));
    let day = day.ok_or_else(|| {
        let problem = "is not understood, expected a day from 1 to 31 before `W`, such as 15W, or `LW`";
        DAY_OF_MONTH.refuse(item, format!("`{}` {problem}", item.text))
    })?;
    Ok(Some(MonthDay::WeekdayNear(day)))
}

/// `5L`, `FRIL`, `FRI#2`.
fn week_day(item: FieldPart<'_>) -> Result<Option<WeekDay>, CronError> {
    let refuse = |problem| DAY_OF_WEEK.refuse(item, problem);
    let weekday = |text: &str| Ok(DAY_OF_WEEK.value(text).map_err(refuse)? % 7);
    if let Some((day, count)) = item.text.split_once('#') {
        let nth = digits(count).filter(|count| (1..=5).contains(count));
        let nth = nth.ok_or_else(|| {
            refuse(format!("`{count}` is not a week of the month, expected a number from 1 to 5; the last one is FRIL"))
        })?;
        return Ok(Some(WeekDay::Nth(weekday(day)?, nth)));
    }
    let Some(day) = item.text.strip_suffix(['L', 'l']) else { return Ok(None) };
    if day.is_empty() {
        return Err(refuse("`L` needs its weekday here: FRIL is the last Friday of the month".to_owned()));
    }
    Ok(Some(WeekDay::Last(weekday(day)?)))
}
