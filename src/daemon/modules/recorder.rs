//! `recorder`: writes finished attempts into history, in batches; to the spool on disk while the database does not
//! answer.
//!
//! Settings: none of its own. It cannot be disabled. A finished attempt wakes it. Logs how many attempts it recorded from
//! the spool, and attempts whose output or payload the database refused.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            config_in_force::ConfigInForce,
            spool::Spool,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        command::capture::Kept,
        daemon::summary::SummaryTable,
        identity::ModuleName,
        task::{FinishedAttempt, Report},
        text::plural::counted,
    },
    store::{OnStale, Recorded, Store, StoreError, Wakeup},
};

/// Maximum number of attempts in one transaction.
const BATCH: usize = 500;
/// Maximum size of the output and payloads in one transaction, in bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often it checks for progress and finished attempts without a wake-up.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Recorder {
    in_flight: InFlight,
    spool: Spool,
    in_force: ConfigInForce,
    wakers: Wakers,
    recorded: u64,
    batches: u64,
    stale: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Recorder {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let replayed = self.replay(context).await;
        if replayed.is_err() {
            // Attempts that finish during the outage go to disk as well.
            self.spool.keep_finished(&self.in_flight);
        }
        replayed
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.record_progress(context).await;
        self.release_given_back(context).await;
        loop {
            let batch = self.in_flight.take_finished(BATCH);
            if batch.attempts().is_empty() {
                return Ok(());
            }
            let limits = self.in_force.limits();
            let may_free_others = batch
                .attempts()
                .iter()
                .any(|ended| limits.applies_to(&ended.queue, &ended.name, ended.schedule.as_deref()));
            match record(context.store(), batch.attempts()).await {
                Ok(recorded) => {
                    self.note(recorded);
                    if may_free_others {
                        // A task that a limit kept back can run now, here or on another node.
                        context.client().wake_up(Wakeup::Now);
                    }
                    batch.recorded();
                }
                Err(error) if error.is_outage() => {
                    drop(batch);
                    self.spool.keep_finished(&self.in_flight);
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
            context.progress();
        }
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Recorder", &["Recorded", "Batches", "Too late"], "");
        table.row([self.recorded, self.batches, self.stale].map(|count| count.to_string()));
        vec![table]
    }
}

impl Recorder {
    pub(super) fn new(in_flight: InFlight, spool: Spool, in_force: ConfigInForce, wakers: Wakers) -> Self {
        Self { in_flight, spool, in_force, wakers, recorded: 0, batches: 0, stale: 0 }
    }

    /// Writes the progress that running attempts report. Progress that is lost is replaced by the next one.
    async fn record_progress(&self, context: &ModuleContext) {
        let progress = self.in_flight.take_progress();
        if !progress.is_empty()
            && let Err(error) = context.store().set_progress(&progress).await
            && !error.is_outage()
        {
            tracing::warn!("cannot record the progress of {}: {error}", counted(progress.len(), "task"));
        }
    }

    /// Releases the tasks that workers gave back. What cannot be released now waits for the next round.
    async fn release_given_back(&self, context: &ModuleContext) {
        match self.in_flight.release_given_back(context.store()).await {
            Ok(0) => {}
            Ok(_) => self.wakers.announce(Wakeup::Now),
            Err(error) if error.is_outage() => {}
            Err(error) => tracing::warn!("cannot release tasks that were given back: {error}"),
        }
    }

    /// Records the attempts in the spool.
    async fn replay(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        for path in self.spool.waiting() {
            if let Some(batch) = self.spool.read(&path) {
                let recorded = record(context.store(), &batch).await?;
                tracing::info!("recorded {} from the spool", counted(batch.len(), "finished attempt"));
                self.note(recorded);
                self.spool.remove(&path);
            }
            context.progress();
        }
        // Recorded by this daemon, or by another one that shares the directory.
        self.in_flight.remove_spooled(|path| !path.exists());
        Ok(())
    }

    fn note(&mut self, recorded: Recorded) {
        self.batches += 1;
        self.recorded += recorded.counted as u64;
        self.stale += recorded.stale as u64;
        if recorded.retrying > 0 {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        if recorded.released > 0 && !self.in_flight.is_closed() {
            self.wakers.announce(Wakeup::Now);
        }
    }
}

/// Records a batch, in portions that fit into a server's packet limit.
async fn record(store: &Store, batch: &[FinishedAttempt]) -> Result<Recorded, StoreError> {
    let mut total = Recorded::default();
    for portion in portions(batch) {
        let recorded = match store.finish(portion, OnStale::Record).await {
            Err(StoreError::Refused(_)) => one_by_one(store, portion).await?,
            result => result?,
        };
        total += recorded;
    }
    Ok(total)
}

/// Records attempts one by one. One that the database refuses is recorded without its output and payload, so that it does
/// not keep the others back.
async fn one_by_one(store: &Store, batch: &[FinishedAttempt]) -> Result<Recorded, StoreError> {
    let mut total = Recorded::default();
    for finished in batch {
        let recorded = match store.finish(std::slice::from_ref(finished), OnStale::Record).await {
            Err(StoreError::Refused(why)) => {
                tracing::error!(
                    task.id = finished.claim.task_id,
                    "recorded {} without its output and payload, which the database refused: {why}",
                    finished.name
                );
                let bare = FinishedAttempt {
                    error: Some(format!("the database refused the output and the payload: {why}")),
                    payload: None,
                    report: Report {
                        stdout: Kept::default(),
                        stderr: Kept::default(),
                        result: None,
                        next_payload: None,
                        ..finished.report.clone()
                    },
                    ..finished.clone()
                };
                store.finish(&[bare], OnStale::Record).await?
            }
            result => result?,
        };
        total += recorded;
    }
    Ok(total)
}

/// Cuts a batch into portions of at most [`BATCH_BYTES`] of output and payloads.
fn portions(batch: &[FinishedAttempt]) -> Vec<&[FinishedAttempt]> {
    let json = |value: Option<&Value>| {
        value.map_or(0, |value| match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 8,
            other => other.to_string().len(),
        })
    };
    let kept = |kept: &Kept| kept.text.len() + kept.stamps.len() * 16;
    let weight = |finished: &FinishedAttempt| {
        let report = &finished.report;
        kept(&report.stdout)
            + kept(&report.stderr)
            + json(report.result.as_ref())
            + json(report.next_payload.as_ref())
            + json(finished.payload.as_ref())
    };
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, finished) in batch.iter().enumerate() {
        let weight = weight(finished);
        if bytes + weight > BATCH_BYTES && index > start {
            portions.push(&batch[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += weight;
    }
    portions.push(&batch[start..]);
    portions
}
