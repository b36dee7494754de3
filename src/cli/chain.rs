//! Tasks that wait for others on the command line: the options of `task add`, and what a task waits for.

use std::collections::HashMap;

use clap::Args;
use sexton_client::domain::chain::GONE;
use sexton_entities::{
    history,
    states::{FanIn, Required, TaskState},
    task,
};

use super::{
    output::print_line,
    selection::unknown_word,
    session::{OpenSession, with_advice},
};
use crate::{domain::task::NewTask, store::PredecessorRow};

/// Maximum number of predecessors that a sentence names.
const MAX_NAMED: usize = 4;

/// The place of a new task in chains and groups.
#[derive(Args)]
pub(super) struct ChainArgs {
    /// Let it wait for the end of these tasks
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    after: Vec<i64>,
    /// Let it wait until no task of this group is unfinished
    #[arg(long, value_name = "NAME")]
    after_group: Vec<String>,
    /// Which end of them lets it begin: success, failure or always [default: success]
    #[arg(long, value_name = "END", value_parser = required)]
    when: Option<Required>,
    /// Let it begin after the first of them that ends so
    #[arg(long)]
    any: bool,
    /// Put it into this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

fn required(word: &str) -> Result<Required, String> {
    let all = Required::ALL.iter().map(|required| required.as_str());
    Required::from_word(word).ok_or_else(|| unknown_word(word, all))
}

impl ChainArgs {
    /// The task in its place.
    ///
    /// # Errors
    /// If an option has a meaning only with another one that is absent.
    pub(super) fn apply(self, task: NewTask) -> anyhow::Result<NewTask> {
        let Self { after, after_group, when, any, group } = self;
        let is_alone = after.is_empty() && after_group.is_empty();
        anyhow::ensure!(!is_alone || (when.is_none() && !any), "--when and --any need --after or --after-group");
        Ok(NewTask { after, after_groups: after_group, when, any, group, ..task })
    }
}

/// What a task that has just been enqueued waits for, or why it does not any more.
pub(super) async fn note_of_new(open: &OpenSession, id: i64) -> anyhow::Result<Option<String>> {
    let Some(task) = open.store.task(id).await.map_err(with_advice)? else {
        let last = open.attempts(id).await?.pop();
        return Ok(last.and_then(|row| row.error).map(|error| format!("it is skipped at once: {error}")));
    };
    Ok(match task.state == TaskState::Waiting {
        true => Some(sentence(&open.store.predecessors(&[id]).await.map_err(with_advice)?)),
        false => None,
    })
}

/// Of each of these tasks that waits, what it waits for.
pub(super) async fn sentences(open: &OpenSession, tasks: &[task::Model]) -> anyhow::Result<HashMap<i64, String>> {
    let ids: Vec<i64> = tasks.iter().map(|task| task.id).collect();
    let mut rows: HashMap<i64, Vec<PredecessorRow>> = HashMap::new();
    for row in open.store.predecessors(&ids).await.map_err(with_advice)? {
        rows.entry(row.task_id).or_default().push(row);
    }
    Ok(rows.into_iter().map(|(id, rows)| (id, sentence(&rows))).collect())
}

/// What a task waits for, by its predecessors.
pub(super) fn sentence(rows: &[PredecessorRow]) -> String {
    let open: Vec<&PredecessorRow> = rows.iter().filter(|row| row.outcome.is_none()).collect();
    let Some(first) = open.first() else { return "it waits for nothing that is known".to_owned() };
    let end = match Required::from_word(&first.required) {
        Some(Required::Always) | None => "end",
        Some(Required::Success) => "success",
        Some(Required::Failure) => "failure",
    };
    let any = first.fan_in == FanIn::Any.as_str() && open.len() > 1;
    let mut names: Vec<String> = open.iter().take(MAX_NAMED).map(|row| named(row)).collect();
    if open.len() > names.len() {
        names.push(format!("{} more", open.len() - names.len()));
    }
    let last = names.pop().unwrap_or_default();
    let word = if any { "or" } else { "and" };
    let names = if names.is_empty() { last } else { format!("{} {word} {last}", names.join(", ")) };
    format!("it waits for the {end} of {names}")
}

/// `task 12 (import, running)`, or `group nightly`.
fn named(row: &PredecessorRow) -> String {
    match (&row.after_id, &row.after_group) {
        (Some(id), _) => {
            let known: Vec<&str> = [&row.name, &row.state].into_iter().flatten().map(String::as_str).collect();
            let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
            format!("task {id}{known}")
        }
        (None, Some(group)) => format!("group {group}"),
        (None, None) => "nothing".to_owned(),
    }
}

/// Prints how the tasks ended for which this one waited, and which ones wait for it.
pub(super) async fn print(
    open: &OpenSession,
    id: i64,
    task: Option<&task::Model>,
    attempts: &[history::Model],
) -> anyhow::Result<()> {
    let ended = || attempts.last().and_then(|row| row.group_name.as_deref());
    let group = task.map_or_else(ended, |task| task.group_name.as_deref());
    if let Some(group) = group {
        print_line!("group {group}");
    }
    let rows = open.store.predecessors(&[id]).await.map_err(with_advice)?;
    for row in rows.iter().filter(|row| row.outcome.is_some()) {
        let outcome = row.outcome.as_deref().unwrap_or_default();
        let ended =
            if outcome == GONE { "which is on no record".to_owned() } else { format!("which ended as {outcome}") };
        print_line!("after {}, {ended}", named(row));
    }
    for follower in open.store.followers_of(id).await.map_err(with_advice)? {
        print_line!("task {} ({}) waits for it", follower.id, follower.name);
    }
    Ok(())
}
