//! `sexton schedule next` and `schedule describe`: when something comes, worked out without a database.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;

use super::{
    output::{Output, say},
    schedule::find,
    session::Session,
    time,
};
use crate::{
    clock::machine_time,
    domain::{cron::CronExpr, recurrence::Recurrence, schedule::Schedule, zone},
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

impl Which {
    /// The schedule, and the zone that it is told in.
    fn find(&self, session: &Session) -> anyhow::Result<(Schedule, Tz)> {
        let asked = self.timezone.as_deref().map(zone::named).transpose().map_err(anyhow::Error::msg)?;
        if let Some(text) = &self.cron {
            let expr: CronExpr = text.parse().map_err(|error| anyhow::anyhow!("--cron: {error}"))?;
            let rule = Recurrence::cron(expr, asked.unwrap_or(Tz::UTC));
            let own = rule.zone().unwrap_or(Tz::UTC);
            return Ok((Schedule::new("", vec![rule]), asked.unwrap_or(own)));
        }
        let config = session.config()?;
        let name = self.name.as_deref().context("name a schedule, or give an expression by --cron")?;
        let schedule = find(&config, name)?.clone();
        let own = schedule.recurrences.iter().find_map(Recurrence::zone);
        Ok((schedule, asked.or(own).unwrap_or(config.daemon.timezone)))
    }
}

/// Prints the instants that come next.
pub(super) fn next(
    session: &Session,
    output: Output,
    which: &Which,
    count: usize,
    from: Option<&str>,
) -> anyhow::Result<u8> {
    let (schedule, zone) = which.find(session)?;
    let from = from.map_or(Ok(machine_time()), |from| time::parse(from, zone))?;
    let instants: Vec<_> =
        std::iter::successors(schedule.next_after(from), |at| schedule.next_after(*at)).take(count).collect();
    if output.is_json() {
        let objects: Vec<_> = instants
            .iter()
            .map(|at| json!({ "at": at.with_timezone(&zone).to_rfc3339(), "utc": at.to_rfc3339() }))
            .collect();
        output.value(&objects)?;
        return Ok(0);
    }
    if instants.is_empty() && count > 0 {
        say!("It does not come any more: {}", schedule.describe());
    }
    for at in instants {
        say!("{}{}", at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %:z %Z"), clocks(zone, at));
    }
    Ok(0)
}

/// Prints the sentence.
pub(super) fn describe(session: &Session, output: Output, which: &Which) -> anyhow::Result<u8> {
    let sentence = which.find(session)?.0.describe();
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
