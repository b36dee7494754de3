//! `cron`: the cron manager. Turns the due occurrences of schedules into tasks.
//!
//! Every node does this for all its schedules. The ledger's unique key lets one node in for each instant. A schedule that
//! another node has defined differently since is silent here (`definitions.rs`).
//!
//! Settings: `[task.NAME] schedule`, `[schedule.NAME]`, `period`, `missed` and their relatives. It sleeps until the next
//! instant, at most 30 s. While everything is paused, or a maintenance is in force, it fires nothing. Logs each fired
//! schedule at level debug, schedules whose tasks the database refuses, and schedules that were ahead of the time.

mod definitions;
mod entry;
mod followers;
mod portions;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sexton_entities::states::{Fate, Origin};

use self::{
    definitions::{Definitions, PUBLISHED},
    entry::CronEntry,
    followers::with_followers,
    portions::{BATCH, by_schedule, portions, refused_schedule, until_due},
};
use crate::{
    config::{Config, Scheduled},
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{
            all_paused::AllPaused,
            config_in_force::ConfigInForce,
            milestones::Milestones,
            this_node::NodeIdentity,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        daemon::summary::SummaryTable,
        identity::{ModuleName, NodeId},
        schedule::{
            AHEAD, ScheduleDefinition,
            agenda::Agenda,
            missed_policy::{Decision, Due, Overlap, runs},
            reason::{Reason, shown},
        },
    },
    store::{Firing, ScheduleComparison, ScheduleRow, StoreError, Wakeup, in_portions},
};

/// Maximum time between two looks at the clock: it may be set, or the machine suspended.
const MAX_REST: Duration = Duration::from_secs(30);
/// How often it asks whether a pause of everything is over.
const PAUSED_REST: Duration = Duration::from_secs(1);

pub(super) struct CronManager {
    node: NodeId,
    in_force: ConfigInForce,
    milestones: Arc<Milestones>,
    config: Option<Arc<Config>>,
    entries: Vec<CronEntry>,
    /// Its schedules as the other nodes define them.
    definitions: Definitions,
    /// When each entry is due next.
    agenda: Agenda,
    /// Schedules whose tasks the database refuses.
    refused: HashSet<String>,
    all_paused: AllPaused,
    wakers: Wakers,
    /// While everything is paused, what is due stays due.
    waits: bool,
    /// When it last looked at the clock.
    looked_at: Option<DateTime<Utc>>,
    fired: u64,
}

#[async_trait(?Send)]
impl DaemonModule for CronManager {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.load(context).await
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &context.config())) {
            self.load(context).await?;
        }
        let now = context.clock().now();
        if self.looked_at.is_some_and(|before| before - now > AHEAD) {
            // The clock was ahead, and so may the schedules be.
            self.load(context).await?;
        }
        self.looked_at = Some(now);
        if self.definitions.have_changed(context).await? {
            self.load(context).await?;
        }
        if self.waits_for_resume(context, now).await? {
            return Ok(());
        }
        let mut firings = Vec::new();
        while let Some(index) = self.agenda.take_due(now) {
            let entry = &mut self.entries[index];
            let after = entry.schedule.next_after(now);
            if let Some(after) = after {
                self.agenda.note(index, after);
            }
            firings.extend(entry.take_due(now, after, &context.config().periods));
            if firings.len() >= BATCH {
                self.fire(context, &std::mem::take(&mut firings)).await?;
            }
        }
        // After a failure all schedules are loaded again: an instant that is not in the ledger is still due then.
        self.fire(context, &firings).await?;
        self.fire_at_start(context).await
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        if self.waits {
            return Ok(Next::After(PAUSED_REST));
        }
        let longest = if self.definitions.are_known() { MAX_REST } else { PAUSED_REST };
        let next = self.agenda.first().map(|at| (at - context.clock().now()).to_std().unwrap_or_default());
        Ok(Next::After(next.map_or(longest, |next| next.min(longest))))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Schedules", &["Schedules", "Next", "Fired"], "No schedule is configured.");
        if let Some(at) = self.agenda.first() {
            table.row([self.entries.len().to_string(), at.to_rfc3339(), self.fired.to_string()]);
        }
        vec![table]
    }
}

impl CronManager {
    pub(super) fn new(
        identity: NodeIdentity,
        in_force: ConfigInForce,
        milestones: Arc<Milestones>,
        all_paused: AllPaused,
        wakers: Wakers,
    ) -> Self {
        Self {
            node: identity.id.clone(),
            definitions: Definitions::new(identity),
            in_force,
            milestones,
            config: None,
            entries: Vec::new(),
            agenda: Agenda::default(),
            refused: HashSet::new(),
            all_paused,
            wakers,
            waits: false,
            looked_at: None,
            fired: 0,
        }
    }

    /// Whether something is due while everything is paused, or a maintenance is in force. When that is over, what has become
    /// due meanwhile is missed, as after a downtime.
    async fn waits_for_resume(&mut self, context: &ModuleContext, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let is_due = self.agenda.first().is_some_and(|at| at <= now) || !self.milestones.has_fired_at_start();
        self.waits = false;
        if is_due {
            let halt = context.store().halt().await?;
            self.waits = halt.is_in_force();
            if self.all_paused.note(halt) {
                context.store().remove_ended_maintenance().await?;
                self.wakers.wake(&ModuleName::DISPATCHER, WakeReason::Enqueued);
            }
        }
        Ok(self.waits)
    }

    /// Loads the configured schedules, and from the database how far each has been processed.
    async fn load(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let config = context.config();
        let of_file = |task: &Scheduled<'_>| task.origin == Origin::Config;
        let sightings: Vec<ScheduleRow> = config
            .scheduled_tasks()
            .filter(of_file)
            .map(|task| ScheduleRow {
                name: task.schedule.name.clone(),
                task: task.definition.name.clone(),
                spec: task.schedule.spec(),
            })
            .collect();
        let scheduled: Vec<Scheduled<'_>> = config.scheduled_tasks().collect();
        for (name, at) in context.store().return_from_future(context.clock().now()).await? {
            tracing::warn!("schedule {name} was ahead of the time, because a clock was: it goes on from {}", shown(at));
        }
        let compared = self.definitions.compare(context.store(), sightings).await?;
        self.make_up(context, &scheduled, &compared).await?;
        self.remove_missing(context, &config, &compared).await?;
        self.enter_words(context, &config).await?;
        let last = context.store().sync_schedules(&self.definitions.in_force()).await?;
        let published = self.definitions.publish(context.store()).await;
        context.store().isolated().part(PUBLISHED, published)?;
        let in_order: Vec<(&str, &str, i32)> = scheduled
            .iter()
            .filter(|task| task.schedule.policy.overlap == Overlap::Queue)
            .map(|task| (task.schedule.name.as_str(), task.definition.queue.as_str(), task.definition.priority))
            .collect();
        context.store().move_waiting(&in_order).await?;
        let now = context.clock().now();
        self.entries = scheduled
            .into_iter()
            .map(|task| CronEntry {
                last: last.get(&task.schedule.name).copied().unwrap_or(now),
                schedule: task.schedule.clone(),
                definition: task.definition.clone(),
                origin: task.origin,
            })
            .collect();
        let next: Vec<(usize, DateTime<Utc>)> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| !self.definitions.is_overruled(&entry.schedule.name))
            // When its task is enabled again, its policy decides on what it has missed.
            .filter(|(_, entry)| entry.definition.disabled.is_none())
            .filter_map(|(index, entry)| Some((index, entry.schedule.next_after(entry.last)?)))
            .collect();
        let announced: Vec<(String, DateTime<Utc>)> =
            next.iter().map(|(index, at)| (self.entries[*index].schedule.name.clone(), *at)).collect();
        context.store().set_next_run(&announced).await?;
        self.agenda = next.into_iter().collect();
        self.config = Some(config);
        Ok(())
    }

    /// Enters the recurrences of the database's schedules in words.
    async fn enter_words(&self, context: &ModuleContext, config: &Config) -> anyhow::Result<()> {
        let rows = self.in_force.database_schedules();
        let table = |row: &ScheduleDefinition| {
            config.schedule_tables.get(&row.name).filter(|table| table.origin == Origin::Database)
        };
        let words = |row: &ScheduleDefinition| Some((row.clone(), table(row)?.schedule.spec()));
        let known: Vec<_> = rows.iter().filter_map(words).collect();
        Ok(context.store().sync_database_schedules(&known).await?)
    }

    /// Removes schedules that a reload or an edit before the start has removed here. Those that another node has are left
    /// alone, and so are the rows of the database's own.
    async fn remove_missing(
        &self,
        context: &ModuleContext,
        config: &Config,
        compared: &ScheduleComparison,
    ) -> anyhow::Result<()> {
        let others = |name: &str| {
            compared.nodes.iter().any(|node| node.is_live && node.id != self.node.as_str() && node.spec(name).is_some())
        };
        let of_files = config.scheduled_tasks().filter(|task| task.origin == Origin::Config);
        let kept: HashSet<&str> = of_files.map(|task| task.schedule.name.as_str()).collect();
        let removed: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| entry.origin == Origin::Config)
            .map(|entry| entry.schedule.name.clone())
            .filter(|name| !kept.contains(name.as_str()) && !others(name))
            .chain(compared.dropped.iter().cloned())
            .collect();
        context.store().forget_schedules(&removed).await?;
        Ok(())
    }

    /// Enters the instants that were missed before an edit, while the schedule still has its earlier definition. The policy
    /// of the new one decides on them.
    async fn make_up(
        &mut self,
        context: &ModuleContext,
        scheduled: &[Scheduled<'_>],
        compared: &ScheduleComparison,
    ) -> anyhow::Result<()> {
        let now = context.clock().now();
        let mut firings = Vec::new();
        for (name, at) in &compared.missed {
            let is_it = |task: &&Scheduled<'_>| task.schedule.name == *name && task.origin == Origin::Config;
            let Some(Scheduled { schedule, definition, origin }) = scheduled.iter().find(is_it) else { continue };
            let entry = CronEntry {
                schedule: Arc::clone(schedule),
                definition: Arc::clone(definition),
                origin: *origin,
                last: *at,
            };
            let config = context.config();
            let period = entry.period(&config.periods);
            let decided = schedule.policy.decide(&[Due { at: *at, since: *at }], now);
            firings.extend(decided.into_iter().map(|decision| Firing {
                spec: None,
                ..entry.firing(schedule.within(decision, period), schedule.next_after(now), now)
            }));
        }
        self.fire(context, &firings).await
    }

    /// Fires `@reboot` schedules once after each start. A daemon that restarts itself has not been away.
    async fn fire_at_start(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if self.milestones.has_fired_at_start() {
            return Ok(());
        }
        let now = context.clock().now();
        let definitions = &self.definitions;
        let at_start = |entry: &&mut CronEntry| {
            entry.schedule.is_at_start()
                && !definitions.is_overruled(&entry.schedule.name)
                && entry.definition.disabled.is_none()
        };
        let mut firings = Vec::new();
        for entry in self.entries.iter_mut().filter(at_start) {
            entry.last = entry.last.max(now);
            let decision = entry.schedule.within(Decision::on_time(now), entry.period(&context.config().periods));
            // Another node may start at the same instant; after the clock was set back, an earlier start has a later time.
            firings.push(Firing { at_start: true, ..entry.firing(decision, entry.schedule.next_after(now), now) });
        }
        self.fire(context, &firings).await?;
        self.milestones.note_fired_at_start();
        Ok(())
    }

    /// Enters instants. A schedule that the database refuses does not keep the others back.
    async fn fire(&mut self, context: &ModuleContext, firings: &[Firing]) -> anyhow::Result<()> {
        let store = context.store();
        until_due(store, firings).await?;
        let due = by_schedule(firings);
        let work = async |portion: &[Vec<&Firing>]| {
            let batch: Vec<Firing> = portion.iter().flatten().map(|firing| (*firing).clone()).collect();
            let in_force = self.entries.iter().filter(|entry| !self.definitions.is_overruled(&entry.schedule.name));
            let batch = with_followers(batch, in_force, &context.config().periods, context.clock().now());
            let fired = store.fire(&self.node, &batch).await?;
            context.progress();
            Ok((batch, fired))
        };
        let results = in_portions(portions(&due), work).await?;
        for (batch, fired) in results.done {
            self.fired += fired.len() as u64;
            if !fired.is_empty() {
                context.client().wake_up(Wakeup::Now);
            }
            if batch.iter().any(Firing::is_missed) {
                self.wakers.announce_problem();
            }
            for name in &fired {
                tracing::debug!("{name} is due");
                if self.refused.remove(name) {
                    store.isolated().forget(refused_schedule(name));
                }
            }
            let is_left_out = |firing: &Firing| runs(firing.fate) && !fired.contains(&firing.schedule);
            if batch.iter().any(is_left_out) && store.is_any_unlisted(&batch).await? {
                // Another node has removed a schedule that this one still has, or defined it differently, or it has left the database.
                self.config = None;
                self.wakers.wake(&ModuleName::CONFIG_SYNC, WakeReason::SchedulesChanged);
            }
        }
        for (due, why) in results.refused {
            self.refuse(context, due, &why).await?;
        }
        Ok(())
    }

    /// Notes that the database refuses the instants of a schedule: in the ledger as skipped if it takes that, without the
    /// payload.
    async fn refuse(&mut self, context: &ModuleContext, due: &[&Firing], why: &str) -> anyhow::Result<()> {
        let Some(name) = due.first().map(|firing| firing.schedule.clone()) else { return Ok(()) };
        let store = context.store();
        store.isolated().note(refused_schedule(&name), why);
        let text = Some(format!("the database refused its task: {why}"));
        let skipped: Vec<Firing> = due
            .iter()
            .map(|firing| Firing {
                fate: Fate::Skipped,
                reason: Some(Reason::Other { text: text.clone() }),
                payload: None,
                ..(*firing).clone()
            })
            .collect();
        self.refused.insert(name);
        match store.fire(&self.node, &skipped).await {
            Ok(_) => Ok(()),
            Err(StoreError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
