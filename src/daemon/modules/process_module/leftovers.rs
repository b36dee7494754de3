//! Leftovers of earlier starts: of a daemon that was killed, or of an incarnation of the module that failed.

use std::io;

use serde::de::IgnoredAny;

use super::{
    parts::{POLL_INTERVAL, ProcessParts},
    program::ProgramInfo,
    stop::StopSequence,
};
use crate::{
    daemon::{module::ModuleContext, state::module_status::ModuleState},
    domain::command::service::ProcessSpec,
    shepherd::{AttemptDir, AttemptDirState, Shepherd, boot_id, end_lost_command, retry_on_shortage},
};

/// Stops leftovers of this module's program and waits for their end, so that there is only one. Returns early if the
/// module is to stop.
///
/// # Errors
/// If a directory cannot be read, or a process cannot be watched.
pub(super) async fn clear(context: &ModuleContext, parts: &ProcessParts, process: &ProcessSpec) -> io::Result<()> {
    let [own, of_others] = parts.processes.leftovers()?;
    for (dir, is_own) in own.into_iter().map(|f| (f, true)).chain(of_others.into_iter().map(|f| (f, false))) {
        match dir.manifest::<ProgramInfo>() {
            Ok(manifest) if *manifest.about.module == **context.name() => {
                tracing::warn!(module = %context.name(), "stopping an earlier start of its program first");
                let is_from_here = manifest.boot_id == boot_id();
                end(context, parts, process, &dir, is_from_here).await?;
            }
            Ok(_) if is_own => {}
            // Of a module that is not configured any more, or a start that was never written completely.
            Ok(_) | Err(_) if !is_own && !dir.is_held()? => end_quietly(&dir),
            _ => {}
        }
    }
    Ok(())
}

async fn end(
    context: &ModuleContext,
    parts: &ProcessParts,
    process: &ProcessSpec,
    dir: &AttemptDir,
    is_from_here: bool,
) -> io::Result<()> {
    let why = "an earlier start of its program has not ended yet".to_owned();
    parts.statuses.update(context.name(), |status| {
        status.state = ModuleState::Starting;
        status.waits_for = Some(why);
    });
    let mut stop: Option<StopSequence> = None;
    while !context.stopping().is_cancelled() {
        context.progress();
        match retry_on_shortage(|| dir.inspect()).await {
            Ok(AttemptDirState::Ended) => {
                dir.remove();
                return Ok(());
            }
            Ok(AttemptDirState::Lost { .. }) => {
                end_quietly(dir);
                return Ok(());
            }
            // Its process number means nothing here: it is another container's, and stops with its own daemon.
            Ok(AttemptDirState::Running(_)) if !is_from_here => tokio::time::sleep(POLL_INTERVAL).await,
            Ok(AttemptDirState::Running(pid)) => {
                let shepherd = retry_on_shortage(|| Shepherd::watch(dir.clone(), pid)).await?;
                let stop =
                    stop.get_or_insert_with(|| StopSequence::begin(context.name(), &shepherd, process.stop_timeout));
                stop.press(context.name(), &shepherd);
                let _ = tokio::time::timeout(POLL_INTERVAL, shepherd.ended()).await;
            }
            // It is just being started.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(POLL_INTERVAL).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes a start without a shepherd, with the processes that may be left of it.
pub(in crate::daemon::modules) fn end_quietly(dir: &AttemptDir) {
    if dir.manifest::<IgnoredAny>().is_ok() {
        end_lost_command(dir);
    }
    dir.remove();
}
