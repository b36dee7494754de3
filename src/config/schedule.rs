//! `schedule = …` of a task: a crontab expression, a table, or a list of either.

use std::time::Duration;

use chrono_tz::Tz;
use sexton_entities::states::Required;

use super::{
    mistake::Findings,
    section::Section,
    tree::{TreeNode, TreeValue},
};
use crate::domain::{
    cron::CronExpr,
    schedule::{
        Schedule,
        moment::Moment,
        recurrence::{Follows, Recurrence},
        weekly::{DayTimes, WeekDays, Weekly, time_of_day},
        zone::Dst,
    },
};

/// The forms of a table: the settings of each, of which the first identifies the form.
const FORMS: [&[&str]; 6] = [
    &["cron"],
    &["every", "anchor"],
    &["at"],
    &["week_days", "time"],
    &["days", "hours", "minutes"],
    &["after", "when"],
];
/// The ends of a run that another schedule may require.
const ENDS: [(&str, Required); 3] =
    [("success", Required::Success), ("failure", Required::Failure), ("always", Required::Always)];

/// Reads the schedule of a task.
pub(super) fn read(name: &str, path: &str, node: &TreeNode, zone: Tz, findings: &mut Findings) -> Schedule {
    let mut schedule = Schedule::new(name, Vec::new());
    match &node.item {
        TreeValue::List(items) if items.is_empty() => {
            findings.add(&node.location, path, "the list is empty: omit the setting for a task without a schedule");
        }
        TreeValue::List(items) => items.iter().for_each(|item| add(&mut schedule, path, item, zone, findings)),
        _ => add(&mut schedule, path, node, zone, findings),
    }
    // Most have one recurrence, and a vector begins with room for four.
    schedule.recurrences.shrink_to_fit();
    schedule
}

fn add(schedule: &mut Schedule, path: &str, node: &TreeNode, zone: Tz, findings: &mut Findings) {
    match &node.item {
        TreeValue::Text(text) => match CronExpr::parse(text, &schedule.name) {
            Ok(expr) => schedule.recurrences.push(Recurrence::cron(expr, zone)),
            Err(error) => findings.add(&node.location, path, error.to_string()),
        },
        TreeValue::Table(_) => {
            let mut section = Section::new(path, node, findings);
            add_table(schedule, &mut section, zone);
            section.finish();
        }
        other => {
            let problem = format!(
                "expected a crontab expression, {{ cron = … }}, {{ every = … }} or another table, or a list of them, found {}",
                other.kind()
            );
            findings.add(&node.location, path, problem);
        }
    }
}

/// Reads the recurrence that a table has among its settings, and its jitter.
pub(super) fn add_table(schedule: &mut Schedule, section: &mut Section<'_>, zone: Tz) {
    let recurrence = table(section, &schedule.name, zone);
    schedule.recurrences.reserve_exact(1);
    schedule.recurrences.extend(recurrence);
    jitter(section, schedule);
}

/// Whether a table has a recurrence, or a part of one, among its settings.
pub(super) fn has_recurrence(section: &mut Section<'_>) -> bool {
    FORMS.concat().into_iter().any(|key| section.node(key).is_some())
}

/// Reads the jitter, which is the same for all recurrences of a task.
fn jitter(section: &mut Section<'_>, schedule: &mut Schedule) {
    let Some(jitter) = section.duration("jitter", Duration::from_millis(1)) else { return };
    if schedule.jitter.is_some_and(|other| other != jitter) {
        section.refuse("jitter", "another entry of the list has another jitter, but a schedule has only one");
    }
    schedule.jitter = Some(jitter);
}

fn table(section: &mut Section<'_>, name: &str, default_zone: Tz) -> Option<Recurrence> {
    for key in FORMS.concat() {
        section.node(key);
    }
    let own_zone = section.zone("timezone");
    let zone = own_zone.unwrap_or(default_zone);
    let dst = section.choice("dst", &Dst::WORDS);
    let form = form(section)?;
    if !matches!(form, "cron" | "week_days" | "days") && section.node("dst").is_some() {
        section.refuse("dst", "this setting needs a recurrence on wall clocks: `cron`, `week_days` or `days`");
    }
    let recurrence = match form {
        "cron" => cron(section, name, own_zone, zone, dst),
        "every" => every(section, zone),
        "at" => at(section, zone),
        "after" => after(section),
        form => weekly(section, form == "week_days", zone, dst),
    }?;
    if own_zone.is_some() && recurrence.zone().is_none() {
        section.refuse(
            "timezone",
            match recurrence {
                Recurrence::Every(_) => "an interval has no time zone: it follows real time",
                Recurrence::After(_) => "a schedule that runs after others has no times of its own",
                _ => "the time has its own offset",
            },
        );
    }
    Some(recurrence)
}

/// The form of the table. No form, more than one form or an incomplete form is a mistake.
fn form(section: &mut Section<'_>) -> Option<&'static str> {
    let mut named: Vec<&[&'static str]> = Vec::new();
    for form in FORMS {
        if form.iter().any(|key| section.node(key).is_some()) {
            named.push(form);
        }
    }
    let [form] = named[..] else {
        section.refuse(
            "",
            "expected one of `cron`, `every`, `at`, `week_days` with `time`, `days` with `hours` and `minutes`, or `after`",
        );
        return None;
    };
    let optional = |key: &str| matches!(key, "anchor" | "when");
    for key in form.iter().filter(|key| !optional(key)) {
        if section.node(key).is_none() {
            let others: Vec<String> = form.iter().filter(|other| *other != key).map(|key| format!("`{key}`")).collect();
            let verb = if others.len() == 1 { "needs" } else { "need" };
            section.refuse("", format!("`{key}` is missing, which {} {verb}", others.join(" and ")));
            return None;
        }
    }
    form.first().copied()
}

fn cron(section: &mut Section<'_>, name: &str, own: Option<Tz>, zone: Tz, dst: Option<Dst>) -> Option<Recurrence> {
    let text = section.text("cron")?;
    let expr = CronExpr::parse(&text, name).map_err(|error| section.refuse("cron", error.to_string())).ok()?;
    if expr.zone().is_some() && own.is_some() {
        section.refuse("timezone", "the expression has its own time zone: keep one of them");
    }
    Some(Recurrence::Cron { zone: expr.zone().unwrap_or(zone), expr, dst: dst.unwrap_or_default() })
}

fn every(section: &mut Section<'_>, zone: Tz) -> Option<Recurrence> {
    let interval = section.duration("every", Duration::from_millis(100))?;
    match section.node("anchor") {
        None => Some(Recurrence::Every(interval)),
        Some(_) => Some(Recurrence::EveryFrom { interval, anchor: moment(section, "anchor", zone)?, zone }),
    }
}

/// The names are checked when all schedules are known.
fn after(section: &mut Section<'_>) -> Option<Recurrence> {
    let schedules = section.texts("after")?;
    let required = section.choice("when", &ENDS).unwrap_or(Required::Success);
    if schedules.is_empty() {
        section.refuse("after", "the list is empty");
        return None;
    }
    Some(Recurrence::After(Follows { schedules, required }))
}

fn at(section: &mut Section<'_>, zone: Tz) -> Option<Recurrence> {
    Some(Recurrence::At { moment: moment(section, "at", zone)?, zone })
}

/// A time that the clocks of the zone show.
fn moment(section: &mut Section<'_>, key: &'static str, zone: Tz) -> Option<Moment> {
    let moment: Moment = section.parsed(key)?;
    if let Moment::Wall(wall) = moment
        && !crate::domain::schedule::zone::exists(zone, wall)
    {
        section.refuse(key, format!("{moment} does not exist in {zone}: the clocks go forward over it"));
    }
    Some(moment)
}

fn weekly(section: &mut Section<'_>, is_single: bool, zone: Tz, dst: Option<Dst>) -> Option<Recurrence> {
    let (days, times) = if is_single {
        let days = week_days(section, "week_days");
        let time = section.text("time")?;
        let time = time_of_day(&time).map_err(|problem| section.refuse("time", problem)).ok();
        (days, time.map(DayTimes::At))
    } else {
        let days = week_days(section, "days");
        let (hours, minutes) = (numbers(section, "hours", 23), numbers(section, "minutes", 59));
        (days, hours.zip(minutes).map(|(hours, minutes)| DayTimes::Grid { hours, minutes }))
    };
    let weekly = Weekly::new(days?, times?).map_err(|problem| section.refuse("", problem)).ok()?;
    Some(Recurrence::Weekly { weekly, zone, dst: dst.unwrap_or_default() })
}

/// A list of days: numbers or names.
fn week_days(section: &mut Section<'_>, key: &'static str) -> Option<WeekDays> {
    let words: Option<Vec<String>> = match &section.node(key)?.item {
        TreeValue::List(items) => items
            .iter()
            .map(|item| match &item.item {
                TreeValue::Text(text) => Some(text.clone()),
                TreeValue::Integer(number) => Some(number.to_string()),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    let Some(words) = words else {
        section.refuse(key, "expected a list of days: numbers from 0 (Sunday) to 7 (Sunday) or names such as \"mon\"");
        return None;
    };
    WeekDays::read(words.iter().map(String::as_str)).map_err(|problem| section.refuse(key, problem)).ok()
}

fn numbers(section: &mut Section<'_>, key: &'static str, most: i64) -> Option<Vec<u16>> {
    let numbers = section.integers(key, 0..=most)?;
    if numbers.is_empty() {
        section.refuse(key, "the list is empty");
        return None;
    }
    // A number out of range is a mistake already.
    numbers.into_iter().map(|number| u16::try_from(number).ok().filter(|number| i64::from(*number) <= most)).collect()
}
