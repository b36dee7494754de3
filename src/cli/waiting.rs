//! Why a task waits, and whether anybody serves its queue.

use serde_json::{Value, json};
use sexton_entities::{states::TaskState, task};

use super::{
    chain,
    output::Printer,
    pause,
    session::{OpenSession, Session, with_advice},
};
use crate::domain::{
    task::{
        names::{DefinedBy, NodeNames, defined_by},
        waiting::{ClusterQueues, ServedBy},
    },
    text::suggest,
};

/// Why a task waits, as a word for programs and a sentence for people.
pub(super) struct WhyItWaits {
    pub(super) code: &'static str,
    pub(super) sentence: String,
}

impl WhyItWaits {
    /// The sentence, or null, and the code, or null.
    pub(super) fn json(why: Option<&Self>) -> [Value; 2] {
        [json!(why.map(|why| &why.sentence)), json!(why.map(|why| why.code))]
    }
}

/// Why a task waits that could be executed now; none if nothing is known that holds it back.
pub(super) async fn why_it_waits(
    open: &OpenSession,
    output: Printer,
    task: &task::Model,
) -> anyhow::Result<Option<WhyItWaits>> {
    if task.state == TaskState::Waiting {
        let rows = open.store.predecessors(&[task.id]).await.map_err(with_advice)?;
        return Ok(Some(WhyItWaits { code: "predecessors", sentence: chain::sentence(&rows) }));
    }
    let is_due = task.state == TaskState::Available || task.unknown_since.is_some();
    if !is_due || task.state == TaskState::Running {
        return Ok(None);
    }
    if let Some((cause, sentence)) = pause::why_held(open, output, task.queue.as_deref()).await? {
        return Ok(Some(WhyItWaits { code: cause.code(), sentence }));
    }
    let live = open.store.live_names().await.map_err(with_advice)?;
    let since = task.unknown_since.map(|at| format!(" since {}", output.time(at))).unwrap_or_default();
    if let DefinedBy::Disabled(nodes) = defined_by(&task.name, &live) {
        let sentence = format!("{} is disabled on {}; it waits{since}", task.name, nodes.join(", "));
        return Ok(Some(WhyItWaits { code: "disabled", sentence }));
    }
    if !live.is_empty() && defined_by(&task.name, &live) == DefinedBy::Nobody {
        let sentence = format!("no node defines {}; it waits{since}", task.name);
        return Ok(Some(WhyItWaits { code: "not_defined", sentence }));
    }
    let now = open.store.now().await?;
    let queue = task.queue.as_deref();
    let rules = queue.map(|queue| open.config.rules_of(queue, now)).unwrap_or_default();
    let definition = open.config.tasks.get(&task.name);
    let by = definition.and_then(|definition| definition.max_parallel_by.as_ref());
    let rules = rules.for_task(definition.and_then(|definition| definition.max_parallel), by, task);
    let cluster = open.store.cluster_queues().await.map_err(with_advice)?;
    let cause = cluster.cause(queue, &task.name, rules, now);
    Ok(cause.map(|cause| WhyItWaits { code: cause.code(), sentence: format!("it has not begun: {cause}") }))
}

/// What somebody should know who has just put a task into a queue: that no node will take it for now.
pub(super) async fn nobody_takes(open: &OpenSession, queue: Option<&str>) -> anyhow::Result<Option<String>> {
    if open.store.halt().await.map_err(with_advice)?.maintenance.is_some() {
        return Ok(Some("maintenance is on: it waits".to_owned()));
    }
    let cluster = ClusterQueues { live: open.store.live_queues().await.map_err(with_advice)?, ..Default::default() };
    Ok(match (cluster.served_by(queue.unwrap_or_default()), queue) {
        (ServedBy::NoNode, _) => Some("no node is running".to_owned()),
        (ServedBy::Nobody, Some(queue)) => Some(format!("no node serves queue {queue}")),
        (ServedBy::Quiet, Some(queue)) => {
            Some(format!("each node that serves queue {queue} is quiet or about to stop"))
        }
        _ => None,
    })
}

/// The state of a task, and that its definition is disabled.
pub(super) fn listed_state(task: &task::Model, live: &[NodeNames]) -> String {
    let is_disabled = task.unknown_since.is_some() && matches!(defined_by(&task.name, live), DefinedBy::Disabled(_));
    if is_disabled { format!("{}, disabled", task.state) } else { task.state.to_string() }
}

/// What the live nodes define, if one of these tasks is set aside.
pub(super) async fn live_names_of(open: &OpenSession, tasks: &[task::Model]) -> anyhow::Result<Vec<NodeNames>> {
    match tasks.iter().any(|task| task.unknown_since.is_some()) {
        true => open.store.live_names().await.map_err(with_advice),
        false => Ok(Vec::new()),
    }
}

/// What somebody should know who has just enqueued a task of that name: that no node executes it for now.
pub(super) async fn nobody_executes(open: &OpenSession, name: &str) -> anyhow::Result<Option<String>> {
    let live = open.store.live_names().await.map_err(with_advice)?;
    Ok(match defined_by(name, &live) {
        DefinedBy::Nobody => Some(format!("no node defines `{name}`: it waits")),
        DefinedBy::Disabled(_) => Some(format!("`{name}` is disabled: it waits until it is enabled")),
        DefinedBy::Nodes(_) | DefinedBy::Perhaps(_) => None,
    })
}

/// Checks that this configuration, or a live node, knows a queue.
///
/// # Errors
/// If neither does, or the database does not answer.
pub(super) async fn check_queue(session: &Session, open: &OpenSession, queue: &str) -> anyhow::Result<()> {
    let mut known: Vec<String> = open.config.queues.keys().map(ToString::to_string).collect();
    known.extend(session.parts.registry.definitions().map(|definition| definition.queue.to_string()));
    if !known.iter().any(|known| known == queue) {
        for node in open.store.live_queues().await.map_err(with_advice)? {
            let served = node.queues.into_iter().flatten().filter(|(_, served)| served.workers > 0);
            known.extend(served.map(|(name, _)| name));
        }
    }
    if known.iter().any(|known| known == queue) {
        return Ok(());
    }
    let hint = suggest::hint(queue, known.iter().map(String::as_str));
    anyhow::bail!("queue `{queue}` is not configured here, and no node serves it{hint} (--undefined accepts it anyway)")
}
