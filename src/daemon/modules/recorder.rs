//! `recorder`: writes finished attempts into history, in batches; on disk while the database is away.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{shared::Shared, spool::Spool},
    },
    domain::{
        command::capture::Kept,
        daemon::summary::SummaryTable,
        task::{FinishedAttempt, Report},
    },
    store::{OnStale, Recorded, StoreError},
};

/// At most so many attempts are written by one transaction.
const BATCH: usize = 500;
/// At most so many bytes of output and payload go with it.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Without a bell, the hand is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Recorder {
    recorded: u64,
    batches: u64,
    stale: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Recorder {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let replayed = self.replay(context).await;
        if replayed.is_err() {
            // What ends while the database stays away is to be on disk as well.
            spool_finished(context.shared());
        }
        replayed
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        let progress = shared.hand.take_progress();
        if !progress.is_empty() {
            // What is lost of it is said anew by the next progress; the attempts themselves matter more.
            if let Err(error) = shared.store.set_progress(&progress).await
                && !error.is_outage()
            {
                tracing::warn!("the progress of {} tasks cannot be shown: {error}", progress.len());
            }
        }
        loop {
            let batch = shared.hand.take_finished(BATCH);
            if batch.attempts().is_empty() {
                return Ok(());
            }
            let bounds = shared.bounds();
            let may_let_begin = batch
                .attempts()
                .iter()
                .any(|ended| bounds.applies_to(&ended.queue, &ended.name, ended.schedule.as_deref()));
            match record(shared, batch.attempts()).await {
                Ok(recorded) => {
                    self.note(shared, recorded);
                    if may_let_begin {
                        // Here, or on another node.
                        shared.client.wake_up(crate::store::Wakeup::Now);
                    }
                    batch.recorded();
                }
                Err(error) if error.is_outage() => {
                    drop(batch);
                    spool_finished(shared);
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
            context.progress();
        }
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(LOOK))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Recorder", &["Recorded", "Batches", "Too late"], "");
        table.row([self.recorded, self.batches, self.stale].map(|count| count.to_string()));
        vec![table]
    }
}

impl Recorder {
    /// Records what waits on disk.
    async fn replay(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        let spool = Spool::new(shared.spool_dir.clone());
        for path in spool.waiting() {
            if let Some(batch) = spool.read(&path) {
                let recorded = record(shared, &batch).await?;
                tracing::info!("{} finished attempts were recorded that had waited on disk", batch.len());
                self.note(shared, recorded);
                spool.remove(&path);
            }
            context.progress();
        }
        // Whoever has recorded them: this daemon, or another one that shares the folder.
        shared.hand.let_go_of_spooled(|path| !path.exists());
        Ok(())
    }

    fn note(&mut self, shared: &Shared, recorded: Recorded) {
        self.batches += 1;
        self.recorded += recorded.counted as u64;
        self.stale += recorded.stale as u64;
        if recorded.retrying > 0 {
            shared.bells.ring("future");
        }
        if recorded.released > 0 && !shared.hand.is_closed() {
            shared.bells.announce(crate::store::Wakeup::Now);
        }
    }
}

/// Puts everything that has ended and is not recorded on disk.
pub(in crate::daemon) fn spool_finished(shared: &Shared) {
    let spool = Spool::new(shared.spool_dir.clone());
    loop {
        let batch = shared.hand.take_finished(BATCH);
        if batch.attempts().is_empty() {
            return;
        }
        match spool.write(batch.attempts()) {
            Ok(path) => batch.spooled(path),
            Err(error) => {
                tracing::error!(
                    "finished attempts can be kept in memory only: {}: {error}",
                    shared.spool_dir.display()
                );
                return;
            }
        }
    }
}

/// Writes a batch, in portions that a server's packet limits can take.
async fn record(shared: &Shared, batch: &[FinishedAttempt]) -> Result<Recorded, StoreError> {
    let mut total = Recorded::default();
    for portion in portions(batch) {
        let recorded = match shared.store.finish(portion, OnStale::Record).await {
            Err(StoreError::Refused(_)) => one_by_one(shared, portion).await?,
            result => result?,
        };
        total += recorded;
    }
    Ok(total)
}

/// One attempt that the database refuses must not hold up the others: it is recorded without what it brought along.
async fn one_by_one(shared: &Shared, batch: &[FinishedAttempt]) -> Result<Recorded, StoreError> {
    let mut total = Recorded::default();
    for finished in batch {
        let recorded = match shared.store.finish(std::slice::from_ref(finished), OnStale::Record).await {
            Err(StoreError::Refused(why)) => {
                tracing::error!(
                    task.id = finished.claim.task_id,
                    "its output and payload were refused, and are left out: {why}"
                );
                let bare = FinishedAttempt {
                    error: Some(format!("output and payload were refused by the database: {why}")),
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
                shared.store.finish(&[bare], OnStale::Record).await?
            }
            result => result?,
        };
        total += recorded;
    }
    Ok(total)
}

/// Cuts a batch where its output and payloads get too heavy.
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
