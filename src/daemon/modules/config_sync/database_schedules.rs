//! Schedules of the database: read when they may have changed, and put in force. One with a mistake is reported, and stops
//! no other.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::{Config, Unused},
    daemon::{
        module::ModuleContext,
        state::{
            config_in_force::ConfigInForce,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::identity::ModuleName,
    store::StoreError,
};

/// Minimum time between two looks, however often the database tells.
const MIN_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time between two looks if the database tells: what it tells may be lost.
const MAX_INTERVAL: Duration = Duration::from_secs(120);

pub(super) struct DatabaseSchedules {
    in_force: ConfigInForce,
    wakers: Wakers,
    looked_at: Option<Instant>,
    /// The database has told of a change since the last look.
    is_told: bool,
    /// The configuration whose unused schedules are reported.
    reported: Option<Arc<Config>>,
    /// The schedules that are reported, each with the reason.
    unused: BTreeMap<String, String>,
    /// Since when no live node is known to define the task of schedules.
    unknown: BTreeMap<String, Instant>,
}

impl DatabaseSchedules {
    pub(super) fn new(in_force: ConfigInForce, wakers: Wakers) -> Self {
        Self {
            in_force,
            wakers,
            looked_at: None,
            is_told: false,
            reported: None,
            unused: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Reads the schedules if they may have changed, and reports them. Files are watched also while the database does not answer.
    pub(super) async fn look(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.is_told |= context.wake_reasons().contains(WakeReason::SchedulesChanged);
        match self.look_at_database(context).await {
            Err(error) if error.is_outage() => tracing::debug!("the schedules of the database: {error}"),
            result => result?,
        }
        Ok(())
    }

    async fn look_at_database(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let is_due = self.rest(context).is_zero();
        if is_due {
            self.looked_at = Some(Instant::now());
            self.is_told = false;
            self.read(context).await?;
        }
        // A reload changes what is a mistake.
        let config = context.config();
        let is_known = self.reported.as_ref().is_some_and(|known| Arc::ptr_eq(known, &config));
        if !is_known || is_due && !self.unknown.is_empty() {
            self.report(context, &config).await?;
            self.reported = Some(config);
        }
        Ok(())
    }

    /// The time until the next look.
    pub(super) fn rest(&self, context: &ModuleContext) -> Duration {
        let Some(looked_at) = self.looked_at else { return Duration::ZERO };
        let interval = match (self.is_told, self.wakers.hears_schedules()) {
            (true, _) => MIN_INTERVAL,
            (false, _) if !self.unknown.is_empty() => context.config().daemon.heartbeat.min(MAX_INTERVAL),
            (false, true) => MAX_INTERVAL,
            // The dispatcher notices the first one.
            (false, false) if self.in_force.database_schedules().is_empty() && context.store().notices_schedules() => {
                MAX_INTERVAL
            }
            (false, false) => context.config().daemon.heartbeat.min(MAX_INTERVAL),
        };
        interval.saturating_sub(looked_at.elapsed())
    }

    async fn read(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let rows = context.store().database_schedules().await?;
        if self.in_force.set_database_schedules(rows) {
            self.wakers.wake(&ModuleName::CRON, WakeReason::Configured);
            self.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Configured);
        }
        Ok(())
    }

    /// Reports the schedules that are not in force, each once.
    async fn report(&mut self, context: &ModuleContext, config: &Config) -> Result<(), StoreError> {
        let isolated = context.store().isolated();
        let elsewhere = self.tasks_elsewhere(context, config).await?;
        let now = Instant::now();
        // A node may just be starting.
        let settling = config.daemon.heartbeat * 2;
        let (before, mut unused) = (std::mem::take(&mut self.unknown), BTreeMap::new());
        for (name, found) in &config.unused_schedules {
            if found.cause == Unused::UnknownTask {
                let since = before.get(name).copied().unwrap_or(now);
                self.unknown.insert(name.clone(), since);
                if elsewhere.contains(&found.task) || now.duration_since(since) < settling {
                    continue;
                }
            }
            unused.insert(name.clone(), found.why.clone());
        }
        for (name, why) in &self.unused {
            if unused.get(name) != Some(why) {
                isolated.forget(what(name));
            }
        }
        for (name, why) in &unused {
            isolated.note(what(name), why);
        }
        self.unused = unused;
        Ok(())
    }

    /// The unknown tasks that another live node defines. One that has not published its names may define any.
    async fn tasks_elsewhere(&self, context: &ModuleContext, config: &Config) -> Result<Vec<String>, StoreError> {
        let unknown = config.unused_schedules.values().filter(|unused| unused.cause == Unused::UnknownTask);
        let unknown: Vec<&String> = unknown.map(|unused| &unused.task).collect();
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let live = context.store().live_names().await?;
        let may_define =
            |task: &str| live.iter().any(|node| node.names.as_ref().is_none_or(|names| names.contains(task)));
        Ok(unknown.into_iter().filter(|task| may_define(task)).cloned().collect())
    }
}

/// By this name a schedule is reported.
fn what(name: &str) -> String {
    format!("schedule {name} of the database is not in force")
}
