//! `sexton audit`: who did what, when, to what, and why.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sexton_entities::{
    audit,
    states::{AuditAction, AuditTarget, Via},
};

use super::{
    output::{Column, Printer, or_dash, print_error},
    pause::who,
    selection::unknown_word,
    session::{OpenSession, ReasonArgs, Session, with_advice},
    time,
};
use crate::{
    domain::text::{instant::Sense, plural::counted},
    store::{AuditFilter, Deed},
};

/// A deed outside the database is recorded within this time, or not at all.
const RECORDING_TIME: Duration = Duration::from_secs(5);
/// Deeds that are further apart are not shown as one.
const TOGETHER: TimeDelta = TimeDelta::seconds(60);
/// Maximum number of tasks that one row of the list names.
const MAX_NAMED: usize = 5;
/// Number of deeds that are read at once, and how often at most.
const PORTION: u64 = 1_000;
const MAX_PORTIONS: usize = 20;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List what was done by hand, the newest first
    List(AuditListArgs),
}

#[derive(Args)]
pub(super) struct AuditListArgs {
    /// Only this action, such as `pause`, `cancel` or `reload`
    #[arg(long, value_parser = action)]
    action: Option<AuditAction>,
    /// Only what was done to things of this kind, such as `queue` or `task`
    #[arg(long, value_parser = target)]
    target: Option<AuditTarget>,
    /// Only what was done to the queue, schedule, task definition or module of this name
    #[arg(long)]
    name: Option<String>,
    /// Only what was done to this task
    #[arg(long, value_name = "ID")]
    task: Option<i64>,
    /// Only what this login user or account did
    #[arg(long, value_name = "USER")]
    by: Option<String>,
    /// Only what was done on this host
    #[arg(long)]
    host: Option<String>,
    /// Only what was done by this way
    #[arg(long, value_parser = via)]
    via: Option<Via>,
    /// Only what was done since this time: 15:56, `yesterday 22:00`, 2026-12-24, RFC 3339, or 2h for the last two hours
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Maximum number, the newest first
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: u64,
}

fn action(word: &str) -> Result<AuditAction, String> {
    let all = AuditAction::ALL.iter().map(|action| action.as_str());
    AuditAction::from_word(word).ok_or_else(|| unknown_word(word, all))
}

fn target(word: &str) -> Result<AuditTarget, String> {
    let all = AuditTarget::ALL.iter().map(|target| target.as_str());
    AuditTarget::from_word(word).ok_or_else(|| unknown_word(word, all))
}

fn via(word: &str) -> Result<Via, String> {
    let all = Via::ALL.iter().map(|via| via.as_str());
    Via::from_word(word).ok_or_else(|| unknown_word(word, all))
}

pub(super) async fn run(session: &Session, output: Printer, command: AuditCommand) -> anyhow::Result<u8> {
    let AuditCommand::List(args) = command;
    let open = session.open().await?;
    let now = open.store.now().await?;
    let since = args.since.as_deref().map(|since| time::parse(since, output.zone(), Sense::Past, now));
    let filter = AuditFilter {
        action: args.action,
        target: args.target,
        name: args.name,
        task_id: args.task,
        by: args.by,
        host: args.host,
        via: args.via,
        since: since.transpose().context("--since")?,
        before: None,
        limit: args.limit,
    };
    if output.is_json() {
        output.value(&open.store.deeds(&filter).await.map_err(with_advice)?)?;
        return Ok(0);
    }
    let deeds = gathered(&open, filter.clone()).await?;
    let columns = [
        Column::value("When"),
        Column::name("By"),
        Column::value("Via").leaves(1),
        Column::value("Action"),
        Column::prose("Of"),
        Column::prose("Before").leaves(3),
        Column::prose("After").leaves(2),
        Column::prose("Reason"),
    ];
    let row = |Gathered { deed, tasks, .. }: &Gathered| {
        vec![
            output.time(deed.done_at),
            or_dash(who(deed.login.as_deref().or(deed.account.as_deref()), deed.host.as_deref())),
            deed.via.to_string(),
            deed.action.to_string(),
            of(deed, tasks),
            or_dash(deed.value_before.as_ref().map(shown)),
            or_dash(deed.value_after.as_ref().map(shown)),
            or_dash(deed.reason.clone()),
        ]
    };
    output.table(&columns, &deeds.iter().map(row).collect::<Vec<_>>(), "Nothing on record.");
    output.note_limit(deeds.len(), filter.limit, "--limit");
    Ok(0)
}

/// Deeds that are one to those who did them: the same, of several tasks, at about the same time.
struct Gathered {
    /// The latest of them.
    deed: audit::Model,
    /// The tasks, the latest first.
    tasks: Vec<i64>,
    /// When the earliest of them was done.
    since: DateTime<Utc>,
}

impl Gathered {
    /// Whether a command that took several tasks may have done that, too.
    fn takes(&self, earlier: &audit::Model) -> bool {
        let what = |deed: &audit::Model| {
            let by = (deed.via, deed.account.clone(), deed.login.clone(), deed.host.clone(), deed.reason.clone());
            (deed.action, deed.target, deed.value_after.clone(), by)
        };
        self.deed.target == AuditTarget::Task
            && earlier.task_id.is_some()
            && what(&self.deed) == what(earlier)
            && self.since - earlier.done_at <= TOGETHER
    }
}

/// The latest deeds, as many as are wanted once those of one command are gathered.
async fn gathered(open: &OpenSession, mut filter: AuditFilter) -> anyhow::Result<Vec<Gathered>> {
    let most = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let mut found: Vec<Gathered> = Vec::new();
    filter.limit = filter.limit.clamp(1, PORTION);
    for _ in 0..MAX_PORTIONS {
        let portion = open.store.deeds(&filter).await.map_err(with_advice)?;
        for deed in &portion {
            let count = found.len();
            match found.last_mut() {
                Some(last) if last.takes(deed) => {
                    last.tasks.extend(deed.task_id);
                    last.since = deed.done_at;
                }
                _ if count == most => return Ok(found),
                _ => found.push(Gathered {
                    tasks: deed.task_id.into_iter().collect(),
                    since: deed.done_at,
                    deed: deed.clone(),
                }),
            }
        }
        let Some(last) = portion.last().filter(|_| portion.len() as u64 == filter.limit) else { break };
        filter.before = Some(last.id);
        filter.limit = PORTION;
    }
    Ok(found)
}

/// `queue mail`, `task 17 (greet)`, `214 tasks (17, 18, 19, 20, 21, and 209 more)`.
fn of(deed: &audit::Model, tasks: &[i64]) -> String {
    let name = deed.name.clone().unwrap_or_default();
    if tasks.len() > 1 {
        let first: Vec<String> = tasks.iter().rev().take(MAX_NAMED).map(ToString::to_string).collect();
        let more = tasks.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        return format!("{} ({}{more})", counted(tasks.len(), "task"), first.join(", "));
    }
    match (deed.target, deed.task_id) {
        (AuditTarget::Cluster, _) => "everything".to_owned(),
        (AuditTarget::Database, _) => "the tables".to_owned(),
        (AuditTarget::Task, Some(id)) => format!("task {id} ({name})"),
        (target, Some(id)) => format!("{target} {name} (task {id})"),
        (target, None) => format!("{target} {name}"),
    }
}

/// The values of an object without its braces.
fn shown(value: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| format!("{name} {}", word(value))).collect::<Vec<_>>().join(", ")
        }
        other => word(other),
    }
}

/// Records a restart of the daemon on this host, if the database answers.
pub(super) async fn note_restart(session: &Session, reason: &ReasonArgs, before: Option<i32>, after: Option<i32>) {
    let recorded = tokio::time::timeout(RECORDING_TIME, async {
        let open = session.open().await?;
        let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
        let name = open.config.daemon.name.clone().unwrap_or(host);
        let deed = Deed::new(AuditAction::Restart, AuditTarget::Node, name);
        let deed = deed.from_to(json!({ "pid": before }), json!({ "pid": after }));
        open.because(reason).audit(&deed).await.map_err(with_advice)
    });
    let problem = match recorded.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "the database does not answer".to_owned(),
    };
    print_error!("sexton: the restart is not in the audit: {problem}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_braces() {
        assert_eq!(shown(&json!({ "state": "available", "paused_by": null })), "state available");
        assert_eq!(shown(&json!({ "applied": ["a"], "paused": true })), "applied [\"a\"], paused true");
        assert_eq!(shown(&json!(null)), "null");
    }
}
