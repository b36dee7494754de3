//! The configuration in force, which a reload replaces as a whole.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::RwLock;
use sexton_client::client::EnqueueContext;

use super::wakers::Wakers;
use crate::{
    config::Config,
    domain::{
        daemon::lease::OnLeaseLost,
        identity::QueueName,
        task::{
            ClaimedTask, NewTask,
            definition::{COMMAND, TaskDefinition},
            lease_loss::LeaseLossRules,
            limits::ConcurrencyLimits,
            names::TaskNames,
            time_limit::TimeLimit,
        },
    },
    handler::Registry,
    store::Wakeup,
};

/// The configuration in force, with everything derived from it. Clones share it.
#[derive(Clone)]
pub struct ConfigInForce {
    current: Arc<RwLock<Arc<Derived>>>,
    registry: Registry,
    /// The mistakes of a newer configuration that was refused.
    refused: Arc<RwLock<Option<String>>>,
}

/// A configuration, every definition that follows from it and from the registered handlers, and its limits.
struct Derived {
    config: Arc<Config>,
    definitions: HashMap<String, Arc<TaskDefinition>>,
    limits: Arc<ConcurrencyLimits>,
    lease_loss: LeaseLossRules,
    /// The longest `kill_after` of each queue among the tasks that stop before the lease is over.
    grace_times: HashMap<QueueName, Duration>,
    /// What this node can execute, and what of it needs no shepherd.
    names: Arc<TaskNames>,
    names_without_commands: Arc<TaskNames>,
}

impl ConfigInForce {
    /// Puts the first configuration in force.
    pub(in crate::daemon) fn new(config: Config, registry: Registry) -> Self {
        let current = Arc::new(RwLock::new(Arc::new(Derived::new(config, &registry))));
        Self { current, registry, refused: Arc::default() }
    }

    /// Puts another configuration in force.
    pub(in crate::daemon) fn replace(&self, config: Config) {
        *self.current.write() = Arc::new(Derived::new(config, &self.registry));
        *self.refused.write() = None;
    }

    /// Notes that a newer configuration was refused because of these mistakes.
    pub(in crate::daemon) fn note_refused(&self, mistakes: &str) {
        *self.refused.write() = Some(mistakes.to_owned());
    }

    /// The mistakes of a newer configuration that was refused; none if the newest one is in force.
    pub(in crate::daemon) fn refused(&self) -> Option<String> {
        self.refused.read().clone()
    }

    fn current(&self) -> Arc<Derived> {
        self.current.read().clone()
    }

    /// The configuration.
    pub fn config(&self) -> Arc<Config> {
        self.current().config.clone()
    }

    /// The handlers of this daemon.
    pub(in crate::daemon) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The definition of that name: the configuration's, or else the one that a handler brings along.
    pub fn definition(&self, name: &str) -> Option<Arc<TaskDefinition>> {
        self.current().definitions.get(name).cloned()
    }

    /// A definition as it counts for tasks of that queue: with the time limit of the queue or the daemon, if it has none
    /// of its own.
    pub(in crate::daemon) fn with_time_limit(
        &self,
        definition: Arc<TaskDefinition>,
        queue: &QueueName,
    ) -> Arc<TaskDefinition> {
        let config = self.config();
        let of_queue = config.queues.get(queue).and_then(|queue| queue.timeout);
        let timeout = TimeLimit::first([definition.time_limit(), of_queue, config.daemon.timeout]);
        match timeout == definition.timeout {
            true => definition,
            false => Arc::new(TaskDefinition { timeout, ..(*definition).clone() }),
        }
    }

    /// How many nodes in a row may die during the attempts of a task of that name.
    pub(in crate::daemon) fn max_pickups(&self, name: &str) -> i32 {
        let own = self.definition(name).and_then(|definition| definition.max_pickups);
        own.unwrap_or_else(|| self.config().daemon.max_pickups)
    }

    /// The names of the tasks that this node can execute.
    pub(in crate::daemon) fn names(&self) -> Arc<TaskNames> {
        self.current().names.clone()
    }

    /// Those of the names that are no commands.
    pub(in crate::daemon) fn names_without_commands(&self) -> Arc<TaskNames> {
        self.current().names_without_commands.clone()
    }

    /// The limits that hold in the whole cluster.
    pub(in crate::daemon) fn limits(&self) -> Arc<ConcurrencyLimits> {
        self.current().limits.clone()
    }

    /// The longest `kill_after` in a queue among the tasks that stop before the lease is over; none without such tasks.
    pub(in crate::daemon) fn longest_grace(&self, queue: &QueueName) -> Option<Duration> {
        self.current().grace_times.get(queue).copied()
    }

    /// What happens to a running attempt when this node cannot keep its lease.
    pub(in crate::daemon) fn on_lease_lost(&self, task: &ClaimedTask) -> OnLeaseLost {
        self.current().lease_loss.of(&task.queue, &task.name, task.schedule.as_deref())
    }
}

impl Derived {
    fn new(config: Config, registry: &Registry) -> Self {
        let mut definitions: HashMap<String, Arc<TaskDefinition>> =
            registry.definitions().map(|definition| (definition.name.clone(), Arc::new(definition.clone()))).collect();
        definitions.extend(config.tasks.iter().map(|(name, definition)| (name.clone(), definition.clone())));
        let limits = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.limit?)));
        let limits = ConcurrencyLimits::new(limits, definitions.values().map(|definition| &**definition));
        let queues =
            config.queues.iter().map(|(queue, settings)| (queue, settings.on_lease_lost, settings.limit.is_some()));
        let lease_loss = LeaseLossRules::new(
            config.daemon.on_lease_lost,
            queues,
            definitions.values().map(|definition| &**definition),
        );
        let mut grace_times: HashMap<QueueName, Duration> = HashMap::new();
        for definition in definitions.values() {
            let (queue, schedule) = (&definition.queue, definition.schedule.as_ref());
            let name = schedule.map(|schedule| schedule.name.as_str());
            if lease_loss.of(queue, &definition.name, name) == OnLeaseLost::Stop {
                let longest = grace_times.entry(queue.clone()).or_default();
                *longest = definition.kill_after.max(*longest);
            }
        }
        let can = |definition: &&Arc<TaskDefinition>| registry.get(&definition.kind).is_some();
        let name = |definition: &Arc<TaskDefinition>| definition.name.clone();
        let names = definitions.values().filter(can).map(name).collect();
        let others = definitions.values().filter(can).filter(|definition| definition.kind != COMMAND);
        let names_without_commands = Arc::new(others.map(name).collect());
        Self {
            config: Arc::new(config),
            definitions,
            limits: Arc::new(limits),
            lease_loss,
            grace_times,
            names: Arc::new(names),
            names_without_commands,
        }
    }
}

/// What the client of a daemon uses: its wake-ups and its definitions.
pub(in crate::daemon) struct LocalEnqueueContext {
    pub(in crate::daemon) in_force: ConfigInForce,
    pub(in crate::daemon) wakers: Wakers,
}

impl EnqueueContext for LocalEnqueueContext {
    fn wake(&self, wakeup: Wakeup) {
        self.wakers.announce(wakeup);
    }

    fn fill_in(&self, task: &mut NewTask) {
        let Some(definition) = self.in_force.definition(&task.name) else { return };
        task.queue.get_or_insert_with(|| definition.queue.clone());
        task.priority.get_or_insert(definition.priority);
        task.expires = task.expires.or(definition.expires);
    }
}
