//! The standard input of a command and its descriptor for answers, as its shepherd opens them: files, or the named pipes of
//! a worker process.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{attempt_dir::AttemptDir, launch_spec::LaunchSpec};

/// The pipe by which a worker process gets tasks.
pub(super) const TASKS: &str = "tasks.pipe";
/// The pipe by which it answers.
pub(super) const ANSWERS: &str = "answers.pipe";

/// The standard input of a command, or the end for tasks of a worker process.
pub(super) fn input(dir: &AttemptDir, spec: &LaunchSpec) -> io::Result<File> {
    match spec.uses_pipes {
        true => open(dir, TASKS, File::options().read(true)),
        false => dir.input(),
    }
}

/// The descriptors for answers: what the shepherd reads, and what its command writes to. A worker process answers its
/// daemon, and its shepherd finds the end of an empty pipe.
pub(super) fn answers(
    dir: &AttemptDir,
    spec: &LaunchSpec,
    (reading, writing): (OwnedFd, OwnedFd),
) -> io::Result<(OwnedFd, OwnedFd)> {
    match spec.uses_pipes {
        true => Ok((reading, open(dir, ANSWERS, File::options().write(true))?.into())),
        false => Ok((reading, writing)),
    }
}

/// Opens a pipe. Opening must not wait for a daemon that may be gone.
fn open(dir: &AttemptDir, name: &str, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(dir.path().join(name))?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}
