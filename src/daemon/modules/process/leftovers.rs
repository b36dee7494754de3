//! What is left of earlier starts: of a daemon that was killed, or of an incarnation of the module that fell.

use std::io;

use serde::de::IgnoredAny;

use super::{LOOK, program::ProgramInfo, stop::StopSequence};
use crate::{
    daemon::{module::ModuleContext, state::module_status::ModuleState},
    domain::command::service::ProcessSpec,
    shepherd::{AttemptDir, AttemptDirState, Shepherd, boot_id, end_lost_command, retry_on_shortage},
};

/// Ends what is left of this module's program, and waits for that: there is to be one. Returns early if the module is to
/// stop.
pub(super) async fn clear(context: &ModuleContext, process: &ProcessSpec) -> io::Result<()> {
    let [own, of_others] = context.shared().processes.left()?;
    for (folder, is_own) in own.into_iter().map(|f| (f, true)).chain(of_others.into_iter().map(|f| (f, false))) {
        match folder.manifest::<ProgramInfo>() {
            Ok(paper) if paper.about.module == context.name() => {
                tracing::warn!(module = context.name(), "an earlier start of its program is ended first");
                let is_from_here = paper.boot_id == boot_id();
                end(context, process, &folder, is_from_here).await?;
            }
            Ok(_) if is_own => {}
            // Of a module that is not configured any more, or a start that was never written down completely.
            Ok(_) | Err(_) if !is_own && !folder.is_held()? => end_quietly(&folder),
            _ => {}
        }
    }
    Ok(())
}

async fn end(
    context: &ModuleContext,
    process: &ProcessSpec,
    folder: &AttemptDir,
    is_from_here: bool,
) -> io::Result<()> {
    let why = "an earlier start of its program has not ended yet".to_owned();
    context.shared().board.note(context.name(), |status| {
        status.state = ModuleState::Starting;
        status.waits_for = Some(why);
    });
    let mut order: Option<StopSequence> = None;
    while !context.stopping().is_cancelled() {
        context.progress();
        match retry_on_shortage(|| folder.inspect()).await {
            Ok(AttemptDirState::Ended) => {
                folder.remove();
                return Ok(());
            }
            Ok(AttemptDirState::Lost { .. }) => {
                end_quietly(folder);
                return Ok(());
            }
            // Its process number means nothing here: it is another container's, and ends with its own daemon.
            Ok(AttemptDirState::Running(_)) if !is_from_here => tokio::time::sleep(LOOK).await,
            Ok(AttemptDirState::Running(pid)) => {
                let shepherd = retry_on_shortage(|| Shepherd::watch(folder.clone(), pid)).await?;
                let order =
                    order.get_or_insert_with(|| StopSequence::give(context.name(), &shepherd, process.stop_timeout));
                order.press(context.name(), &shepherd);
                let _ = tokio::time::timeout(LOOK, shepherd.ended()).await;
            }
            // It is just being started: it will be seen what becomes of it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(LOOK).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what nobody stands over, with the processes that may be left of it.
fn end_quietly(folder: &AttemptDir) {
    if folder.manifest::<IgnoredAny>().is_ok() {
        end_lost_command(folder);
    }
    folder.remove();
}
