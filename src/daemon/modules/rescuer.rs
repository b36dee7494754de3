//! `rescuer`: gives back the tasks of nodes that died or lost their lease.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::shared::Shared,
    },
    domain::{daemon::summary::SummaryTable, task::FinishedAttempt},
    store::{OnStale, StoreError, Wakeup},
};

/// New nodes are noticed this late at the latest.
const LOOK: Duration = Duration::from_secs(15);
/// Tasks of nodes that are not even listed are looked for this often.
const SEARCH: Duration = Duration::from_secs(60);
/// The recorder goes first.
const SOON: Duration = Duration::from_millis(100);
/// A lease is over a moment after its last instant.
const AFTER: Duration = Duration::from_millis(20);

/// A claimed task that is not in hand after so long will not come.
const LOST: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Rescuer {
    searched: Option<Instant>,
    missed: Option<Instant>,
    rest: Duration,
    rescued: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Rescuer {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        // What an earlier daemon has finished and could not record counts, if it is recorded before the rescue; and
        // what it has left running goes on.
        if !shared.has_adopted() || shared.board.of("recorder").is_none_or(|recorder| recorder.rounds == 0) {
            self.rest = SOON;
            return Ok(());
        }
        if self.missed.is_none_or(|at| at.elapsed() >= LOST) {
            self.missed = Some(Instant::now());
            give_back_lost(shared, LOST).await?;
        }
        let (expiry, now) = shared.store.next_expiry(&shared.node).await?;
        let until = expiry.map(|expiry| (expiry - now).to_std().unwrap_or_default());
        self.rest = until.map_or(LOOK, |until| (until + AFTER).min(LOOK));
        if until == Some(Duration::ZERO) || self.searched.is_none_or(|at| at.elapsed() >= SEARCH) {
            self.searched = Some(Instant::now());
            self.rescue(context).await?;
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(self.rest))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Rescuer", &["Rescued"], "Nothing had to be rescued.");
        if self.rescued > 0 {
            table.row([self.rescued.to_string()]);
        }
        vec![table]
    }
}

impl Rescuer {
    async fn rescue(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        loop {
            let orphans = shared.store.orphans(&shared.node).await?;
            if orphans.is_empty() {
                break;
            }
            let rescued = shared.store.finish(&orphans, OnStale::Ignore).await?.counted;
            context.progress();
            if rescued > 0 {
                tracing::warn!("{rescued} tasks of dead nodes were given back");
                self.rescued += rescued as u64;
                shared.bells.announce(Wakeup::Anything);
            }
        }
        shared.store.remove_dead_nodes(&shared.node).await?;
        Ok(())
    }
}

/// Gives tasks back that have been this node's for at least so long according to the database, but that it does not
/// have in hand: the answer to their claim was lost, or the dispatcher fell between the two.
pub(super) async fn give_back_lost(shared: &Shared, at_least: Duration) -> Result<(), StoreError> {
    // The answer to a claim may still be on its way; the dispatcher itself waits for none.
    if !at_least.is_zero() && shared.hand.is_claiming() {
        return Ok(());
    }
    let claimed = shared.store.running_of(&shared.node).await?;
    let is_lost = |finished: &FinishedAttempt| {
        finished.duration_ms >= at_least.as_millis() as i64 && !shared.hand.holds(finished.claim)
    };
    let lost: Vec<FinishedAttempt> = claimed.into_iter().filter(is_lost).collect();
    if !lost.is_empty() {
        tracing::warn!("{} claimed tasks were lost sight of, and are given back", lost.len());
        shared.store.finish(&lost, OnStale::Ignore).await?;
    }
    Ok(())
}
