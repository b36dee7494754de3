//! `adopter`: adopts commands that run, or have ended, without a worker that follows them: those of daemons on this
//! machine that died, and those of this daemon whose worker was lost.
//!
//! It leaves alone the commands of another database, and puts their attempts aside once they have ended. The dispatcher
//! claims nothing before the first round, so that adopted commands count among those of their queue.
//!
//! Settings: none of its own. It cannot be disabled. Logs each adopted command, attempts of another database, and attempt
//! directories that it cannot read.

use std::{collections::HashSet, io::ErrorKind, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::machine_time,
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            foreign_leftovers::ForeignLeftovers,
            lease::Lease,
            milestones::Milestones,
            module_status::{ModuleState, ModuleStatuses},
            wakers::{WakeReason, Wakers},
        },
        workers::attempt_executor::Executor,
    },
    domain::{
        daemon::summary::SummaryTable,
        identity::{DatabaseId, ModuleName, NodeId},
        task::claim::{Claim, ClaimIdentity},
        text::plural::counted,
    },
    handler::{AdoptedCommand, CommandInfo},
    shepherd::{AttemptDir, AttemptManifest, BegunJournal, DAMAGED, FOREIGN, LeaseFiles, NodeDir, Shepherds, boot_id},
    store::{DropInRuntime, RunningClaim, Store, StoreError},
};

/// How often it examines the attempt directories without a wake-up.
const INTERVAL: Duration = Duration::from_secs(10);
/// Delay while this node has no lease (adopted tasks would look like those of a dead node), and while the recorder has
/// not replayed the spool (what is recorded is not adopted).
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(50);
/// The same while something could not be read, and the other modules wait.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// After this number of rounds in which something could not be read, the other modules wait no longer.
const MAX_INCOMPLETE_ROUNDS: u32 = 10;
/// Damaged attempt directories are kept for this long.
const KEEP_DAMAGED: Duration = Duration::from_secs(7 * 86_400);

/// What the module needs of the daemon.
#[derive(Clone)]
pub(super) struct AdopterParts {
    pub(super) node: NodeId,
    pub(super) in_flight: InFlight,
    pub(super) lease: Arc<Lease>,
    pub(super) lease_files: LeaseFiles,
    pub(super) shepherds: Shepherds,
    pub(super) milestones: Arc<Milestones>,
    pub(super) executor: Arc<Executor>,
    pub(super) foreign: ForeignLeftovers,
    pub(super) statuses: ModuleStatuses,
    pub(super) wakers: Wakers,
}

pub(super) struct Adopter {
    parts: AdopterParts,
    /// Directories of daemons that are gone.
    abandoned: Vec<NodeDir>,
    adopted: u64,
    is_waiting: bool,
    /// Rounds in a row in which something could not be read.
    incomplete_rounds: u32,
}

#[async_trait(?Send)]
impl DaemonModule for Adopter {
    async fn pre_run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        self.parts.in_flight.cancel_adoptions();
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let parts = self.parts.clone();
        self.is_waiting = parts.lease.left().is_none() || parts.is_recorder_starting();
        if self.is_waiting {
            return Ok(());
        }
        self.abandoned.extend(NodeDir::abandoned(parts.shepherds.root()));
        let own = parts.shepherds.existing_node_dir();
        let detached = parts.in_flight.detached_claims();
        let mut found: Vec<AttemptDir> = Vec::new();
        let mut is_complete = true;
        for node_dir in self.abandoned.iter().chain(own.as_deref()) {
            let what = format!("the attempts of {} cannot be looked for", node_dir.node());
            match node_dir.attempt_dirs() {
                Ok(dirs) => {
                    found.extend(dirs);
                    context.store().isolated().forget(what);
                }
                // Such as a lack of descriptors: the next round tries again, and the other directories go on.
                Err(error) => {
                    is_complete = false;
                    context.store().isolated().note(what, error);
                }
            }
        }
        let claims: HashSet<Claim> = found.iter().filter_map(AttemptDir::claim).collect();
        let mut adopting = Vec::new();
        for dir in found {
            if dir.claim().is_some_and(|claim| parts.in_flight.is_attended(claim)) {
                continue;
            }
            let unreadable = format!("the attempt in {} cannot be read", dir.path().display());
            let manifest = dir.manifest::<CommandInfo>();
            if manifest.is_ok() {
                context.store().isolated().forget(&unreadable);
            }
            match manifest {
                Ok(AttemptManifest { about: CommandInfo { database: Some(database), .. }, .. })
                    if parts.foreign.other(Some(&database)).is_some() =>
                {
                    parts.leave_foreign(&dir, &database);
                }
                // Another container shares this directory: its processes cannot be seen from here.
                Ok(manifest) if manifest.boot_id != boot_id() && dir.is_held().unwrap_or(true) => {}
                Ok(manifest) if parts.in_flight.adopt(&manifest.about.task) => adopting.push((dir, manifest)),
                Ok(_) => {}
                // It is being made, or has just been recorded; or a daemon was killed in the middle of that.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if dir.path().parent() != own.as_ref().map(|own| own.path()) {
                        dir.remove();
                    }
                }
                // Such as a lack of descriptors: the next round tries again.
                Err(error) if !is_damaged(&error) || dir.is_held().unwrap_or(true) => {
                    is_complete = false;
                    context.store().isolated().note(unreadable, error);
                }
                Err(error) => {
                    let path = dir.path().display();
                    let _ = dir.put_aside(DAMAGED);
                    let why = reason_of_damage(&error);
                    context.store().isolated().note(format_args!("{path} is damaged and renamed to .damaged"), why);
                }
            }
            context.progress();
        }
        // Attempts without a directory never began: the rescuer releases their tasks.
        for claim in detached.into_iter().filter(|claim| is_complete && !claims.contains(claim)) {
            parts.in_flight.remove_detached(claim);
        }
        self.adopt(context.store(), adopting).await?;
        if is_complete {
            self.release_never_begun(context.store(), &claims).await?;
        }
        for put_aside in self.abandoned.iter().chain(own.as_deref()).flat_map(NodeDir::foreign) {
            parts.foreign.note(put_aside.path());
        }
        self.abandoned.retain(|node_dir| {
            node_dir.clean(machine_time() - KEEP_DAMAGED);
            !node_dir.remove_if_empty()
        });
        self.incomplete_rounds = if is_complete { 0 } else { self.incomplete_rounds + 1 };
        // Until everything was read, nobody may release or claim what can be adopted; but they do not wait for ever.
        if !parts.milestones.has_adopted() && (is_complete || self.incomplete_rounds >= MAX_INCOMPLETE_ROUNDS) {
            parts.milestones.note_adopted();
            parts.wakers.wake(&ModuleName::DISPATCHER, WakeReason::SlotFree);
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(match self.is_waiting {
            true => WAIT_FOR_OTHERS,
            // The dispatcher and the rescuer wait for it.
            false if !self.parts.milestones.has_adopted() => RETRY_INTERVAL,
            false => INTERVAL,
        }))
    }

    /// The attempts that it follows would have to be adopted again.
    fn can_be_recycled(&self, _: &ModuleContext) -> bool {
        self.parts.in_flight.is_idle()
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Adopter", &["Adopted"], "No command had to be adopted.");
        if self.adopted > 0 {
            table.row([self.adopted.to_string()]);
        }
        vec![table]
    }
}

/// Whether the file is no attempt at all.
fn is_damaged(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// A manifest is not flushed: after a crash of the machine it may be empty, or end early.
fn reason_of_damage(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the file ends too early, as after a crash of the machine".to_owned(),
        _ => error.to_string(),
    }
}

impl AdopterParts {
    /// Whether the recorder may still be replaying the spool. Its failure does not keep the adopter waiting.
    fn is_recorder_starting(&self) -> bool {
        let recorder = self.statuses.get(&ModuleName::RECORDER);
        recorder
            .is_some_and(|status| status.rounds == 0 && status.failures == 0 && status.state == ModuleState::Starting)
    }

    /// Leaves a running command of another database alone, and puts the attempt aside once the command has ended.
    fn leave_foreign(&self, dir: &AttemptDir, database: &DatabaseId) {
        let report = |path: &Path, fate: &str| self.foreign.report(path, database, fate);
        if dir.is_held().unwrap_or(true) {
            return report(dir.path(), "its command is left alone");
        }
        match dir.put_aside(FOREIGN) {
            Ok(aside) => report(aside.path(), "its attempt is put aside here, and not recorded"),
            Err(error) => tracing::warn!("cannot put {} aside: {error}", dir.path().display()),
        }
    }
}

impl Adopter {
    pub(super) fn new(parts: AdopterParts) -> Self {
        Self { parts, abandoned: Vec::new(), adopted: 0, is_waiting: false, incomplete_rounds: 0 }
    }

    /// Releases the tasks that daemons which are gone had claimed and not begun. Without a journal nobody can tell: the
    /// rescuer records them as interrupted when the lease is over.
    async fn release_never_begun(&self, store: &Store, commands: &HashSet<Claim>) -> Result<(), StoreError> {
        for node_dir in &self.abandoned {
            let what = format!("what {} had claimed and not begun", node_dir.node());
            match BegunJournal::read(node_dir.path(), self.parts.foreign.own()) {
                Ok(Some(begun)) => {
                    let released = self
                        .release_except(store, node_dir, |claim| begun.contains(&claim) || commands.contains(&claim));
                    store.isolated().part(what.as_str(), released.await)?;
                }
                Ok(None) => store.isolated().forget(what),
                Err(error) => store.isolated().note(what, error),
            }
        }
        Ok(())
    }

    async fn release_except(
        &self,
        store: &Store,
        node_dir: &NodeDir,
        has_begun: impl Fn(Claim) -> bool,
    ) -> Result<(), StoreError> {
        let node = node_dir.node();
        let running = store.running_of(&node).await?;
        let never_began: Vec<ClaimIdentity> =
            running.iter().filter(|running| !has_begun(running.claim)).filter_map(RunningClaim::identity).collect();
        let released = store.release(&node, &never_began).await?;
        BegunJournal::remove(node_dir.path());
        if released > 0 {
            let tasks = counted(usize::try_from(released).unwrap_or(usize::MAX), "task");
            tracing::info!("released {tasks} that {node} had claimed and not begun when it ended");
            self.parts.wakers.wake(&ModuleName::DISPATCHER, WakeReason::SlotFree);
        }
        Ok(())
    }

    /// Moves the tasks to this node in the database, and follows their commands.
    async fn adopt(
        &mut self,
        store: &Store,
        found: Vec<(AttemptDir, AttemptManifest<CommandInfo>)>,
    ) -> anyhow::Result<()> {
        let claims: Vec<ClaimIdentity> = found.iter().map(|(_, manifest)| manifest.about.task.identity()).collect();
        let adoption = match store.adopt(&self.parts.node, &claims).await {
            Ok(adoption) => adoption,
            Err(error) => {
                for claim in claims {
                    self.parts.in_flight.detach(claim.claim);
                }
                return Err(error.into());
            }
        };
        for (dir, manifest) in found {
            let claim = manifest.about.task.claim;
            if adoption.refused.contains(&claim) {
                // It goes on without a daemon, and the next round tries again.
                self.parts.in_flight.postpone_adoption(claim);
                continue;
            }
            let is_ours = adoption.held.contains(&claim);
            self.parts.shepherds.restore_memory_limit(&dir, &manifest);
            let CommandInfo { task, definition, .. } = manifest.about;
            match is_ours {
                true => tracing::info!(
                    task.id = task.claim.task_id,
                    task.attempt,
                    "adopting the command of {}, which ran without a daemon",
                    task.name
                ),
                false => tracing::info!(
                    task.id = task.claim.task_id,
                    task.attempt,
                    "stopping the leftover command of {}: its task has gone to another node",
                    task.name
                ),
            }
            if let Some(node_dir) = dir.path().parent() {
                self.parts.lease_files.adopt(node_dir, self.parts.lease.grant());
            }
            self.adopted += 1;
            let handler = AdoptedCommand { attempt_dir: dir, boot_id: manifest.boot_id, is_ours };
            let executor = self.parts.executor.clone();
            let following = async move { executor.adopt(task, definition, &handler).await };
            actix_rt::spawn(DropInRuntime::new(following));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_was_not_flushed_is_explained() {
        let why = |text: &str| {
            let error = std::io::Error::from(serde_json::from_str::<AttemptManifest<u8>>(text).unwrap_err());
            assert!(is_damaged(&error), "{error}");
            reason_of_damage(&error)
        };
        assert_eq!(why(""), "the file ends too early, as after a crash of the machine");
        assert_eq!(why("{\"about\":"), why(""));
        assert!(why("no manifest").contains("at line 1 column"));
    }
}
