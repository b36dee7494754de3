//! `sexton schedule why`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{
    output::{Output, say},
    session::{Open, explained},
    time,
};
use crate::domain::{
    schedule::Schedule,
    why::{Known, Plan, Seen},
};

/// The neighbour before an instant is looked for as far back as this: February 29th may be eight years ago.
const FAR: TimeDelta = TimeDelta::days(3_000);

/// Tells why a schedule did, or did not, run at a time; `schedule` is the one of the configuration.
pub(super) async fn run(
    open: &Open,
    output: Output,
    name: &str,
    schedule: Option<&Schedule>,
    at: &str,
) -> anyhow::Result<u8> {
    let at = time::parse(at, open.config.daemon.timezone)?;
    let now = open.store.now().await?;
    let known = known(open, name, schedule, at).await?;
    let sentence = known.sentence(name, at, now);
    if !output.is_json() {
        say!("{sentence}");
        return Ok(0);
    }
    let entry = known.occurrence.as_ref();
    let task = known.task.as_ref().map(|task| task.id).or_else(|| known.run.as_ref().and_then(|run| run.task_id));
    output.value(&json!({
        "schedule": name,
        "at": at,
        "why": sentence,
        "expected": known.plan.map(|plan| plan.is_expected),
        "before": known.plan.and_then(|plan| plan.before),
        "after": known.plan.and_then(|plan| plan.after),
        "fate": entry.map(|entry| entry.fate),
        "reason": entry.and_then(|entry| entry.reason.as_ref()),
        "task_id": task,
        "outcome": known.run.as_ref().map(|run| run.outcome),
        "verdict": known.run.as_ref().and_then(|run| run.verdict),
    }))?;
    Ok(0)
}

async fn known(open: &Open, name: &str, schedule: Option<&Schedule>, at: DateTime<Utc>) -> anyhow::Result<Known> {
    let seen = open.store.schedule(name).await.map_err(explained)?;
    anyhow::ensure!(
        seen.is_some() || schedule.is_some(),
        super::schedule::unknown(open.store.schedules().await?.iter().map(|known| known.name.as_str()), name)
    );
    let plan = schedule.map(|schedule| {
        let (before, is_expected, after) = schedule.around(at, at - FAR);
        Plan { is_expected, before, after }
    });
    let (occurrence, next) = open.store.occurrences_from(name, at).await.map_err(explained)?;
    let (task, run) = open.store.run_of(name, at).await.map_err(explained)?;
    let seen = seen.map(|seen| Seen { created_at: seen.created_at, last_at: seen.last_at, is_paused: seen.paused });
    Ok(Known { occurrence, task, run, seen, plan, ..Known::default() }.with_sum(next))
}
