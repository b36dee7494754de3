//! `sexton history`.

use clap::Args;
use sexton_entities::{history, states::Outcome};

use super::{
    output::{Printer, or_dash},
    session::{Session, with_advice},
    time, why,
};
use crate::{
    domain::{command::left_behind, text::duration},
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
    /// Only attempts since this time, or of this duration until now
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
    let now = open.store.now().await?;
    let since =
        args.since.as_deref().map(|since| time::parse_since(since, open.config.daemon.timezone, now)).transpose()?;
    if let Some(name) = &args.schedule {
        let background = why::background(&open, name).await?;
        let accounts = why::latest(&open, &background, since, args.limit.min(MAX_INSTANTS)).await?;
        why::list(output, &accounts)?;
        return Ok(0);
    }
    let filter = HistoryFilter { name: args.name, outcome: args.outcome, since, limit: args.limit, task_id: None };
    let rows = open.store.history(&filter).await.map_err(with_advice)?;
    let columns = ["Task", "Name", "Attempt", "Outcome", "Verdict", "Finished", "Duration", "Error"];
    output.list(&rows, columns, "No matching attempts.", |row| {
        [
            or_dash(row.task_id),
            row.name.clone(),
            row.attempt.to_string(),
            row.outcome.to_string(),
            or_dash(row.verdict),
            time::text(row.finished_at),
            or_dash(row.duration_ms.map(duration::short)),
            or_dash(remark(row)),
        ]
    })?;
    Ok(0)
}

/// What is remarkable about an attempt, for people: why it did not succeed, and the processes that it left behind.
pub(super) fn remark(row: &history::Model) -> Option<String> {
    let left = row.left_behind.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0).map(left_behind);
    let parts: Vec<String> = row.error.clone().into_iter().chain(left).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
