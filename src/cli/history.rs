//! `sexton history`.

use clap::Args;
use sexton_entities::states::Outcome;

use super::{
    output::{Column, Printer, or_dash},
    session::{Session, with_advice},
    time, why,
};
use crate::{
    domain::text::{duration, instant::Sense},
    store::HistoryFilter,
};

/// Upper limit of instants of a schedule.
const MAX_INSTANTS: u64 = 100_000;

#[derive(Args)]
pub(super) struct HistoryArgs {
    /// Only attempts of this task definition
    #[arg(long)]
    name: Option<String>,
    /// Show each instant of this schedule and what happened to it, also without an attempt
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "outcome"])]
    schedule: Option<String>,
    /// Only attempts with this outcome
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Only attempts since this time: 15:56, `yesterday 22:00`, 2026-12-24, an instant in RFC 3339, or 2h for the last two hours
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Maximum number, the newest first
    #[arg(long, default_value_t = 50)]
    limit: u64,
}

fn outcome(word: &str) -> Result<Outcome, String> {
    let all: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    Outcome::from_word(word).ok_or_else(|| format!("expected one of {}", all.join(", ")))
}

pub(super) async fn run(session: &Session, output: Printer, args: HistoryArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    // Database time, as in the rows.
    let now = open.store.now().await?;
    let since = args.since.as_deref().map(|since| time::parse(since, output.zone(), Sense::Past, now)).transpose()?;
    if let Some(name) = &args.schedule {
        let background = why::background(&open, name).await?;
        let accounts = why::latest(&open, &background, since, args.limit.min(MAX_INSTANTS)).await?;
        why::list(output, &accounts)?;
        return Ok(0);
    }
    let filter = HistoryFilter { name: args.name, outcome: args.outcome, since, limit: args.limit, task_id: None };
    let rows = open.store.history(&filter).await.map_err(with_advice)?;
    let columns = [
        Column::value("Task"),
        Column::name("Name"),
        Column::value("Attempt").leaves(3),
        Column::word("Outcome"),
        Column::word("Verdict").leaves(2),
        Column::value("Finished"),
        Column::value("Duration").leaves(1),
        Column::prose("Error"),
    ];
    output.list(&rows, columns, "No matching attempts.", |row| {
        [
            or_dash(row.task_id),
            row.name.clone(),
            row.attempt.to_string(),
            row.outcome.to_string(),
            or_dash(row.verdict),
            output.time(row.finished_at),
            or_dash(row.duration_ms.map(duration::short)),
            or_dash(row.error.clone()),
        ]
    })?;
    Ok(0)
}
