//! An expression as an English sentence.

use super::{
    days::{CronDays, MonthDay, WeekDay},
    field::{DAY_OF_MONTH, DAY_OF_WEEK, FIRST_YEAR, HOUR, MINUTE, MONTH, SECOND},
    next_time::CompiledCron,
    values::Values,
};

/// Up to this many times of day are listed one by one.
const NAMED: usize = 6;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The sentence for a compiled expression.
pub(super) fn sentence(plan: &CompiledCron) -> String {
    let (times, is_named) = times(plan);
    let days = days(&plan.days, &plan.months);
    let mut text = match (days.is_empty(), is_named) {
        (true, true) => format!("{times} every day"),
        (true, false) => times,
        (false, _) => format!("{times} {days}"),
    };
    if plan.months != MONTH.all() && days.is_empty() {
        text = format!("{text} in {}", months(&plan.months));
    }
    if let Some(years) = &plan.years {
        text = format!("{text} in {}", runs(&years.iter().collect::<Vec<_>>(), |year| (year + FIRST_YEAR).to_string()));
    }
    text
}

/// The times of day, and whether they are listed one by one.
fn times(plan: &CompiledCron) -> (String, bool) {
    let of = |values: &Values| values.iter().collect::<Vec<_>>();
    let (seconds, minutes, hours) = (of(&plan.seconds), of(&plan.minutes), of(&plan.hours));
    let every_hour = plan.hours == HOUR.all();
    if seconds.len() * minutes.len() * hours.len() <= NAMED {
        let mut named = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                named.extend(seconds.iter().map(|second| match seconds[..] {
                    [0] => format!("{hour:02}:{minute:02}"),
                    _ => format!("{hour:02}:{minute:02}:{second:02}"),
                }));
            }
        }
        return (format!("At {}", joined(&named)), true);
    }
    let mut phrases = Vec::new();
    if seconds != [0] {
        phrases.push(places(&plan.seconds, &SECOND.all(), "second"));
    }
    let is_hourly = seconds == [0] && minutes == [0] && every_hour;
    if is_hourly {
        phrases.push("every hour".to_owned());
    } else if plan.minutes != MINUTE.all() || seconds == [0] {
        phrases.push(places(&plan.minutes, &MINUTE.all(), "minute"));
    }
    let mut text = phrases.join(", ");
    if !every_hour {
        text = format!("{text} {}", within(&hours));
    } else if !is_hourly && plan.minutes != MINUTE.all() && step(&minutes, 60).is_none() {
        // The phrase for the minutes lists them.
        text.push_str(" of every hour");
    }
    (capital(&text), false)
}

/// `every second`, `every 10 seconds`, `at second 5 and 10`.
fn places(values: &Values, all: &Values, unit: &str) -> String {
    let list: Vec<u16> = values.iter().collect();
    match step(&list, 60) {
        _ if values == all => format!("every {unit}"),
        Some(step) => format!("every {step} {unit}s"),
        None => format!("at {unit} {}", runs(&list, |value| value.to_string())),
    }
}

/// The step of a list that begins at 0 and has even distances, across the end as well.
fn step(list: &[u16], width: u16) -> Option<u16> {
    let step = *list.get(1)?;
    let is_even = list.first() == Some(&0) && width.is_multiple_of(step) && list.len() == usize::from(width / step);
    (is_even && list.iter().all(|value| value.is_multiple_of(step))).then_some(step)
}

/// The hours: `from 08:00 to 17:59`, `of every 2nd hour`, `of the hours 8 and 20`.
fn within(hours: &[u16]) -> String {
    match (hours, step(hours, 24)) {
        (_, Some(step)) => format!("of every {} hour", ordinal(step)),
        ([first, .., last], _) if usize::from(last - first) + 1 == hours.len() => {
            format!("from {first:02}:00 to {last:02}:59")
        }
        ([hour], _) => format!("from {hour:02}:00 to {hour:02}:59"),
        _ => format!("of the hours {}", runs(hours, |hour| hour.to_string())),
    }
}

/// The days; empty for all of them.
fn days(days: &CronDays, in_months: &Values) -> String {
    let every_month = *in_months == MONTH.all();
    let of_months = if every_month { "the month".to_owned() } else { months(in_months) };
    let any_of_month = days.of_month == DAY_OF_MONTH.all();
    let any_of_week = days.of_week == DAY_OF_WEEK.all();
    let month = || format!("on {} of {of_months}", month_days(days));
    let week = |with_month: bool| {
        let suffix = if every_month || !with_month { String::new() } else { format!(" in {of_months}") };
        format!("{}{suffix}", week_days(days))
    };
    match (days.both, any_of_month, any_of_week) {
        (true, true, true) | (false, true, _) | (false, _, true) => String::new(),
        (true, false, true) => month(),
        (true, true, false) => format!("on {}", week(true)),
        (true, false, false) => format!("{} if it is {}", month(), week(false)),
        (false, false, false) => format!("{}, and on {}", month(), week(true)),
    }
}

fn months(values: &Values) -> String {
    runs(&values.iter().collect::<Vec<_>>(), |month| name(&MONTHS, month - 1))
}

fn month_days(days: &CronDays) -> String {
    let mut named = Vec::new();
    let plain: Vec<u16> = days.of_month.iter().collect();
    if !plain.is_empty() {
        named.push(format!("the {}", runs(&plain, ordinal)));
    }
    let last = |back: u16| match back {
        0 => "last day".to_owned(),
        1 => "last day but one".to_owned(),
        back => format!("last day but {back}"),
    };
    named.extend(days.in_month.iter().map(|day| match *day {
        MonthDay::BeforeLast(back) => format!("the {}", last(back)),
        MonthDay::WeekdayBeforeLast(0) => "the last weekday".to_owned(),
        MonthDay::WeekdayBeforeLast(back) => format!("the weekday nearest to the {}", last(back)),
        MonthDay::WeekdayNear(day) => format!("the weekday nearest to the {}", ordinal(day)),
    }));
    joined(&named)
}

fn week_days(days: &CronDays) -> String {
    // People read a week from Monday on.
    let mut plain: Vec<u16> = days.of_week.iter().map(|day| if day == 0 { 7 } else { day }).collect();
    plain.sort_unstable();
    let weekday = |day: u16| name(&WEEKDAYS, day % 7);
    let mut named = Vec::new();
    if !plain.is_empty() {
        named.push(runs(&plain, weekday));
    }
    named.extend(days.in_week.iter().map(|day| match *day {
        WeekDay::Last(day) => format!("the last {} of the month", weekday(day)),
        WeekDay::Nth(day, count) => format!("the {} {} of the month", ordinal(count), weekday(day)),
    }));
    joined(&named)
}

/// Writes a sorted list; three or more consecutive numbers become a range.
fn runs(values: &[u16], shown: impl Fn(u16) -> String) -> String {
    let mut named = Vec::new();
    for run in values.chunk_by(|a, b| a + 1 == *b) {
        match run {
            [first, _, .., last] if run.len() > 2 => named.push(format!("{} to {}", shown(*first), shown(*last))),
            run => named.extend(run.iter().map(|value| shown(*value))),
        }
    }
    joined(&named)
}

/// `a`, `a and b`, `a, b and c`.
fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn name(names: &[&str], index: u16) -> String {
    names.get(usize::from(index)).copied().unwrap_or_default().to_owned()
}

fn ordinal(number: u16) -> String {
    let ending = match (number % 10, number % 100) {
        (1, teen) if teen != 11 => "st",
        (2, teen) if teen != 12 => "nd",
        (3, teen) if teen != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::domain::cron::CronExpr;

    #[test]
    fn expressions_are_described_in_english() {
        for (expression, sentence) in [
            ("30 2 * * MON-FRI", "At 02:30 on Monday to Friday"),
            ("@daily", "At 00:00 every day"),
            ("@weekly", "At 00:00 on Sunday"),
            ("@monthly", "At 00:00 on the 1st of the month"),
            ("@yearly", "At 00:00 on the 1st of January"),
            ("@hourly", "Every hour"),
            ("@reboot", "Once at each start of the daemon"),
            ("* * * * *", "Every minute"),
            ("*/15 * * * *", "Every 15 minutes"),
            ("17 * * * *", "At minute 17 of every hour"),
            ("*/7 * * * *", "At minute 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
            ("*/10 8-17 * * MON-FRI", "Every 10 minutes from 08:00 to 17:59 on Monday to Friday"),
            ("0 */2 * * *", "At minute 0 of every 2nd hour"),
            ("0 8,20 * * *", "At 08:00 and 20:00 every day"),
            ("*/10 * * * * *", "Every 10 seconds"),
            ("* * * * * *", "Every second"),
            ("*/30 5 * * * *", "Every 30 seconds, at minute 5 of every hour"),
            ("15 30 2 * * *", "At 02:30:15 every day"),
            ("0 0 13 * FRI", "At 00:00 on the 13th of the month, and on Friday"),
            (
                "0 0 */2 * FRI",
                "At 00:00 on the 1st, 3rd, 5th, 7th, 9th, 11th, 13th, 15th, 17th, 19th, 21st, 23rd, 25th, 27th, 29th and 31st of the month if it is Friday",
            ),
            ("0 0 1,15 JAN,JUL *", "At 00:00 on the 1st and 15th of January and July"),
            ("0 0 * JUN-AUG SAT,SUN", "At 00:00 on Saturday and Sunday in June to August"),
            ("0 0 * 3 *", "At 00:00 every day in March"),
            ("0 0 L * *", "At 00:00 on the last day of the month"),
            (
                "0 0 L-2,LW,15W * *",
                "At 00:00 on the last day but 2, the last weekday and the weekday nearest to the 15th of the month",
            ),
            ("0 9 ? * FRI#2,MONL", "At 09:00 on the 2nd Friday of the month and the last Monday of the month"),
            ("0 0 12 24 12 ? 2026-2028", "At 12:00 on the 24th of December in 2026 to 2028"),
            ("0 0 1-31 * MON", "At 00:00 every day"),
        ] {
            assert_eq!(expression.parse::<CronExpr>().expect(expression).describe(), sentence, "{expression}");
        }
    }
}
