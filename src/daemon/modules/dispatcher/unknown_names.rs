//! Tasks of names that this node does not define: left to other nodes, or set aside if no live node defines them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::{DaemonConfig, OnUnknown},
    daemon::{
        inflight::InFlight,
        module::ModuleContext,
        state::{config_in_force::ConfigInForce, latest_outlook::LatestOutlook, unknown_tasks::UnknownTasks},
    },
    domain::{
        identity::{NodeId, QueueName},
        task::{
            disabled::{WhenDisabled, refusal},
            names::{DefinedBy, NodeNames, TaskNames, defined_by},
        },
        text::{duration, plural::counted, suggest},
    },
    store::{Store, StoreError, UnknownName},
};

/// How often unknown names at the front of a queue are dealt with.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often tasks that were set aside are counted, taken back and discarded.
const REVIEW_INTERVAL: Duration = Duration::from_secs(30);
/// How old what the database said of them may be.
const FRESH: Duration = Duration::from_secs(1);

/// What the dispatcher knows of names that this node does not define.
pub(super) struct UnknownNames {
    node: NodeId,
    in_flight: InFlight,
    in_force: ConfigInForce,
    waiting: UnknownTasks,
    /// What this node has published of itself.
    published: Option<[Arc<TaskNames>; 2]>,
    /// Queues whose first task is of an unknown name.
    ahead: BTreeSet<QueueName>,
    /// Unknown names of tasks that wait for a queue.
    without_queue: BTreeSet<String>,
    /// Names about which the log has been told.
    told: BTreeSet<String>,
    checked: Option<Instant>,
    reviewed: Option<Instant>,
}

impl UnknownNames {
    pub(super) fn new(node: NodeId, in_force: ConfigInForce, in_flight: InFlight, waiting: UnknownTasks) -> Self {
        Self {
            node,
            in_flight,
            in_force,
            waiting,
            published: None,
            ahead: BTreeSet::new(),
            without_queue: BTreeSet::new(),
            told: BTreeSet::new(),
            checked: None,
            reviewed: None,
        }
    }

    /// Publishes what this node defines, at its start and after a change. Returns whether tasks that had been set aside
    /// are available again.
    pub(super) async fn publish(&mut self, store: &Store) -> Result<bool, StoreError> {
        let (names, disabled) = (self.in_force.names(), self.in_force.disabled());
        if self.published.as_ref().is_some_and(|known| *known == [names.clone(), disabled.clone()]) {
            return Ok(false);
        }
        // Without a row, the node is about to register: the next round publishes.
        if store.publish_names(&self.node, &names, &disabled).await? {
            self.published = Some([names.clone(), disabled]);
            self.told.clear();
            self.reviewed = None;
        }
        Ok(store.take_back(&names).await? > 0)
    }

    /// Queues whose first task is of an unknown name, and the unknown names of tasks without a queue.
    pub(super) fn note(
        &mut self,
        queues: impl IntoIterator<Item = QueueName>,
        names: impl IntoIterator<Item = String>,
    ) {
        self.ahead.extend(queues);
        self.without_queue.extend(names);
    }

    /// Deals with what was noted. Returns whether tasks are available that this node can claim.
    pub(super) async fn deal(&mut self, context: &ModuleContext, outlook: &LatestOutlook) -> Result<bool, StoreError> {
        let store = context.store();
        let is_over = |since: Option<Instant>, interval| since.is_none_or(|at| at.elapsed() >= interval);
        let is_noted = !self.ahead.is_empty() || !self.without_queue.is_empty();
        let has_checked = is_noted && is_over(self.checked, INTERVAL);
        if has_checked {
            self.checked = Some(Instant::now());
            self.set_aside(store).await?;
        }
        if !has_checked && !is_over(self.reviewed, REVIEW_INTERVAL) {
            return Ok(false);
        }
        self.reviewed = Some(Instant::now());
        let told = outlook.fresh(FRESH).and_then(|outlook| outlook.has_set_aside);
        if !has_checked && told == Some(false) {
            self.report(Vec::new(), &context.config().daemon);
            return Ok(false);
        }
        self.review(store, &context.config().daemon).await
    }

    /// Whether tasks that were set aside are to be counted now.
    pub(super) fn is_review_due(&self) -> bool {
        self.reviewed.is_none_or(|at| at.elapsed() >= REVIEW_INTERVAL)
    }

    /// The database does not know the names any more: a node that was declared dead loses them.
    pub(super) fn publish_again(&mut self) {
        self.published = None;
    }

    /// Sets tasks aside that no live node defines.
    async fn set_aside(&mut self, store: &Store) -> Result<(), StoreError> {
        let known = self.in_force.names();
        // A node that was declared dead has registered again, without its names.
        store.publish_names(&self.node, &known, &self.in_force.disabled()).await?;
        let live = store.live_names().await?;
        let mut places: BTreeMap<Option<QueueName>, Vec<String>> = BTreeMap::new();
        for queue in std::mem::take(&mut self.ahead) {
            let names = store.names_ahead(&queue).await?;
            places.insert(Some(queue), names);
        }
        places.insert(None, std::mem::take(&mut self.without_queue).into_iter().collect());
        for (queue, names) in places {
            let unknown: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
            let lacking: Vec<String> =
                unknown.into_iter().filter(|name| self.is_executed_by_nobody(name, &live)).collect();
            if !lacking.is_empty() {
                store.set_unknown_aside(queue.as_ref(), &lacking.into_iter().collect()).await?;
            }
        }
        Ok(())
    }

    /// Whether no live node defines that name and has it enabled. If another one does, the log says once that the tasks are
    /// left to it.
    fn is_executed_by_nobody(&mut self, name: &str, live: &[NodeNames]) -> bool {
        let others = match defined_by(name, live) {
            DefinedBy::Nobody | DefinedBy::Disabled(_) => return true,
            DefinedBy::Nodes(nodes) => format!("left to {}", nodes.join(", ")),
            DefinedBy::Perhaps(node) => {
                format!("left to {node}, whose version does not say what it defines")
            }
        };
        if self.told.insert(name.to_owned()) {
            let how = if self.in_force.disabled().contains(name) { "disabled" } else { "not defined" };
            tracing::info!("task `{name}` is {how} on this node: its tasks are {others}");
        }
        false
    }

    /// Counts the tasks that were set aside, takes back those that this node defines, and discards those whose time is
    /// over.
    async fn review(&mut self, store: &Store, config: &DaemonConfig) -> Result<bool, StoreError> {
        let mut waiting = store.set_aside_names().await?;
        if waiting.is_empty() {
            self.report(Vec::new(), config);
            return Ok(false);
        }
        let known = self.in_force.names();
        let is_ours = waiting.iter().any(|waits| known.contains(&waits.name));
        let taken = if is_ours { store.take_back(&known).await? } else { 0 };
        waiting.retain(|waits| !known.contains(&waits.name));
        let live = store.live_names().await?;
        let patience = match config.unknown_tasks {
            OnUnknown::Wait => config.discard_unknown_after,
            OnUnknown::Discard => Duration::ZERO,
        };
        let mut is_stale = false;
        for waits in &mut waiting {
            let (name, of) = (&waits.name, defined_by(&waits.name, &live));
            waits.disabled = matches!(of, DefinedBy::Disabled(_));
            if waits.disabled
                && self.in_force.definition(name).and_then(|own| own.disabled) == Some(WhenDisabled::Refuse)
            {
                is_stale |= self.discard(store, name, Duration::ZERO, &refusal(name)).await? > 0;
            }
            if of == DefinedBy::Nobody {
                let waited = match config.unknown_tasks {
                    OnUnknown::Wait => format!(", and it has waited for {}", duration::text(patience)),
                    OnUnknown::Discard => String::new(),
                };
                let hint = suggest::hint(name, known.iter());
                let why = format!("no node defines task `{name}`{hint}{waited}");
                is_stale |= self.discard(store, name, patience, &why).await? > 0;
            }
        }
        if is_stale {
            let disabled: TaskNames = waiting.iter().filter(|waits| waits.disabled).map(|waits| &*waits.name).collect();
            waiting = store.set_aside_names().await?;
            waiting.iter_mut().for_each(|waits| waits.disabled = disabled.contains(&waits.name));
        }
        self.report(waiting, config);
        Ok(taken > 0)
    }

    /// Discards the tasks of that name that were set aside that long ago. Returns their number.
    async fn discard(&self, store: &Store, name: &str, age: Duration, why: &str) -> Result<u64, StoreError> {
        let discarded = store.discard_set_aside(name, age, why).await?;
        if discarded > 0 {
            self.in_flight.note_discarded(discarded);
            let tasks = counted(usize::try_from(discarded).unwrap_or(usize::MAX), "task");
            tracing::error!("discarded {tasks}: {why}");
        }
        Ok(discarded)
    }

    /// Tells the status, and the log once.
    fn report(&mut self, waiting: Vec<UnknownName>, config: &DaemonConfig) {
        let known = self.in_force.names();
        let (new, gone) = self.waiting.replace(waiting);
        for UnknownName { name, tasks, disabled, .. } in new {
            let tasks = counted(usize::try_from(tasks).unwrap_or(usize::MAX), "task");
            if disabled {
                tracing::warn!("task `{name}` is disabled: {tasks} set aside until it is enabled");
                continue;
            }
            let hint = suggest::hint(&name, known.iter());
            let patience = duration::text(config.discard_unknown_after);
            tracing::warn!(
                "no node defines task `{name}`{hint}: {tasks} set aside, to be discarded if none does within {patience}"
            );
        }
        for name in gone {
            tracing::info!("no task `{name}` is set aside any more");
        }
    }
}
