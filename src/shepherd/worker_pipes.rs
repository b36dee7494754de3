//! The pipes between a daemon and a worker process: tasks on its standard input, answers on its descriptor 3. They are
//! named pipes in its directory, so that the shepherd between them need not pass anything on. Both end with the daemon.

use std::{io, path::Path};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde::Serialize;
use tokio::net::unix::pipe;

use super::{
    attempt_dir::AttemptDir,
    command_pipes::{ANSWERS, TASKS},
    launch_spec::AttemptManifest,
    shepherds::{Shepherd, Shepherds},
};
use crate::{domain::task::claim::Claim, files::error_at};

/// The daemon's ends.
pub struct WorkerPipes {
    /// Where tasks are written.
    pub tasks: pipe::Sender,
    /// Where answers are read. It has no end of its own: the shepherd says when the process has ended.
    pub answers: pipe::Receiver,
}

impl Shepherds {
    /// Starts a worker process under a shepherd.
    ///
    /// It needs a running Tokio runtime.
    ///
    /// # Errors
    /// If the directory or the pipes cannot be created, or the fork server cannot start a shepherd. The program was not
    /// started then.
    pub async fn start_worker<A: Serialize>(
        &self,
        claim: Claim,
        manifest: &AttemptManifest<A>,
    ) -> io::Result<(Shepherd, WorkerPipes)> {
        let node_dir = self.node_dir()?;
        let (dir, held) = AttemptDir::create(node_dir.path(), claim, manifest, None)?;
        let pipes = match WorkerPipes::create(dir.path()) {
            Ok(pipes) => pipes,
            Err(error) => {
                dir.remove();
                return Err(error);
            }
        };
        Ok((self.begin(dir, held).await?, pipes))
    }
}

impl WorkerPipes {
    fn create(dir: &Path) -> io::Result<Self> {
        let make = |name: &str| {
            let path = dir.join(name);
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from).map_err(error_at(&path))?;
            Ok::<_, io::Error>(path)
        };
        // Open for both, so that opening needs no other end, and the end of the process is no error here.
        let mut both = pipe::OpenOptions::new();
        both.read_write(true);
        Ok(Self { tasks: both.open_sender(make(TASKS)?)?, answers: both.open_receiver(make(ANSWERS)?)? })
    }
}
