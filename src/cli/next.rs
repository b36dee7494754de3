//! `sexton schedule next` and `schedule describe`: the instants of a schedule, computed. Only a schedule that no file has is looked for in the database.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;

use super::{
    lookup,
    output::{Printer, print_error, print_line},
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
        text::instant::Sense,
    },
};

/// A schedule, or a crontab expression.
#[derive(Args)]
pub(super) struct ScheduleChoice {
    /// The schedule's name
    #[arg(required_unless_present = "cron")]
    name: Option<String>,
    /// A crontab expression instead of a name; needs no configuration
    #[arg(long, value_name = "EXPR", conflicts_with = "name")]
    cron: Option<String>,
    /// Time zone of the expression and of the output [default: the schedule's, or UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// The schedule, its period, and the time zone of the output.
struct FoundSchedule {
    schedule: Schedule,
    period: Option<Arc<Period>>,
    zone: Tz,
}

impl ScheduleChoice {
    async fn find(&self, session: &Session) -> anyhow::Result<FoundSchedule> {
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
        let name = self.name.as_deref().context("give the name of a schedule, or an expression with --cron")?;
        let config = match config.scheduled(name) {
            Some(_) => config,
            None => config.with_database_schedules(&session.database_schedules().await, &session.registered()),
        };
        let schedule = lookup::schedule(&config, name)?.clone();
        let own = schedule.recurrences.iter().find_map(Recurrence::zone);
        let period = schedule.period.as_ref().and_then(|name| config.periods.get(name)).cloned();
        Ok(FoundSchedule { schedule, period, zone: asked.or(own).unwrap_or(config.daemon.zone()) })
    }
}

/// The selection of instants.
#[derive(Args)]
pub(super) struct NextArgs {
    /// Number of instants
    #[arg(short = 'n', long, default_value_t = 5)]
    count: usize,
    /// Instants after this time, on the clocks of the schedule: 15:56, `tomorrow 08:00`, 2026-12-24 or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Include instants that are skipped because they are outside the schedule's period
    #[arg(long)]
    all: bool,
}

/// Prints the next instants.
pub(super) async fn next(
    session: &Session,
    output: Printer,
    which: &ScheduleChoice,
    args: &NextArgs,
) -> anyhow::Result<u8> {
    let found = which.find(session).await?;
    let zone = found.zone;
    let now = machine_time();
    let from = args.from.as_deref().map_or(Ok(now), |from| time::parse(from, zone, Sense::Today, now))?;
    let outlook = upcoming::next(&found.schedule, found.period.as_deref(), from, args.count, args.all);
    if output.is_json() {
        let objects: Vec<_> = outlook.coming.iter().map(|coming| object(&found, *coming)).collect();
        output.value(&objects)?;
        if let Some(until) = outlook.gave_up_at {
            print_error!("sexton: all further instants until {} are outside the period", local_text(zone, until));
        }
        return Ok(0);
    }
    let outside = found.period.as_ref().map(|period| format!("outside period {}", period.name)).unwrap_or_default();
    for Upcoming { at, place } in &outlook.coming {
        let place = match place {
            PeriodPlace::Inside => String::new(),
            PeriodPlace::Skipped => format!("  (skipped: {outside})"),
            PeriodPlace::Held(begin) => format!("  (held until {}: {outside})", local_text(zone, *begin)),
            PeriodPlace::Coalesced(into) => format!("  (coalesced into {}: {outside})", local_text(zone, *into)),
        };
        print_line!("{}{}{place}", local_text(zone, *at), clock_change(zone, *at));
    }
    if let Some(until) = outlook.gave_up_at {
        print_line!("All further instants until {} are {outside}", local_text(zone, until));
    } else if outlook.coming.is_empty() && (found.schedule.is_at_start() || found.schedule.follows().next().is_some()) {
        print_line!("No other instants: {}", found.schedule.describe());
    } else if outlook.coming.is_empty() && args.count > 0 {
        print_line!("No further instants: {}", found.schedule.describe());
    }
    Ok(0)
}

fn local_text(zone: Tz, at: DateTime<Utc>) -> String {
    at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %:z %Z").to_string()
}

/// An instant as JSON; if the schedule has a period, with its position relative to it.
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

/// Prints the description of a schedule.
pub(super) async fn describe(session: &Session, output: Printer, which: &ScheduleChoice) -> anyhow::Result<u8> {
    let sentence = which.find(session).await?.schedule.describe();
    output.report(&sentence, &json!({ "description": sentence }))?;
    Ok(0)
}

/// The change of the clocks on the day of an instant, if there is one.
fn clock_change(zone: Tz, at: DateTime<Utc>) -> String {
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
