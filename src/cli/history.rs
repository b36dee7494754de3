//! `sexton history`.

use clap::Args;
use sexton_entities::states::{Outcome, Verdict};

use super::{
    judged::judged,
    log,
    output::{Column, Printer, or_dash},
    selection::{check_values, unknown_word},
    session::{Session, with_advice},
    time, why,
};
use crate::{
    domain::{
        identity::QueueName,
        text::{duration, instant::Sense},
    },
    store::HistoryFilter,
};

/// Upper limit of instants of a schedule.
const MAX_INSTANTS: u64 = 100_000;

#[derive(Args)]
pub(super) struct HistoryArgs {
    /// Only attempts of this task definition
    #[arg(long)]
    name: Option<String>,
    /// Show each instant of this schedule and what happened to it, also without an attempt; with another filter, its
    /// attempts
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Only attempts with this outcome
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Only attempts with this verdict
    #[arg(long, value_parser = verdict)]
    verdict: Option<Verdict>,
    /// Only attempts in this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only attempts on this node, or on the nodes of this name
    #[arg(long)]
    node: Option<String>,
    /// Only attempts since this time: 15:56, `yesterday 22:00`, 2026-12-24, an instant in RFC 3339, or 2h for the last two hours
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Maximum number, the newest first
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: u64,
    /// Show the captured output of each attempt
    #[arg(long)]
    output: bool,
}

fn outcome(word: &str) -> Result<Outcome, String> {
    let all = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    Outcome::from_word(word).ok_or_else(|| unknown_word(word, all))
}

fn verdict(word: &str) -> Result<Verdict, String> {
    let all = Verdict::ALL.iter().map(|verdict| verdict.as_str());
    Verdict::from_word(word).ok_or_else(|| unknown_word(word, all))
}

impl HistoryArgs {
    /// Whether only the attempts of a schedule are wanted, and not all its instants.
    fn wants_attempts(&self) -> bool {
        let words = [self.outcome.is_some(), self.verdict.is_some(), self.output];
        let names = [self.name.is_some(), self.queue.is_some(), self.node.is_some()];
        words.into_iter().chain(names).any(|given| given)
    }
}

pub(super) async fn run(session: &Session, output: Printer, args: HistoryArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    // Database time, as in the rows.
    let now = open.store.now().await?;
    let since = args.since.as_deref().map(|since| time::parse(since, output.zone(), Sense::Past, now)).transpose()?;
    if let Some(name) = args.schedule.as_ref().filter(|_| !args.wants_attempts()) {
        let background = why::background(&open, name).await?;
        let accounts = why::latest(&open, &background, since, args.limit.min(MAX_INSTANTS)).await?;
        why::list(output, &accounts)?;
        return Ok(0);
    }
    let filter = HistoryFilter {
        name: args.name,
        outcome: args.outcome,
        verdict: args.verdict,
        queue: args.queue,
        schedule: args.schedule,
        node: args.node,
        since,
        limit: args.limit,
        task_id: None,
    };
    let rows = open.store.history(&filter).await.map_err(with_advice)?;
    if rows.is_empty() {
        check_values(session, &open, &filter).await?;
    }
    if args.output {
        return log::of_attempts(&open, output, &rows).await;
    }
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
    let rows = judged(&open, rows).await?;
    output.list(&rows, columns, "No matching attempts.", |judged| {
        let row = &judged.attempt;
        [
            or_dash(row.task_id),
            row.name.clone(),
            row.attempt.to_string(),
            row.outcome.to_string(),
            or_dash(row.verdict),
            output.time(row.finished_at),
            or_dash(row.duration_ms.map(duration::short)),
            or_dash(judged.remark()),
        ]
    })?;
    output.note_limit(rows.len(), filter.limit, "--limit");
    Ok(0)
}
