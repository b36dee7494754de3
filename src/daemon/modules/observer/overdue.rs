//! Schedules that are overdue: no run has succeeded by the time at which `expect` wants one.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::{problem, states::ProblemKind};

use crate::{
    config::Config,
    daemon::module::ModuleContext,
    domain::{
        problem::Sighting,
        schedule::{Schedule, overdue::ExpectedRun, reason::shown},
    },
    store::StoreError,
};

/// Attempts are recorded within this time after their end, or the next success is awaited.
const RECORDED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// The number of looks after which nothing is new in a configuration.
const SETTLED: u32 = 2;

/// What it saw before.
pub(super) struct OverdueSchedules {
    /// The name of the node.
    node: String,
    /// The configuration whose expectations are entered.
    config: Option<Arc<Config>>,
    /// How often it has looked with this configuration, up to [`SETTLED`].
    looks: u32,
    /// When it looked last.
    looked_at: Option<DateTime<Utc>>,
    /// The number of schedules of which a success is expected, and how many are overdue.
    counts: (usize, usize),
}

impl OverdueSchedules {
    pub(super) fn new(node: String) -> Self {
        Self { node, config: None, looks: 0, looked_at: None, counts: (0, 0) }
    }

    /// The number of schedules of which a success is expected, and how many of them are overdue. `None` without any.
    pub(super) fn counts(&self) -> Option<(usize, usize)> {
        (self.counts.0 > 0).then_some(self.counts)
    }

    /// Whether the expectations of this configuration are entered, and were looked at afterwards: module cron may enter its
    /// schedules after the first look.
    pub(super) fn has_entered(&self, config: &Arc<Config>) -> bool {
        self.looks >= SETTLED && self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, config))
    }

    /// Opens and closes the problems of schedules. `open` are those that are open. Returns when the next schedule is overdue
    /// unless it succeeds.
    pub(super) async fn look(
        &mut self,
        context: &ModuleContext,
        open: &[&problem::Model],
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (store, config) = (context.store(), context.config());
        if !self.has_entered(&config) {
            let is_known = self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &config));
            self.looks = if is_known { self.looks + 1 } else { 1 };
            let expected = |schedule: &Schedule| schedule.expect.map(|expect| expect.to_string());
            let own: Vec<_> = config.schedules().map(|schedule| (schedule.name.clone(), expected(schedule))).collect();
            store.sync_expectations(&self.node, &own).await?;
            self.config = Some(config.clone());
        }
        let now = context.clock().now();
        let since = self.looked_at.map(|at| at - RECORDED_WITHIN);
        let mut runs = store.expected_runs(since).await?;
        self.looked_at = Some(now);
        let is_entered = |name: &str| runs.iter().any(|run| run.schedule == name);
        if config.schedules().any(|schedule| schedule.expect.is_some() && !is_entered(&schedule.name)) {
            // Module cron has not entered the schedule yet: again in the next round.
            self.config = None;
        }
        // A late success opens a problem that is over.
        let (mut calculated, mut was_late) = (Vec::new(), false);
        for run in &mut runs {
            let Some(schedule) = own_schedule(&config, run) else { continue };
            let period = schedule.period.as_ref().and_then(|name| config.periods.get(name));
            let known = run.progress_now();
            let expected_by = schedule.expected_by(period.map(|period| &**period), known);
            let now_known = ExpectedRun { progress: known, newer_success: None, expected_by, ..run.clone() };
            if let Some(since) = run.was_overdue_since() {
                let late = Sighting { next_at: schedule.next_after(now), ..sighting(&config, run, since) };
                let noted = store.note_late_success(run, expected_by, &late).await;
                was_late = true;
                store.isolated().part(format_args!("the late success of schedule {}", run.schedule), noted)?;
            } else if now_known != *run {
                calculated.push(now_known.clone());
            }
            *run = now_known;
        }
        let entered = store.set_expected_by(&calculated).await;
        store.isolated().part("by when successes are expected", entered)?;
        let overdue: Vec<(&ExpectedRun, DateTime<Utc>)> =
            runs.iter().filter_map(|run| Some((run, run.overdue_since(now)?))).collect();
        let is_open = |name: &str| open.iter().any(|row| row.name == name);
        for (run, since) in overdue.iter().filter(|(run, _)| !is_open(&run.schedule)) {
            let next_at = own_schedule(&config, run).and_then(|schedule| schedule.next_after(now));
            let noted = store.note_overdue(run, &Sighting { next_at, ..sighting(&config, run, *since) }).await;
            store.isolated().part(format_args!("that schedule {} is overdue", run.schedule), noted)?;
        }
        let lasting: Vec<String> = overdue.iter().map(|(run, _)| run.schedule.clone()).collect();
        self.counts = (runs.len(), lasting.len());
        if was_late || open.iter().any(|row| !lasting.contains(&row.name)) {
            store.close_others(ProblemKind::Overdue, None, &lasting).await?;
        }
        Ok(runs.iter().filter_map(ExpectedRun::overdue_at).filter(|at| *at > now).min())
    }
}

/// The schedule in this node's configuration, if that is the one by which the row says what is expected.
fn own_schedule<'a>(config: &'a Config, run: &ExpectedRun) -> Option<&'a Schedule> {
    let schedule = &**config.scheduled(&run.schedule)?.schedule;
    (schedule.expect?.to_string() == run.expect).then_some(schedule)
}

fn sighting(config: &Config, run: &ExpectedRun, since: DateTime<Utc>) -> Sighting {
    let since_when = match run.progress.succeeded_at {
        Some(at) => format!("no run has succeeded since {}", shown(at)),
        None => "no run has succeeded yet".to_owned(),
    };
    let paused = if run.paused { ", and the schedule is paused" } else { "" };
    let late = run.newer_success.map(|at| format!("; the next success came at {}", shown(at))).unwrap_or_default();
    let what = format!("{since_when}; a success was expected by {}{paused}{late}", shown(since));
    Sighting {
        first_at: Some(since),
        last_at: Some(since),
        task: Some(run.task.clone()),
        schedule: Some(run.schedule.clone()),
        queue: config.scheduled(&run.schedule).map(|task| task.definition.queue.to_string()),
        ..Sighting::now(ProblemKind::Overdue, run.schedule.clone(), what)
    }
}
