//! `worker_processes`: the long-lived processes that execute tasks of kind `worker`.
//!
//! Settings: `[worker.NAME]`. Each process runs under a shepherd, and ends with the daemon. Without such a table the module
//! does nothing. It is not recycled while there are processes.

mod parts;
mod process;
mod slot;
mod wire;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytesize::ByteSize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub(in crate::daemon) use self::parts::WorkerParts;
use self::slot::Slot;
use super::process_module::{ProgramInfo, end_quietly};
use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::worker_board::Doing,
    },
    domain::{
        command::Stopped,
        daemon::summary::SummaryTable,
        text::{duration, plural::times},
        worker::WorkerSpec,
    },
    shepherd::{AttemptDirState, Shepherd, StopOrder, boot_id},
};

/// How often the processes are compared with the configuration. A reload wakes the module.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of processes is waited for: they end with the daemon in any case.
const END_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the end of what an earlier incarnation left is waited for.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct WorkerProcesses {
    parts: WorkerParts,
    programs: BTreeMap<String, KeptProgram>,
    /// Places that finish their last task.
    retiring: Vec<JoinHandle<()>>,
    next_slot: AtomicU64,
}

/// The places of one program.
struct KeptProgram {
    spec: Arc<WorkerSpec>,
    retired: CancellationToken,
    slots: Vec<JoinHandle<()>>,
}

#[async_trait(?Send)]
impl DaemonModule for WorkerProcesses {
    async fn pre_run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        if self.programs.is_empty() {
            self.parts.board.clear();
            self.end_leftovers().await?;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let config = context.config();
        let wanted = &config.worker_programs;
        let changed: Vec<String> = self
            .programs
            .iter()
            .filter(|(name, kept)| wanted.get(*name) != Some(&kept.spec))
            .map(|(name, _)| name.clone())
            .collect();
        for name in changed {
            let Some(kept) = self.programs.remove(&name) else { continue };
            kept.retired.cancel();
            self.retiring.extend(kept.slots);
            if !wanted.contains_key(&name) {
                self.parts.lines.of(&name).refuse_all(&format!("worker program {name} is not configured any more"));
            }
        }
        self.retiring.retain(|slot| !slot.is_finished());
        for (name, spec) in wanted {
            // A place whose task failed by a fault of this program is replaced, and the others live on.
            if let Some(kept) = self.programs.get_mut(name) {
                kept.slots.retain(|slot| !slot.is_finished());
            }
            let present = self.programs.get(name).map_or(0, |kept| kept.slots.len());
            let missing = spec.processes.saturating_sub(present);
            for _ in 0..missing {
                self.add_slot(name, spec);
            }
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
    }

    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        for kept in std::mem::take(&mut self.programs).into_values() {
            kept.retired.cancel();
            self.retiring.extend(kept.slots);
        }
        let ended = futures::future::join_all(std::mem::take(&mut self.retiring));
        context.progress();
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_err() {
            tracing::warn!("some worker processes have not ended yet; they end with the daemon");
        }
        Ok(())
    }

    /// Processes would end with this incarnation.
    fn can_be_recycled(&self, _: &ModuleContext) -> bool {
        self.programs.is_empty() && self.retiring.is_empty()
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["Worker", "Process", "State", "Tasks", "Age", "Memory", "Last end"];
        let mut table = SummaryTable::new("Worker processes", &columns, "There is no worker program.");
        for (name, slot) in self.parts.board.all() {
            let state = match slot.doing {
                Doing::Starting => "starting".to_owned(),
                Doing::Idle => "idle".to_owned(),
                Doing::Task(id) => format!("task {id}"),
                Doing::Waiting(_) => format!("waiting, failed {}", times(u64::from(slot.failures))),
                Doing::Ending => "ending".to_owned(),
            };
            let dash = || "-".to_owned();
            table.row([
                name,
                slot.pid.map_or_else(dash, |pid| pid.to_string()),
                state,
                slot.tasks.to_string(),
                slot.pid.map_or_else(dash, |_| duration::text(Duration::from_secs(slot.since.elapsed().as_secs()))),
                slot.pid.map_or_else(dash, |_| ByteSize(slot.memory).to_string()),
                slot.last_end.unwrap_or_else(dash),
            ]);
        }
        vec![table]
    }
}

impl WorkerProcesses {
    pub(super) fn new(parts: WorkerParts) -> Self {
        // Numbers of places are unique over the incarnations: a place of an earlier one may still report its end.
        let next_slot = AtomicU64::new(parts.processes.next_start().unsigned_abs());
        Self { parts, programs: BTreeMap::new(), retiring: Vec::new(), next_slot }
    }

    fn add_slot(&mut self, name: &str, spec: &Arc<WorkerSpec>) {
        let fresh = || KeptProgram { spec: spec.clone(), retired: CancellationToken::new(), slots: Vec::new() };
        let kept = self.programs.entry(name.to_owned()).or_insert_with(fresh);
        let slot = Slot {
            program: name.to_owned(),
            number: self.next_slot.fetch_add(1, Ordering::Relaxed),
            spec: spec.clone(),
            parts: self.parts.clone(),
            line: self.parts.lines.of(name),
            retired: kept.retired.clone(),
        };
        // What it logs belongs to this module.
        kept.slots.push(tokio::task::spawn_local(slot.keep().in_current_span()));
    }

    /// Ends what daemons that are gone, or an earlier incarnation, have left.
    async fn end_leftovers(&self) -> io::Result<()> {
        let [own, of_others] = self.parts.processes.leftovers()?;
        for dir in own.into_iter().chain(of_others) {
            let Ok(manifest) = dir.manifest::<ProgramInfo>() else { continue };
            if !manifest.about.module.starts_with("worker.") {
                continue;
            }
            if let Ok(AttemptDirState::Running(pid)) = dir.inspect() {
                if manifest.boot_id != boot_id() {
                    // Its process number means nothing here: it is another container's, and stops with its own daemon.
                    continue;
                }
                let shepherd = Shepherd::watch(dir.clone(), pid)?;
                let _ = shepherd.stop(&StopOrder { why: Stopped::Interrupted, grace: Duration::ZERO });
                let _ = tokio::time::timeout(LEFTOVER_TIMEOUT, shepherd.ended()).await;
            }
            if !dir.is_held()? {
                end_quietly(&dir);
            }
        }
        Ok(())
    }
}
