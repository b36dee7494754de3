//! The configuration in force, which a reload replaces as a whole.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sexton_client::client::EnqueueContext;

use super::wakers::Wakers;
use crate::{
    config::Config,
    domain::{
        daemon::lease::OnLeaseLost,
        identity::QueueName,
        schedule::ScheduleDefinition,
        task::{
            ClaimedTask, NewTask, definition::TaskDefinition, lease_loss::LeaseLossRules, limits::ConcurrencyLimits,
            names::TaskNames, time_limit::TimeLimit,
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
    /// The version in the database that this node refuses.
    refused_version: Arc<RwLock<Option<RefusedVersion>>>,
}

/// A deployed version that a node does not put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedVersion {
    /// Its number.
    pub number: i64,
    /// Why.
    pub why: String,
}

/// A configuration with the schedules of the database, every definition that follows from it and from the registered handlers, and its limits.
struct Derived {
    config: Arc<Config>,
    /// The schedules of the database as they were read last.
    rows: Arc<[ScheduleDefinition]>,
    definitions: HashMap<String, Arc<TaskDefinition>>,
    limits: Arc<ConcurrencyLimits>,
    lease_loss: LeaseLossRules,
    /// The longest `kill_after` of each queue among the tasks that stop before the lease is over.
    grace_times: HashMap<QueueName, Duration>,
    /// What this node can execute, and what of it needs no shepherd.
    names: Arc<TaskNames>,
    names_without_commands: Arc<TaskNames>,
    /// What it could execute, and its configuration disables.
    disabled: Arc<TaskNames>,
}

impl ConfigInForce {
    /// Puts the first configuration in force.
    pub(in crate::daemon) fn new(config: Config, registry: Registry) -> Self {
        let derived = Derived::new(&config, Arc::new([]), &registry);
        let current = Arc::new(RwLock::new(Arc::new(derived)));
        Self { current, registry, refused: Arc::default(), refused_version: Arc::default() }
    }

    /// Puts another configuration in force.
    pub(in crate::daemon) fn replace(&self, config: Config) {
        let mut current = self.current.write();
        *current = Arc::new(Derived::new(&config, current.rows.clone(), &self.registry));
        drop(current);
        *self.refused.write() = None;
    }

    /// Puts these schedules of the database in force. Returns false if they are in force already.
    pub(in crate::daemon) fn set_database_schedules(&self, rows: Vec<ScheduleDefinition>) -> bool {
        let mut current = self.current.write();
        if *current.rows == *rows {
            return false;
        }
        *current = Arc::new(Derived::new(&current.config, rows.into(), &self.registry));
        true
    }

    /// The schedules of the database as they were read last, whether or not they are in force.
    pub(in crate::daemon) fn database_schedules(&self) -> Arc<[ScheduleDefinition]> {
        self.current().rows.clone()
    }

    /// Notes that a newer configuration was refused because of these mistakes.
    pub(in crate::daemon) fn note_refused(&self, mistakes: &str) {
        *self.refused.write() = Some(mistakes.to_owned());
    }

    /// The mistakes of a newer configuration that was refused; none if the newest one is in force.
    pub(in crate::daemon) fn refused(&self) -> Option<String> {
        self.refused.read().clone()
    }

    /// Notes the deployed version that this node refuses. Returns whether that is new.
    pub(in crate::daemon) fn note_refused_version(&self, refused: Option<RefusedVersion>) -> bool {
        let mut known = self.refused_version.write();
        let is_new = *known != refused;
        *known = refused;
        is_new
    }

    /// The deployed version that this node refuses.
    pub(in crate::daemon) fn refused_version(&self) -> Option<RefusedVersion> {
        self.refused_version.read().clone()
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

    /// The definition by which a task runs: with the settings of the schedule that has created it.
    pub(in crate::daemon) fn definition_of_run(
        &self,
        task: &str,
        schedule: Option<&str>,
    ) -> Option<Arc<TaskDefinition>> {
        let current = self.current();
        let own = current.config.definition_of_run(task, schedule).map(Arc::new);
        own.or_else(|| current.definitions.get(task).cloned())
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

    /// The names of the tasks that the configuration disables.
    pub(in crate::daemon) fn disabled(&self) -> Arc<TaskNames> {
        self.current().disabled.clone()
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
    fn new(config: &Config, rows: Arc<[ScheduleDefinition]>, registry: &Registry) -> Self {
        let registered: Vec<TaskDefinition> = registry.definitions().cloned().collect();
        let config = config.with_database_schedules(&rows, &registered);
        let mut definitions: HashMap<String, Arc<TaskDefinition>> =
            registry.definitions().map(|definition| (definition.name.clone(), Arc::new(definition.clone()))).collect();
        definitions.extend(config.tasks.iter().map(|(name, definition)| (name.clone(), definition.clone())));
        let limits = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.limit?)));
        let limits = ConcurrencyLimits::new(limits, definitions.values().map(|definition| &**definition));
        let rates = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.rate?)));
        let fair = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.fair_by.as_ref()?)));
        let aging = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.aging?)));
        let limits = limits.with_rates(rates).with_fair_queues(fair).with_aging(aging);
        let limits = limits.with_schedules(config.schedules());
        let queues =
            config.queues.iter().map(|(queue, settings)| (queue, settings.on_lease_lost, settings.limit.is_some()));
        let all = definitions.values().map(|definition| &**definition);
        let lease_loss =
            LeaseLossRules::new(config.daemon.on_lease_lost, queues, all).with_schedules(config.schedules());
        let mut grace_times: HashMap<QueueName, Duration> = HashMap::new();
        let of_tasks = definitions.values().map(|definition| (definition, definition.schedule.as_ref()));
        // A schedule may have other settings for its runs.
        let of_tables = config.schedule_tables.values().map(|table| (&table.definition, Some(&table.schedule)));
        for (definition, schedule) in of_tasks.chain(of_tables) {
            let (queue, name) = (&definition.queue, schedule.map(|schedule| schedule.name.as_str()));
            if lease_loss.of(queue, &definition.name, name) == OnLeaseLost::Stop {
                let longest = grace_times.entry(queue.clone()).or_default();
                *longest = definition.kill_after.max(*longest);
            }
        }
        let can = |definition: &&Arc<TaskDefinition>| registry.get(&definition.kind).is_some();
        let name = |definition: &Arc<TaskDefinition>| definition.name.clone();
        let (enabled, disabled): (Vec<_>, Vec<_>) =
            definitions.values().filter(can).partition(|definition| definition.disabled.is_none());
        let disabled = Arc::new(disabled.into_iter().map(name).collect());
        let names = enabled.iter().copied().map(name).collect();
        let others = enabled.into_iter().filter(|definition| !definition.runs_under_shepherd());
        let names_without_commands = Arc::new(others.map(name).collect());
        Self {
            config: Arc::new(config),
            rows,
            definitions,
            limits: Arc::new(limits),
            lease_loss,
            grace_times,
            names: Arc::new(names),
            names_without_commands,
            disabled,
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

    fn check(&self, task: &NewTask) -> Result<(), String> {
        let definition = self.in_force.definition(&task.name);
        definition.map_or(Ok(()), |definition| definition.check_new(task.payload.as_ref()))
    }
}
