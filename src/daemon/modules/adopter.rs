//! `adopter`: takes up commands that go on without anybody who follows them, and records those that have ended so:
//! those of daemons of this machine that died, and those of this daemon whose worker was lost.

use std::{collections::HashSet, io::ErrorKind, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::machine_time,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::shared::Shared,
        workers::execute,
    },
    domain::{daemon::summary::SummaryTable, task::claim::Claim},
    handler::{AdoptedCommand, CommandInfo},
    shepherd::{AttemptDir, AttemptManifest, NodeDir, boot_id},
    store::DropInRuntime,
};

/// Without a bell, the folders are looked through this often.
const LOOK: Duration = Duration::from_secs(10);
/// Until this node has a lease, what it took up would look like a dead node's.
const SOON: Duration = Duration::from_millis(50);
/// What nobody can make use of is kept for so long.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

#[derive(Default)]
pub(super) struct Adopter {
    /// Homes of daemons that are gone.
    homes: Vec<NodeDir>,
    adopted: u64,
    is_waiting: bool,
}

#[async_trait(?Send)]
impl DaemonModule for Adopter {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        context.shared().hand.forget_adopting();
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        self.is_waiting = shared.lease.left().is_none();
        if self.is_waiting {
            return Ok(());
        }
        self.homes.extend(NodeDir::abandoned(shared.shepherds.root()));
        let own = shared.shepherds.existing_node_dir();
        let left = shared.hand.left_claims();
        let mut found: Vec<AttemptDir> = Vec::new();
        for home in self.homes.iter().chain(own.as_deref()) {
            found.extend(home.attempt_dirs()?);
        }
        let claims: HashSet<Claim> = found.iter().filter_map(AttemptDir::claim).collect();
        let mut adopting = Vec::new();
        for folder in found {
            if folder.claim().is_some_and(|claim| shared.hand.is_followed(claim)) {
                continue;
            }
            match folder.manifest::<CommandInfo>() {
                // Another container that shares this folder: its processes cannot be seen from here.
                Ok(paper) if paper.boot_id != boot_id() && folder.is_held().unwrap_or(true) => {}
                Ok(paper) if shared.hand.adopt(&paper.about.task) => adopting.push((folder, paper)),
                Ok(_) => {}
                // It has just been recorded.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // Descriptors are short: another time.
                Err(error) if !is_damaged(&error) || folder.is_held().unwrap_or(true) => {
                    tracing::warn!("{} cannot be read for now: {error}", folder.path().display());
                }
                Err(error) => {
                    tracing::error!("{} cannot be read and is put aside: {error}", folder.path().display());
                    let _ = std::fs::rename(folder.path(), folder.path().with_extension("damaged"));
                }
            }
            context.progress();
        }
        // One of which nothing is left on disk was never begun: the rescuer gives its task back.
        for claim in left.into_iter().filter(|claim| !claims.contains(claim)) {
            shared.hand.forget(claim);
        }
        self.take_up(shared, adopting).await?;
        self.homes.retain(|home| {
            home.clean(machine_time() - KEPT);
            !home.remove_if_empty()
        });
        shared.note_adoption();
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(if self.is_waiting { SOON } else { LOOK }))
    }

    /// What it follows would have to be taken up again.
    fn can_be_discarded(&self, context: &ModuleContext) -> bool {
        context.shared().hand.is_at_rest()
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Adopter", &["Taken up"], "No command had to be taken up.");
        if self.adopted > 0 {
            table.row([self.adopted.to_string()]);
        }
        vec![table]
    }
}

/// Whether what was read is no attempt.
fn is_damaged(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

impl Adopter {
    async fn take_up(
        &mut self,
        shared: &Arc<Shared>,
        found: Vec<(AttemptDir, AttemptManifest<CommandInfo>)>,
    ) -> anyhow::Result<()> {
        let claim = |paper: &AttemptManifest<CommandInfo>| paper.about.task.claim;
        let claims: Vec<Claim> = found.iter().map(|(_, paper)| claim(paper)).collect();
        let ours = match shared.store.adopt(&shared.node, &claims).await {
            Ok(ours) => ours,
            Err(error) => {
                for claim in claims {
                    shared.hand.leave(claim);
                }
                return Err(error.into());
            }
        };
        for (folder, paper) in found {
            let is_ours = ours.contains(&claim(&paper));
            shared.shepherds.restore_memory_limit(&folder, &paper);
            let CommandInfo { task, definition } = paper.about;
            let whose = if is_ours { "and taken up" } else { "but its task has gone to another node" };
            tracing::info!(
                task.id = task.claim.task_id,
                task.attempt,
                "{} was found without a daemon, {whose}",
                task.name
            );
            self.adopted += 1;
            let handler = AdoptedCommand { attempt_dir: folder, boot_id: paper.boot_id, is_ours };
            let shared = shared.clone();
            let following = async move { execute::adopt(&shared, task, definition, &handler).await };
            actix_rt::spawn(DropInRuntime::new(following));
        }
        Ok(())
    }
}
