//! `recorder`: writes finished attempts into history, in batches; to the spool on disk while the database does not
//! answer.
//!
//! Settings: `mail_output` and `mail_output_to`. It cannot be disabled. A finished attempt wakes it. Logs how many
//! attempts it recorded from the spool, and attempts that the database refused: they are in `spool/refused`.

mod output_mails;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sexton_entities::{json_text::JsonText, states::Verdict};

use self::output_mails::output_mails;
use crate::{
    daemon::{
        fault_point::fault_point,
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            attempt_spool::{Spool, SpooledBatch},
            config_in_force::ConfigInForce,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        command::capture::Kept,
        daemon::summary::SummaryTable,
        identity::ModuleName,
        problem::is_failure,
        task::{FinishedAttempt, Report},
        text::plural::counted,
    },
    store::{OnStale, Recorded, Store, StoreError, Wakeup, in_portions},
};

/// Maximum number of attempts in one transaction.
const BATCH: usize = 500;
/// Maximum size of the output and payloads in one transaction, in bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often it checks for progress and finished attempts without a wake-up.
const INTERVAL: Duration = Duration::from_secs(1);
/// After this time it tries to read a file again.
const READ_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Recorder {
    in_flight: InFlight,
    spool: Spool,
    in_force: ConfigInForce,
    wakers: Wakers,
    /// When a file of the spool that could not be read is tried again.
    replay_at: Option<Instant>,
    /// The last round ended although more attempts may have finished.
    has_more: bool,
    recorded: u64,
    batches: u64,
    stale: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Recorder {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        for path in self.spool.refused() {
            context.store().isolated().note(refused_attempt(&path), "the database refused it earlier");
        }
        let replayed = self.replay(context).await;
        if replayed.is_err() {
            // Attempts that finish during the outage go to disk as well.
            self.spool.keep_finished(&self.in_flight);
        }
        replayed
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.record_progress(context).await;
        if self.replay_at.is_some_and(|at| at <= Instant::now()) {
            self.replay(context).await?;
        }
        self.release_given_back(context).await;
        let end = Instant::now() + INTERVAL;
        loop {
            // While attempts finish faster than they are recorded, progress, releases and the spool have their turn too.
            self.has_more = Instant::now() >= end;
            if self.has_more {
                return Ok(());
            }
            let batch = self.in_flight.take_finished(BATCH);
            if batch.attempts().is_empty() {
                return Ok(());
            }
            let limits = self.in_force.limits();
            let may_free_others = batch
                .attempts()
                .iter()
                .any(|ended| limits.applies_to(&ended.queue, &ended.name, ended.schedule.as_deref()));
            match self.record(context.store(), batch.attempts()).await {
                Ok(recorded) => {
                    self.release_followers(context, &recorded).await?;
                    self.note(&recorded);
                    if batch.attempts().iter().any(is_failure) {
                        self.wakers.announce_problem();
                    }
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
        Ok(Next::After(if self.has_more { Duration::ZERO } else { INTERVAL }))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Recorder", &["Recorded", "Batches", "Too late"], "");
        table.row([self.recorded, self.batches, self.stale].map(|count| count.to_string()));
        vec![table]
    }
}

impl Recorder {
    pub(super) fn new(in_flight: InFlight, spool: Spool, in_force: ConfigInForce, wakers: Wakers) -> Self {
        Self { in_flight, spool, in_force, wakers, replay_at: None, has_more: false, recorded: 0, batches: 0, stale: 0 }
    }

    /// Writes the progress that running attempts report. Progress that is lost is replaced by the next one.
    async fn record_progress(&self, context: &ModuleContext) {
        let progress = self.in_flight.take_progress();
        if !progress.is_empty()
            && let Err(error) = context.store().set_progress(self.in_flight.node(), &progress).await
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
        self.replay_at = None;
        self.spool.put_foreign_aside();
        // What is foreign and could not be moved stays where it is.
        let own: Vec<PathBuf> = self.spool.waiting().into_iter().filter(|path| self.spool.is_own(path)).collect();
        for path in own {
            match self.spool.read(&path) {
                Ok(None) => {}
                Ok(Some(batch)) => self.replay_batch(context, &path, batch).await?,
                Err(error) => {
                    tracing::warn!("cannot read {} now: {error}", path.display());
                    self.replay_at = Some(Instant::now() + READ_AGAIN);
                }
            }
            context.progress();
        }
        // Recorded by this daemon, or by another one that shares the directory.
        self.in_flight.remove_spooled(|path| !path.exists());
        Ok(())
    }

    async fn replay_batch(&mut self, context: &ModuleContext, path: &Path, batch: SpooledBatch) -> anyhow::Result<()> {
        let store = context.store();
        let recorded = self.record(store, &batch.attempts).await?;
        self.release_followers(context, &recorded).await?;
        tracing::info!("recorded {} from the spool", counted(batch.attempts.len(), "finished attempt"));
        self.note(&recorded);
        if batch.attempts.iter().any(is_failure) {
            self.wakers.announce_problem();
        }
        let Some((_, why)) = batch.damaged.first() else {
            self.spool.remove(path);
            return Ok(());
        };
        match self.spool.put_aside(path, &batch.damaged) {
            Ok(aside) => {
                let lines = counted(batch.damaged.len(), "damaged line");
                store.isolated().note(format_args!("{} has {lines}", aside.display()), why);
                self.spool.remove(path);
            }
            // What was recorded from it is not recorded twice.
            Err(error) => {
                tracing::warn!("cannot put damaged lines of {} aside: {error}", path.display());
                self.replay_at = Some(Instant::now() + READ_AGAIN);
            }
        }
        Ok(())
    }

    /// Records a batch, in portions that fit into a server's packet limit. An attempt that the database refuses is recorded
    /// without its output and payload, or else put aside, so that it does not keep the others back.
    async fn record(&self, store: &Store, batch: &[FinishedAttempt]) -> Result<Recorded, StoreError> {
        fault_point("attempts ended");
        let config = self.in_force.config();
        let work = async |portion: &[FinishedAttempt]| {
            let mails = output_mails(&config, portion);
            let recorded = store.finish_with(portion, OnStale::Record, &mails).await;
            if !mails.is_empty() && recorded.is_ok() {
                self.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
            }
            recorded
        };
        let results = in_portions(portions(batch), work).await?;
        let mut total = Recorded::default();
        results.done.into_iter().for_each(|recorded| total += recorded);
        for (finished, why) in results.refused {
            let bare = bare(finished, &why);
            let one = std::slice::from_ref(&bare);
            total += match store.finish_with(one, OnStale::Record, &output_mails(&config, one)).await {
                Err(StoreError::Refused(why)) => self.put_aside(store, finished, &bare, &why).await?,
                result => {
                    let recorded = result?;
                    tracing::error!(
                        task.id = finished.claim.task_id,
                        "recorded {} without its output and payload, which the database refused: {why}",
                        finished.name
                    );
                    recorded
                }
            };
        }
        Ok(total)
    }

    /// Keeps an attempt on disk whose record the database refuses in any form, and applies its verdict to its task.
    async fn put_aside(
        &self,
        store: &Store,
        finished: &FinishedAttempt,
        bare: &FinishedAttempt,
        why: &str,
    ) -> Result<Recorded, StoreError> {
        let (claim, name) = (finished.claim, &finished.name);
        match self.spool.refuse(finished, why) {
            Ok(path) => store.isolated().note(refused_attempt(&path), format_args!("the database refuses it: {why}")),
            Err(error) => tracing::error!(
                task.id = claim.task_id,
                "the record of {name} (claim {claim}, {}) is lost: the database refuses it ({why}), and the disk ({error})",
                finished.outcome
            ),
        }
        let is_held = match store.finish_unrecorded(bare).await {
            Err(StoreError::Refused(why)) => {
                let is_held = match store.hold_unfinished(&finished.node, finished.identity()).await {
                    Err(StoreError::Refused(_)) => false,
                    result => result?,
                };
                let hold = if is_held { ", and is on hold" } else { "" };
                let what = format!("task {} cannot be finished{hold}", claim.task_id);
                store.isolated().note(what, format_args!("{why} (claim {claim})"));
                false
            }
            result => result?,
        };
        let one_if = |verdict| usize::from(is_held && finished.verdict == Some(verdict));
        Ok(Recorded {
            counted: usize::from(is_held),
            stale: 0,
            retrying: one_if(Verdict::Retry),
            released: one_if(Verdict::Released),
            ..Recorded::default()
        })
    }

    /// Releases the tasks that waited for groups which have ended now, and wakes the nodes for all followers. What an outage
    /// prevents, the module `future` does later.
    async fn release_followers(&self, context: &ModuleContext, recorded: &Recorded) -> Result<(), StoreError> {
        fault_point("attempts recorded");
        let settled = match context.store().settle_groups(&recorded.groups).await {
            Err(error) if error.is_outage() => return Ok(()),
            settled => context.store().isolated().part("tasks that wait for groups", settled)?,
        };
        fault_point("groups settled");
        if recorded.followers + settled.released > 0 {
            context.client().wake_up(Wakeup::Anything);
        }
        Ok(())
    }

    fn note(&mut self, recorded: &Recorded) {
        self.batches += 1;
        self.recorded += recorded.counted as u64;
        self.stale += recorded.stale as u64;
        if recorded.stale > 0 {
            let attempts = counted(recorded.stale, "attempt");
            tracing::warn!("{attempts} came too late and changed nothing (superseded): the tasks were given out again");
        }
        if recorded.retrying > 0 {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        if recorded.released > 0 && !self.in_flight.is_closed() {
            self.wakers.announce(Wakeup::Now);
        }
    }
}

/// The name by which a file in `spool/refused` is reported.
fn refused_attempt(path: &Path) -> String {
    format!("{} is put aside", path.display())
}

/// An attempt without what the database may refuse: its output and its payloads.
fn bare(finished: &FinishedAttempt, why: &str) -> FinishedAttempt {
    FinishedAttempt {
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
    }
}

/// Cuts a batch into portions of at most [`BATCH_BYTES`] of output and payloads.
fn portions(batch: &[FinishedAttempt]) -> Vec<&[FinishedAttempt]> {
    let json = |json: Option<&JsonText>| json.map_or(0, |json| json.get().len());
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
