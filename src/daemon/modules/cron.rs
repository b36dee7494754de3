//! `cron`: the cron manager. Turns the due occurrences of schedules into tasks.
//!
//! Every node does this for all its schedules. The ledger's unique key lets one node in for each instant.
//!
//! Settings: `[task.NAME] schedule`, `period`, `missed` and their relatives. It sleeps until the next instant, at most
//! 30 s. Logs each fired schedule at level debug.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    config::Config,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::milestones::Milestones,
    },
    domain::{
        daemon::summary::SummaryTable,
        identity::NodeId,
        period::{Period, Periods},
        schedule::{
            Schedule,
            agenda::Agenda,
            missed_policy::{Decision, Overlap},
        },
        task::definition::TaskDefinition,
    },
    store::{Firing, ScheduleRow, Wakeup},
};

/// Maximum time between two looks at the clock: it may be set, or the machine suspended.
const MAX_REST: Duration = Duration::from_secs(30);
/// Maximum number of instants in one transaction.
const BATCH: usize = 1_000;

pub(super) struct CronManager {
    node: NodeId,
    milestones: Arc<Milestones>,
    config: Option<Arc<Config>>,
    entries: Vec<CronEntry>,
    /// When each entry is due next.
    agenda: Agenda,
    fired: u64,
}

/// One schedule.
struct CronEntry {
    schedule: Arc<Schedule>,
    definition: Arc<TaskDefinition>,
    /// All instants up to this one are processed.
    last: DateTime<Utc>,
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
        let next = self.agenda.first().map(|at| (at - context.clock().now()).to_std().unwrap_or_default());
        Ok(Next::After(next.map_or(MAX_REST, |next| next.min(MAX_REST))))
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
    pub(super) fn new(node: NodeId, milestones: Arc<Milestones>) -> Self {
        let (entries, agenda) = (Vec::new(), Agenda::default());
        Self { node, milestones, config: None, entries, agenda, fired: 0 }
    }

    /// Loads the configured schedules, and from the database how far each has been processed.
    async fn load(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let config = context.config();
        let scheduled: Vec<(Arc<Schedule>, Arc<TaskDefinition>)> = config
            .tasks
            .values()
            .filter_map(|definition| Some((definition.schedule.clone()?, definition.clone())))
            .collect();
        let sightings: Vec<ScheduleRow> = scheduled
            .iter()
            .map(|(schedule, definition)| ScheduleRow {
                name: schedule.name.clone(),
                task: definition.name.clone(),
                spec: schedule.spec(),
            })
            .collect();
        let last = context.store().sync_schedules(&sightings).await?;
        let in_order: Vec<(&str, &str, i32)> = scheduled
            .iter()
            .filter(|(schedule, _)| schedule.policy.overlap == Overlap::Queue)
            .map(|(schedule, task)| (schedule.name.as_str(), task.queue.as_str(), task.priority))
            .collect();
        context.store().move_waiting(&in_order).await?;
        self.remove_missing(context, &config).await?;
        let now = context.clock().now();
        self.entries = scheduled
            .into_iter()
            .map(|(schedule, definition)| CronEntry {
                last: last.get(&schedule.name).copied().unwrap_or(now),
                schedule,
                definition,
            })
            .collect();
        let next: Vec<(usize, DateTime<Utc>)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((index, entry.schedule.next_after(entry.last)?)))
            .collect();
        let announced: Vec<(String, DateTime<Utc>)> =
            next.iter().map(|(index, at)| (self.entries[*index].schedule.name.clone(), *at)).collect();
        context.store().set_next_run(&announced).await?;
        self.agenda = next.into_iter().collect();
        self.config = Some(config);
        Ok(())
    }

    /// Removes schedules that a reload has removed here. Those that only another node's configuration has are left alone.
    async fn remove_missing(&self, context: &ModuleContext, config: &Config) -> anyhow::Result<()> {
        let kept: HashSet<&String> =
            config.tasks.values().filter(|task| task.schedule.is_some()).map(|task| &task.name).collect();
        let removed: Vec<String> =
            self.entries.iter().map(|entry| entry.schedule.name.clone()).filter(|name| !kept.contains(name)).collect();
        context.store().forget_schedules(&removed).await?;
        Ok(())
    }

    /// Fires `@reboot` schedules once after each start. A daemon that restarts itself has not been away.
    async fn fire_at_start(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if self.milestones.has_fired_at_start() {
            return Ok(());
        }
        let now = context.clock().now();
        let at_start = |entry: &&mut CronEntry| entry.schedule.is_at_start();
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

    async fn fire(&mut self, context: &ModuleContext, firings: &[Firing]) -> anyhow::Result<()> {
        for batch in firings.chunks(BATCH) {
            let fired = context.store().fire(&self.node, batch).await?;
            self.fired += fired.len() as u64;
            context.progress();
            if !fired.is_empty() {
                context.client().wake_up(Wakeup::Now);
            }
            for name in &fired {
                tracing::debug!("{name} is due");
            }
            if fired.is_empty() && context.store().is_any_unlisted(batch).await? {
                // Another node's reload has removed a schedule that this one still has.
                self.config = None;
            }
        }
        Ok(())
    }
}

impl CronEntry {
    /// The instants that are due at `now`, as ledger entries.
    fn take_due(&mut self, now: DateTime<Utc>, next_at: Option<DateTime<Utc>>, periods: &Periods) -> Vec<Firing> {
        let due = self.schedule.due(self.last, now, self.period(periods));
        // The latest comes last. It runs or is skipped; all before it are processed.
        self.last = due.last().map_or(self.last, |latest| latest.at);
        due.into_iter().map(|decision| self.firing(decision, next_at, now)).collect()
    }

    fn period<'a>(&self, periods: &'a Periods) -> Option<&'a Period> {
        periods.get(self.schedule.period.as_ref()?).map(|period| &**period)
    }

    /// One instant as a ledger entry.
    fn firing(&self, decision: Decision, next_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Firing {
        let held = decision.held_until;
        let jitter = self.schedule.jitter.and_then(|most| TimeDelta::from_std(most.mul_f64(fastrand::f64())).ok());
        let jittered = jitter.map(|jitter| held.unwrap_or(now) + jitter);
        Firing {
            schedule: self.schedule.name.clone(),
            due_at: decision.at,
            fate: decision.fate,
            reason: decision.reason,
            stands_for: decision.stands_for,
            overlap: self.schedule.policy.overlap,
            at_start: false,
            next_at,
            run_at: jittered.or(held),
            task: self.definition.name.clone(),
            queue: self.definition.queue.clone(),
            priority: self.definition.priority,
            payload: self.definition.payload.clone(),
        }
    }
}
