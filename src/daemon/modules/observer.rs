//! `observer`: notices what should have happened and has not: schedules that are overdue, and runs that take long. Learns
//! what is usual for tasks, and marks runs that are not. Ends the pauses of schedules whose time is over.
//!
//! Every node does this. What concerns a schedule is a row, so that a node also notices it that does not have the
//! schedule. A run that takes long is noticed by the node that runs it.
//!
//! Settings: `expect` and `warn_after` of tasks. Logs the end of a pause; problems are logged by module `notifier`.

mod baselines;
mod long_runs;
mod overdue;

use std::time::Duration;

use async_trait::async_trait;
use sexton_entities::{problem, states::ProblemKind};

use self::{baselines::Learning, long_runs::LongRuns, overdue::OverdueSchedules};
use crate::{
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
    },
    domain::daemon::summary::SummaryTable,
    store::ProblemFilter,
};

/// The interval between two rounds.
const INTERVAL: Duration = Duration::from_secs(10);
/// Maximum number of problems that are looked at.
const LIMIT: u64 = 1_000;

pub(super) struct Observer {
    schedules: OverdueSchedules,
    runs: LongRuns,
    learning: Learning,
}

#[async_trait(?Send)]
impl DaemonModule for Observer {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let store = context.store();
        for name in store.isolated().part("the ends of pauses", store.end_pauses().await)? {
            tracing::info!("the pause of schedule {name} is over: it is resumed");
        }
        let filter = ProblemFilter { limit: LIMIT, ..ProblemFilter::default() };
        let open = store.problems(&filter).await?;
        let of = |kind| open.iter().filter(move |row| row.kind == kind).collect::<Vec<&problem::Model>>();
        let looked = self.schedules.look(context, &of(ProblemKind::Overdue)).await;
        store.isolated().part("schedules that are overdue", looked)?;
        let looked = self.runs.look(context, &of(ProblemKind::LongRun)).await;
        store.isolated().part("runs that take long", looked)?;
        store.isolated().part("what is usual for tasks", self.learning.round(context).await)?;
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
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
    pub(super) fn new(node: String, in_flight: InFlight) -> Self {
        Self {
            schedules: OverdueSchedules::new(node.clone()),
            runs: LongRuns::new(node, in_flight),
            learning: Learning::default(),
        }
    }
}
