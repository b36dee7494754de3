//! Filters of tasks on the command line, and the messages for values that nothing has.

use anyhow::Context as _;
use clap::Args;
use sexton_entities::states::TaskState;

use super::{
    output::Printer,
    session::{OpenSession, Session, with_advice},
    time,
};
use crate::{
    domain::{
        identity::QueueName,
        text::{instant::Sense, suggest},
    },
    store::{HistoryFilter, TaskFilter, TaskSelection},
};

/// Selects tasks instead of naming their ids.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SelectionArgs {
    /// All tasks of this definition
    #[arg(long)]
    pub(super) name: Option<String>,
    /// All tasks in this queue
    #[arg(long)]
    pub(super) queue: Option<QueueName>,
    /// All tasks in this state
    #[arg(long, value_parser = state)]
    pub(super) state: Option<TaskState>,
    /// All tasks of this schedule
    #[arg(long)]
    pub(super) schedule: Option<String>,
    /// All tasks enqueued (with --discarded: ended) since this time: 15:56, `yesterday 22:00`, RFC 3339, or 2h for the
    /// last two hours
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
}

/// The arguments of [`SelectionArgs`], for `conflicts_with_all` and the like.
pub(super) const FILTERS: [&str; 5] = ["name", "queue", "state", "schedule", "since"];

impl SelectionArgs {
    /// What they select.
    ///
    /// # Errors
    /// If the time is not one.
    pub(super) async fn selection(&self, open: &OpenSession, output: Printer) -> anyhow::Result<TaskSelection> {
        let now = open.store.now().await.map_err(with_advice)?;
        let since = self.since.as_deref().map(|since| time::parse(since, output.zone(), Sense::Past, now));
        Ok(TaskSelection {
            name: self.name.clone(),
            queue: self.queue.clone(),
            states: self.state.into_iter().collect(),
            schedule: self.schedule.clone(),
            since: since.transpose().context("--since")?,
            ..TaskSelection::default()
        })
    }
}

/// Parses a state.
///
/// # Errors
/// If there is no such state.
pub(super) fn state(word: &str) -> Result<TaskState, String> {
    let all = TaskState::ALL.iter().map(|state| state.as_str());
    TaskState::from_word(word).ok_or_else(|| unknown_word(word, all))
}

/// The message that a word is not one of these.
pub(super) fn unknown_word<'a>(word: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.into_iter().collect();
    format!("expected one of {}{}", all.join(", "), suggest::hint(word, all.iter().copied()))
}

/// Checks the values of filters that have selected nothing: a name that neither the configuration nor the database has is
/// a mistake.
///
/// # Errors
/// If a value is unknown: with the nearest known one.
pub(super) async fn check_values(session: &Session, open: &OpenSession, filter: &HistoryFilter) -> anyhow::Result<()> {
    let config = &open.config;
    if let Some(name) = &filter.name
        && session.definition(config, name).is_none()
    {
        let one = HistoryFilter { name: Some(name.clone()), ..HistoryFilter::default() };
        let tasks = TaskFilter { name: Some(name.clone()), limit: 1, ..TaskFilter::default() };
        check(open, "task definition", name, one, Some(tasks), config.tasks.keys().cloned().collect()).await?;
    }
    if let Some(queue) = filter.queue.as_ref().filter(|queue| !config.queues.contains_key(*queue)) {
        let one = HistoryFilter { queue: Some(queue.clone()), ..HistoryFilter::default() };
        let tasks = TaskFilter { queue: Some(queue.clone()), limit: 1, ..TaskFilter::default() };
        let known = open.store.queues(&config.queues.keys().cloned().collect::<Vec<_>>()).await.map_err(with_advice)?;
        let known = known.into_iter().map(|queue| queue.name.to_string()).collect();
        check(open, "queue", queue, one, Some(tasks), known).await?;
    }
    if let Some(schedule) = &filter.schedule {
        let known: Vec<String> = open.store.schedules().await?.into_iter().map(|schedule| schedule.name).collect();
        let known = known.into_iter().chain(config.schedules().map(|schedule| schedule.name.clone())).collect();
        let one = HistoryFilter { schedule: Some(schedule.clone()), ..HistoryFilter::default() };
        check(open, "schedule", schedule, one, None, known).await?;
    }
    if let Some(node) = &filter.node {
        let nodes = open.store.nodes().await.map_err(with_advice)?;
        let known = nodes.into_iter().flat_map(|node| [node.name, node.id]).collect();
        let one = HistoryFilter { node: Some(node.clone()), ..HistoryFilter::default() };
        check(open, "node", node, one, None, known).await?;
    }
    Ok(())
}

async fn check(
    open: &OpenSession,
    what: &str,
    value: &str,
    history: HistoryFilter,
    tasks: Option<TaskFilter>,
    known: Vec<String>,
) -> anyhow::Result<()> {
    if known.iter().any(|known| known == value) {
        return Ok(());
    }
    let has_tasks = match tasks {
        Some(tasks) => !open.store.tasks(&tasks).await.map_err(with_advice)?.is_empty(),
        None => false,
    };
    if has_tasks || !open.store.history(&HistoryFilter { limit: 1, ..history }).await.map_err(with_advice)?.is_empty() {
        return Ok(());
    }
    anyhow::bail!("there is no {what} `{value}`{}", suggest::hint(value, known.iter().map(String::as_str)))
}
