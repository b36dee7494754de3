//! `sexton schedule next` and `schedule describe`: when something comes, worked out without a database.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;

use super::{
    lookup,
    output::{Printer, say},
    session::Session,
    time,
};
use crate::{
    clock::machine_time,
    domain::{
        cron::CronExpr,
        period::Period,
        schedule::{
            PeriodPlace, Schedule,
            recurrence::Recurrence,
            upcoming::{self, Upcoming},
            zone,
        },
    },
};

/// Which schedule: one of the configuration, or any expression.
#[derive(Args)]
pub(super) struct Which {
    /// The schedule's name
    #[arg(required_unless_present = "cron")]
    name: Option<String>,
    /// A crontab expression instead of a name; needs no configuration
    #[arg(long, value_name = "EXPR", conflicts_with = "name")]
    cron: Option<String>,
    /// The wall clocks of the expression and of what is printed [default: the schedule's, UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// A schedule that was found, and how it is told.
struct FoundSchedule {
    schedule: Schedule,
    period: Option<Arc<Period>>,
    zone: Tz,
}

impl Which {
    fn find(&self, session: &Session) -> anyhow::Result<FoundSchedule> {
        let asked = self.timezone.as_deref().map(zone::named).transpose().map_err(anyhow::Error::msg)?;
        if let Some(text) = &self.cron {
            let expr: CronExpr = text.parse().map_err(|error| anyhow::anyhow!("--cron: {error}"))?;
            let rule = Recurrence::cron(expr, asked.unwrap_or(Tz::UTC));
            let own = rule.zone().unwrap_or(Tz::UTC);
            return Ok(FoundSchedule {
                schedule: Schedule::new("", vec![rule]),
                period: None,
                zone: asked.unwrap_or(own),
            });
        }
        let config = session.config()?;
        let name = self.name.as_deref().context("name a schedule, or give an expression by --cron")?;
        let schedule = lookup::schedule(&config, name)?.clone();
        let own = schedule.recurrences.iter().find_map(Recurrence::zone);
        let period = schedule.period.as_ref().and_then(|name| config.periods.get(name)).cloned();
        Ok(FoundSchedule { schedule, period, zone: asked.or(own).unwrap_or(config.daemon.timezone) })
    }
}

/// Which instants of it.
#[derive(Args)]
pub(super) struct NextArgs {
    /// How many instants
    #[arg(short = 'n', long, default_value_t = 5)]
    count: usize,
    /// After this time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Also those that are skipped because they are outside the schedule's period
    #[arg(long)]
    all: bool,
}

/// Prints the instants that come next.
pub(super) fn next(session: &Session, output: Printer, which: &Which, asked: &NextArgs) -> anyhow::Result<u8> {
    let found = which.find(session)?;
    let zone = found.zone;
    let from = asked.from.as_deref().map_or(Ok(machine_time()), |from| time::parse(from, zone))?;
    let outlook = upcoming::next(&found.schedule, found.period.as_deref(), from, asked.count, asked.all);
    if output.is_json() {
        let objects: Vec<_> = outlook.coming.iter().map(|coming| object(&found, *coming)).collect();
        output.value(&objects)?;
        if let Some(until) = outlook.gave_up_at {
            eprintln!("sexton: all others until {} are outside the period", shown(zone, until));
        }
        return Ok(0);
    }
    let outside = found.period.as_ref().map(|period| format!("outside period {}", period.name)).unwrap_or_default();
    for Upcoming { at, place } in &outlook.coming {
        let place = match place {
            PeriodPlace::Inside => String::new(),
            PeriodPlace::Skipped => format!("  (skipped: {outside})"),
            PeriodPlace::Held(begin) => format!("  (held until {}: {outside})", shown(zone, *begin)),
            PeriodPlace::Coalesced(into) => format!("  (coalesced into {}: {outside})", shown(zone, *into)),
        };
        say!("{}{}{place}", shown(zone, *at), clocks(zone, *at));
    }
    if let Some(until) = outlook.gave_up_at {
        say!("All others until {} are {outside}", shown(zone, until));
    } else if outlook.coming.is_empty() && found.schedule.is_at_start() {
        say!("It has no other times: {}", found.schedule.describe());
    } else if outlook.coming.is_empty() && asked.count > 0 {
        say!("It does not come any more: {}", found.schedule.describe());
    }
    Ok(0)
}

fn shown(zone: Tz, at: DateTime<Utc>) -> String {
    at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %:z %Z").to_string()
}

/// An instant for programs; with a period, also where it is.
fn object(found: &FoundSchedule, Upcoming { at, place }: Upcoming) -> serde_json::Value {
    let mut object = json!({ "at": at.with_timezone(&found.zone).to_rfc3339(), "utc": at.to_rfc3339() });
    if found.period.is_some() {
        let (word, held_until, into) = match place {
            PeriodPlace::Inside => ("inside", None, None),
            PeriodPlace::Skipped => ("skipped", None, None),
            PeriodPlace::Held(begin) => ("held", Some(begin), None),
            PeriodPlace::Coalesced(into) => ("coalesced", None, Some(into)),
        };
        let local = |at: Option<DateTime<Utc>>| at.map(|at| at.with_timezone(&found.zone).to_rfc3339());
        object["place"] = json!(word);
        object["held_until"] = json!(local(held_until));
        object["coalesced_into"] = json!(local(into));
    }
    object
}

/// Prints the sentence.
pub(super) fn describe(session: &Session, output: Printer, which: &Which) -> anyhow::Result<u8> {
    let sentence = which.find(session)?.schedule.describe();
    output.done(&sentence, &json!({ "description": sentence }))?;
    Ok(0)
}

/// What the clocks do on the day of an instant, if they are set on it.
fn clocks(zone: Tz, at: DateTime<Utc>) -> String {
    let day = at.with_timezone(&zone).date_naive();
    let reach = TimeDelta::hours(48);
    let change = zone::changes(zone, at - reach, at + reach).find(|(before, behind)| {
        [before.date(), behind.date(), (*before - TimeDelta::seconds(1)).date()].contains(&day)
    });
    let Some((before, behind)) = change else { return String::new() };
    let format = if before.date() == behind.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    let verb = if behind > before { "forward" } else { "back" };
    format!("  (clocks go {verb} from {} to {})", before.format(format), behind.format(format))
}
