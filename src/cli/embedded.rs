//! The daemon inside a program of the application's own: as `sexton run`, but signals, log and restart are the program's.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::mpsc::Receiver;

use super::{
    run::{blueprint, check_user, say_file},
    session::{Parts, Session},
    warnings::log_warnings,
};
use crate::{
    daemon::{Request, RunLock},
    service::hide_memory,
};

/// Runs the daemon to its end, on this thread. Returns its exit code.
///
/// # Errors
/// If the configuration has mistakes, another daemon has the run directory, or the daemon cannot start.
pub fn run_embedded(parts: Arc<Parts>, file: Option<PathBuf>, requests: Receiver<Request>) -> anyhow::Result<i32> {
    hide_memory();
    let session = Session::new(file, parts);
    let config = session.config_unprinted()?;
    check_user(&config)?;
    let run_lock = Arc::new(RunLock::open(&config.daemon, session.file().map(PathBuf::as_path))?);
    say_file(&session);
    log_warnings(&config.warnings);
    log_warnings(&session.advice(&config));
    let ended = blueprint(&session, config, run_lock.clone()).run(requests);
    run_lock.release();
    ended
}
