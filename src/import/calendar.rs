//! systemd calendar expressions (systemd.time(7)), as far as crontab expressions can express them.

use std::collections::BTreeSet;

use chrono_tz::Tz;

use super::draft::{Timing, check_expression};

/// The shortcuts and their long forms.
const SHORTCUTS: &[(&str, &str)] = &[
    ("minutely", "*:*:00"),
    ("hourly", "*:00:00"),
    ("daily", "00:00:00"),
    ("weekly", "Mon 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
    ("bi-annually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// The last year of a repetition of years.
const LAST_YEAR: u32 = 2099;

/// One component: the crontab field, and the values that it matches.
struct Field {
    text: String,
    values: BTreeSet<u32>,
}

/// The timings with the same instants.
///
/// # Errors
/// If no crontab expressions have the same instants. The error gives the reason.
pub(super) fn timings(written: &str, zone: Option<Tz>) -> Result<Vec<Timing>, String> {
    let mut tokens: Vec<&str> = written.split_whitespace().collect();
    let mut zone = zone;
    if let Some(named) = tokens.last().and_then(|last| zone_of(last)) {
        zone = Some(named);
        tokens.pop();
    }
    let shortcut =
        |word: &str| SHORTCUTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, long)| *long);
    if let [word] = tokens[..]
        && let Some(long) = shortcut(word)
    {
        tokens = long.split_whitespace().collect();
    }
    let mut weekdays = [true; 7];
    if let Some(word) = tokens.first().filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        weekdays = days_of(word)?;
        tokens.remove(0);
    }
    let (mut date, mut time) = ("*-*-*", "00:00:00");
    for token in tokens {
        if token.contains(':') {
            time = token;
        } else if token.contains(['-', '~']) {
            date = token;
        } else {
            return Err(format!("`{token}` is neither a date nor a time of day"));
        }
    }
    let clock = clock(time)?;
    expressions(&weekdays, date)?.into_iter().map(|fields| timing(fields, &clock, zone)).collect()
}

/// Day of month, month, day of week and year.
type CalendarDays = [String; 4];

/// The days. Weekday and date must both match, which crontab expressions can express in few cases only.
fn expressions(weekdays: &[bool; 7], date: &str) -> Result<Vec<CalendarDays>, String> {
    let (rest, day, from_end) = match date.split_once('~') {
        Some((rest, day)) => (rest, day, true),
        None => date.rsplit_once('-').map(|(rest, day)| (rest, day, false)).ok_or("invalid date")?,
    };
    let (year, month) = rest.rsplit_once('-').unwrap_or(("*", rest));
    let month = field(month, 1, 12)?.text;
    let year = years(year)?;
    let day = field(day, 1, 31)?;
    let every_weekday = weekdays.iter().all(|chosen| *chosen);
    let weekday = if every_weekday { "*".to_owned() } else { weekdays_text(weekdays) };
    let with = |day: String, weekday: String| [day, month.clone(), weekday, year.clone()];
    if from_end {
        // The last seven days of the month contain each weekday once.
        let is_last_week = day.text == "7/1" || day.values.iter().copied().eq(1..=7);
        return match (every_weekday, is_last_week) {
            (true, _) => Ok(vec![with(from_the_end(&day, is_last_week)?, weekday)]),
            (false, true) => Ok(each(weekdays).map(|number| with("*".to_owned(), format!("{number}L"))).collect()),
            (false, false) => Err(both_days()),
        };
    }
    if every_weekday || day.text == "*" {
        return Ok(vec![with(day.text, weekday)]);
    }
    // The first seven days of the month contain each weekday once, as do the next seven.
    match (1..=4).find(|week| day.values.iter().copied().eq(week * 7 - 6..=week * 7)) {
        Some(week) => Ok(each(weekdays).map(|number| with("*".to_owned(), format!("{number}#{week}"))).collect()),
        None => Err(both_days()),
    }
}

fn both_days() -> String {
    "weekday and day of the month must both match; in a crontab expression, either is enough".to_owned()
}

fn from_the_end(day: &Field, is_last_week: bool) -> Result<String, String> {
    if day.text.contains('/') && !is_last_week {
        return Err("steps from the end of the month are not supported".to_owned());
    }
    let last = |back: u32| if back == 1 { "L".to_owned() } else { format!("L-{}", back - 1) };
    let days: Vec<String> =
        if is_last_week { (1..=7).map(last).collect() } else { day.values.iter().copied().map(last).collect() };
    Ok(days.join(","))
}

/// The chosen weekdays as numbers of a crontab: Sunday is 0.
fn each(weekdays: &[bool; 7]) -> impl Iterator<Item = usize> {
    (0..7).filter(|index| weekdays[*index]).map(|index| (index + 1) % 7)
}

/// The expression with as few fields as possible.
fn timing(days: CalendarDays, clock: &[Field; 3], zone: Option<Tz>) -> Result<Timing, String> {
    let [hour, minute, second] = clock;
    let [day, month, weekday, year] = days;
    let five = format!("{} {} {day} {month} {weekday}", minute.text, hour.text);
    let expression = match (second.text.as_str(), year.as_str()) {
        ("0", "*") => five,
        (second, "*") => format!("{second} {five}"),
        (second, year) => format!("{second} {five} {year}"),
    };
    let is_understood = check_expression(&expression);
    is_understood
        .map_err(|problem| format!("it would be `{expression}`, which is not check_expression here: {problem}"))?;
    Ok(Timing::Cron { expression, zone })
}

fn zone_of(word: &str) -> Option<Tz> {
    if word.eq_ignore_ascii_case("UTC") {
        return Some(Tz::UTC);
    }
    word.parse().ok()
}

fn days_of(word: &str) -> Result<[bool; 7], String> {
    let index = |name: &str| {
        let found =
            WEEKDAYS.iter().position(|day| name.eq_ignore_ascii_case(day) || name.eq_ignore_ascii_case(&day[..3]));
        found.ok_or_else(|| format!("`{name}` is neither a weekday nor a shortcut"))
    };
    let mut chosen = [false; 7];
    for item in word.split(',').filter(|item| !item.is_empty()) {
        let (from, to) = item.split_once("..").or_else(|| item.split_once('-')).unwrap_or((item, item));
        let (from, to) = (index(from)?, index(to)?);
        if from > to {
            return Err(format!("`{item}` wraps around the end of the week"));
        }
        chosen[from..=to].fill(true);
    }
    Ok(chosen)
}

fn weekdays_text(weekdays: &[bool; 7]) -> String {
    let name = |index: usize| WEEKDAYS[index][..3].to_uppercase();
    let mut items = Vec::new();
    let mut start = 0;
    while start < 7 {
        let length = weekdays[start..].iter().take_while(|chosen| **chosen).count();
        match length {
            0 => {}
            1 | 2 => items.extend((start..start + length).map(name)),
            _ => items.push(format!("{}-{}", name(start), name(start + length - 1))),
        }
        start += length.max(1);
    }
    items.join(",")
}

fn clock(time: &str) -> Result<[Field; 3], String> {
    let parts: Vec<&str> = time.split(':').collect();
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(format!("`{time}` is not a time of day")),
    };
    if second.split("..").any(|part| part.contains('.')) {
        return Err("fractions of a second are not supported".to_owned());
    }
    Ok([field(hour, 0, 23)?, field(minute, 0, 59)?, field(second, 0, 59)?])
}

fn years(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok("*".to_owned());
    }
    let whole = |number: &str| match number.parse::<u32>() {
        Ok(short @ 0..70) if number.len() <= 2 => (2000 + short).to_string(),
        Ok(short @ 70..100) if number.len() <= 2 => (1900 + short).to_string(),
        _ => number.to_owned(),
    };
    let item = |item: &str| {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let range: Vec<String> = range.split("..").map(whole).collect();
        let step = step.map(|step| format!("/{step}")).unwrap_or_default();
        range.join("..") + &step
    };
    let items: Vec<String> = text.split(',').map(item).collect();
    let field = field(&items.join(","), 1970, LAST_YEAR)?;
    // Crontab dialects disagree about a step of years without a range: write the range.
    let items = field.text.split(',').map(|item| match item.split_once('/') {
        Some((from, step)) if !from.contains('-') => format!("{from}-{LAST_YEAR}/{step}"),
        _ => item.to_owned(),
    });
    Ok(items.collect::<Vec<_>>().join(","))
}

/// Parses `*`, `5`, `1..5`, `0/15`, `8..18/2`, or a list of them.
fn field(text: &str, min: u32, max: u32) -> Result<Field, String> {
    if text == "*" {
        return Ok(Field { text: "*".to_owned(), values: (min..=max).collect() });
    }
    let number = |text: &str| match text.parse::<u32>() {
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) && (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a number from {min} to {max}")),
    };
    let mut items = Vec::new();
    let mut values = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step =
            step.map(|step| step.parse::<u32>().ok().filter(|step| *step > 0).ok_or(format!("`{step}` is not a step")));
        let step = step.transpose()?;
        let (from, to) = match range.split_once("..") {
            Some((from, to)) => (number(from)?, Some(number(to)?)),
            None => (number(range)?, None),
        };
        let end = to.unwrap_or(if step.is_some() { max } else { from });
        if end < from {
            return Err(format!("`{range}` goes backwards"));
        }
        values.extend((from..=end).step_by(step.unwrap_or(1) as usize));
        items.push(match (to, step) {
            _ if end - from < step.unwrap_or(1) => from.to_string(),
            (None, Some(step)) => format!("{from}/{step}"),
            (Some(to), Some(step)) if step > 1 => format!("{from}-{to}/{step}"),
            _ => format!("{from}-{end}"),
        });
    }
    let is_everything = values.len() == (max - min + 1) as usize;
    Ok(Field { text: if is_everything { "*".to_owned() } else { items.join(",") }, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(written: &str) -> String {
        let shown = |timing: Timing| match timing {
            Timing::Cron { expression, zone: None } => expression,
            Timing::Cron { expression, zone: Some(zone) } => format!("{expression} {zone}"),
            Timing::Every(interval) => format!("every {interval:?}"),
        };
        timings(written, None)
            .map(|list| list.into_iter().map(shown).collect::<Vec<_>>().join("; "))
            .unwrap_or_else(|error| format!("! {error}"))
    }

    #[test]
    fn calendar_expressions_become_crontab_expressions() {
        for (written, expected) in [
            ("minutely", "* * * * *"),
            ("hourly", "0 * * * *"),
            ("daily", "0 0 * * *"),
            ("weekly", "0 0 * * MON"),
            ("quarterly UTC", "0 0 1 1,4,7,10 * UTC"),
            ("*-*-* 6,18:00", "0 6,18 * * *"),
            ("Mon..Fri *-*-* 8..18:0/15", "0/15 8-18 * * MON-FRI"),
            ("*-*-1/2", "0 0 1/2 * *"),
            ("*-*-1..5/2,20 4:5", "5 4 1-5/2,20 * *"),
            ("Sat,Mon-Wed 5:00 Europe/Berlin", "0 5 * * MON-WED,SAT Europe/Berlin"),
            ("Sat,Sun", "0 0 * * SAT,SUN"),
            ("10-15", "0 0 15 10 *"),
            ("*:0/90", "0 * * * *"),
            ("*:0..59/7", "0-59/7 * * * *"),
            ("*-*-* 00/6:00:00", "0 0/6 * * *"),
            ("Mon..Sun *-*-1..31 4:00", "0 4 * * *"),
        ] {
            assert_eq!(shown(written), expected, "{written}");
        }
    }

    #[test]
    fn seconds_years_and_days_from_the_end_are_carried_over() {
        for (written, expected) in [
            ("*-*-* *:*:30", "30 * * * * *"),
            ("*:*:0/15", "0/15 * * * * *"),
            ("2099-03-01 4:05", "0 5 4 1 3 * 2099"),
            ("Mon *-*-1..7 5:00", "0 5 * * 1#1"),
            ("Fri *-*~7/1 5:00", "0 5 * * 5L"),
            ("*-*~1 5:00", "0 5 L * *"),
            ("*-*~3", "0 0 L-2 * *"),
        ] {
            assert!(shown(written).starts_with(expected), "{written}: {}", shown(written));
        }
    }

    #[test]
    fn expressions_without_an_equivalent_are_refused() {
        for (written, expected) in [
            ("Mon *-*-13", "both match"),
            ("Mon *-*~3", "both match"),
            ("05:40:23.42", "fractions"),
            ("*:*/15", "`*` is not a number"),
            ("Fri..Mon", "wraps around the end"),
            ("often", "neither a weekday nor a shortcut"),
            ("@1395716396", "neither a date nor a time"),
            ("25:00", "not a number from 0 to 23"),
            ("1:2:3:4", "not a time of day"),
            ("*-*-1/0", "not a step"),
            ("*-02-30", "never"),
        ] {
            let problem = shown(written);
            assert!(problem.starts_with('!') && problem.contains(expected), "{written}: {problem}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "",
            " ",
            ":",
            "-",
            "~",
            "::",
            "*-*",
            "0/0:0",
            "..:..",
            "Mon..",
            ",",
            "é:ö",
            "1..:2",
            "*-*-*~",
            "99999999999:1",
        ] {
            let _ = timings(text, None);
        }
    }
}
