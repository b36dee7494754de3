//! `cron`: the cron manager. Turns the due occurrences of schedules into tasks.
//!
//! Every node does this for all its schedules. The ledger's unique key lets one node in for each instant.
//!
//! Settings: `[task.NAME] schedule`, `period`, `missed` and their relatives. It sleeps until the next instant, at most
//! 30 s. While everything is paused, it fires nothing. Logs each fired schedule at level debug, schedules whose tasks the database refuses, and schedules that were ahead
//! of the time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::Fate;

use crate::{
    config::Config,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{all_paused::AllPaused, milestones::Milestones, wakers::Wakers},
    },
    domain::{
        daemon::summary::SummaryTable,
        identity::NodeId,
        period::{Period, Periods},
        schedule::{
            AHEAD, Schedule,
            agenda::Agenda,
            missed_policy::{Decision, Overlap},
            reason::{Reason, shown},
        },
        task::{definition::TaskDefinition, expiry},
    },
    store::{Firing, ScheduleRow, StoreError, Wakeup, in_portions},
};

/// Maximum time between two looks at the clock: it may be set, or the machine suspended.
const MAX_REST: Duration = Duration::from_secs(30);
/// How often it asks whether a pause of everything is over.
const PAUSED_REST: Duration = Duration::from_secs(1);
/// Maximum number of instants in one transaction.
const BATCH: usize = 1_000;

pub(super) struct CronManager {
    node: NodeId,
    milestones: Arc<Milestones>,
    config: Option<Arc<Config>>,
    entries: Vec<CronEntry>,
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
        if self.looked_at.is_some_and(|before| before - now > AHEAD) {
            // The clock was ahead, and so may the schedules be.
            self.load(context).await?;
        }
        self.looked_at = Some(now);
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
    pub(super) fn new(node: NodeId, milestones: Arc<Milestones>, all_paused: AllPaused, wakers: Wakers) -> Self {
        Self {
            node,
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

    /// Whether something is due while everything is paused. When it is resumed, what has become due meanwhile is missed,
    /// as after a downtime.
    async fn waits_for_resume(&mut self, context: &ModuleContext, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let is_due = self.agenda.first().is_some_and(|at| at <= now) || !self.milestones.has_fired_at_start();
        self.waits = false;
        if is_due {
            let pause = context.store().all_paused().await?;
            self.waits = pause.is_some();
            self.all_paused.note(pause);
        }
        Ok(self.waits)
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
        for (name, at) in context.store().return_from_future(context.clock().now()).await? {
            tracing::warn!("schedule {name} was ahead of the time, because a clock was: it goes on from {}", shown(at));
        }
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

    /// Enters instants. A schedule that the database refuses does not keep the others back.
    async fn fire(&mut self, context: &ModuleContext, firings: &[Firing]) -> anyhow::Result<()> {
        let store = context.store();
        let due = by_schedule(firings);
        let work = async |portion: &[Vec<&Firing>]| {
            let batch: Vec<Firing> = portion.iter().flatten().map(|firing| (*firing).clone()).collect();
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
            if fired.is_empty() && store.is_any_unlisted(&batch).await? {
                // Another node's reload has removed a schedule that this one still has.
                self.config = None;
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

/// The name by which a refused schedule is reported.
fn refused_schedule(name: &str) -> String {
    format!("the database refuses the tasks of schedule {name}")
}

/// The instants of each schedule: they are accepted or refused together, because a later one moves the schedule beyond the
/// earlier ones.
fn by_schedule(firings: &[Firing]) -> Vec<Vec<&Firing>> {
    let mut due: Vec<Vec<&Firing>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for firing in firings {
        let place = *places.entry(&firing.schedule).or_insert(due.len());
        match due.get_mut(place) {
            Some(known) => known.push(firing),
            None => due.push(vec![firing]),
        }
    }
    due
}

/// Cuts the instants into portions of about [`BATCH`].
fn portions<'a, 'f>(due: &'a [Vec<&'f Firing>]) -> Vec<&'a [Vec<&'f Firing>]> {
    let mut portions = Vec::new();
    let (mut start, mut count) = (0, 0);
    for (index, schedule) in due.iter().enumerate() {
        if count > 0 && count + schedule.len() > BATCH {
            portions.push(&due[start..index]);
            (start, count) = (index, 0);
        }
        count += schedule.len();
    }
    portions.push(&due[start..]);
    portions
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
        let run_at = jittered.or(held);
        let (expires, missed_age) = (self.definition.expires, self.schedule.policy.missed_age);
        Firing {
            schedule: self.schedule.name.clone(),
            due_at: decision.at,
            fate: decision.fate,
            reason: decision.reason,
            stands_for: decision.stands_for,
            overlap: self.schedule.policy.overlap,
            at_start: false,
            next_at,
            run_at,
            expires_at: expiry::of_instant(decision.at, run_at, now, expires, missed_age),
            task: self.definition.name.clone(),
            queue: self.definition.queue.clone(),
            priority: self.definition.priority,
            payload: self.definition.payload.clone(),
        }
    }
}
