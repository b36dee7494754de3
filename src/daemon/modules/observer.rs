//! `observer`: notices what should have happened and has not: schedules that are overdue, and runs that take long. Learns
//! what is usual for tasks, and marks runs that are not. Ends the pauses of schedules whose time is over.
//!
//! Every node does this. What concerns a schedule is a row, so that a node also notices it that does not have the
//! schedule. A run that takes long is noticed by the node that runs it.
//!
//! Settings: `expect` and `warn_after` of tasks. Logs the end of a pause; problems are logged by module `notifier`.

mod baselines;
mod definitions;
mod long_runs;
mod overdue;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sexton_entities::{problem, states::ProblemKind};

use self::{baselines::Learning, definitions::ScheduleDefinitions, long_runs::LongRuns, overdue::OverdueSchedules};
use crate::{
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::latest_outlook::LatestOutlook,
    },
    domain::daemon::summary::SummaryTable,
    store::{ProblemFilter, StoreError},
};

/// The interval between two looks at what this node runs.
const INTERVAL: Duration = Duration::from_secs(10);
/// The interval between two looks at the tables while nothing is due and no problem lasts. Another node may have entered
/// something.
const IDLE_INTERVAL: Duration = Duration::from_secs(120);
/// A look of the dispatcher that is older says nothing.
const LOOK_AGE: Duration = Duration::from_secs(20);
/// The shortest rest before an instant that is due.
const SHORTEST: Duration = Duration::from_millis(100);
/// Maximum number of problems that are looked at.
const LIMIT: u64 = 1_000;

pub(super) struct Observer {
    schedules: OverdueSchedules,
    definitions: ScheduleDefinitions,
    runs: LongRuns,
    learning: Learning,
    outlook: LatestOutlook,
    asked: Option<Asked>,
    /// The number of problems that this node had noted after the last look.
    noted: Option<u64>,
}

/// What the tables said.
struct Asked {
    at: Instant,
    /// A problem lasts whose end this module notices.
    lasts: bool,
    /// When the next pause ends, or the next schedule is overdue.
    next: Option<DateTime<Utc>>,
}

#[async_trait(?Send)]
impl DaemonModule for Observer {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if !self.has_to_ask(context) {
            return Ok(());
        }
        let (store, at) = (context.store(), Instant::now());
        self.asked = None;
        let pauses = store.isolated().part("the ends of pauses", store.end_pauses().await)?;
        for name in pauses.schedules {
            tracing::info!("the pause of schedule {name} is over: it is resumed");
        }
        let open = self.open_problems(context).await?;
        let of = |kind| open.iter().filter(move |row| row.kind == kind).collect::<Vec<&problem::Model>>();
        let (overdue, long) = (of(ProblemKind::Overdue), of(ProblemKind::LongRun));
        let looked = self.schedules.look(context, &overdue).await;
        let next_overdue = store.isolated().part("schedules that are overdue", looked)?;
        let looked = self.definitions.look(context, &of(ProblemKind::Configuration)).await;
        store.isolated().part("schedules that nodes define differently, or not at all", looked)?;
        let looked = self.runs.look(context, &long).await;
        store.isolated().part("runs that take long", looked)?;
        let seen = self.outlook.fresh(LOOK_AGE.min(interval(context)));
        let known = seen.map(|seen| seen.last_history_id.unwrap_or_default());
        store
            .isolated()
            .part("what is usual for tasks", self.learning.round(context, interval(context), known).await)?;
        let next = [pauses.next_end, next_overdue].into_iter().flatten().min();
        self.noted = Some(store.problems_noted());
        self.asked = Some(Asked { at, lasts: !overdue.is_empty() || !long.is_empty(), next });
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let next = self.asked.as_ref().and_then(|asked| asked.next);
        let until = next.map(|at| (at - context.clock().now()).to_std().unwrap_or_default());
        Ok(Next::After(until.map_or(INTERVAL, |until| until.clamp(SHORTEST, INTERVAL))))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table =
            SummaryTable::new("Expected runs", &["Schedules", "Overdue"], "No schedule has the setting expect.");
        if let Some((all, overdue)) = self.schedules.counts() {
            table.row([all.to_string(), overdue.to_string()]);
        }
        vec![table]
    }
}

impl Observer {
    pub(super) fn new(node: String, in_flight: InFlight, outlook: LatestOutlook) -> Self {
        Self {
            schedules: OverdueSchedules::new(node.clone()),
            definitions: ScheduleDefinitions::default(),
            runs: LongRuns::new(node, in_flight),
            learning: Learning::default(),
            outlook,
            asked: None,
            noted: None,
        }
    }

    /// The problems that last. They are not read if the dispatcher has seen that there are none, and this node has noted
    /// none since.
    async fn open_problems(&self, context: &ModuleContext) -> Result<Vec<problem::Model>, StoreError> {
        let store = context.store();
        let seen = self.outlook.fresh(LOOK_AGE.min(interval(context)));
        if seen.is_some_and(|seen| !seen.has_problems) && self.noted == Some(store.problems_noted()) {
            return Ok(Vec::new());
        }
        store.problems(&ProblemFilter { limit: LIMIT, ..ProblemFilter::default() }).await
    }

    /// Whether the tables have to be read in this round.
    fn has_to_ask(&self, context: &ModuleContext) -> bool {
        let config = context.config();
        let Some(Asked { at, lasts, next }) = &self.asked else { return true };
        *lasts
            || at.elapsed() >= interval(context)
            || next.is_some_and(|next| next <= context.clock().now())
            || !self.schedules.has_entered(&config)
            || self.runs.has_new(&config)
    }
}

/// The interval between two looks at the tables while all is well.
fn interval(context: &ModuleContext) -> Duration {
    context.config().module(context.name()).interval.unwrap_or(IDLE_INTERVAL)
}
