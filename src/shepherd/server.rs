//! The fork server: this binary in a hidden mode. It waits for folders, and forks a shepherd for each.
//!
//! It has one thread and loads nothing, so that forking it is quick and sound. It ends with its daemon; the
//! shepherds that it has made do not.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    path::PathBuf,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Uid, User},
};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};

use super::{folder::Folder, fork::Alone, stand::stand_over, title::Title};

/// What the fork server is called, and by which it knows itself.
pub(super) const NAME: &str = "sexton: shepherds";

/// What the fork server has found out once, for all its shepherds.
pub(super) struct Standing {
    pub(super) title: Title,
    pub(super) alone: Alone,
    /// Whose process this is.
    pub(super) user: Option<User>,
}

/// Turns this process into the fork server, if it was started as one, and then does not return.
///
/// It belongs at the very beginning of `main`: the less this process has done before, the less each shepherd
/// inherits.
pub fn enter() {
    let is_server = std::env::args_os().next().is_some_and(|name| name.as_bytes().starts_with(NAME.as_bytes()));
    if is_server {
        let ended = serve();
        std::process::exit(i32::from(ended.is_err()));
    }
}

fn serve() -> std::io::Result<()> {
    // The first descriptor after the standard ones: the shepherds put their commands' answers in its place.
    let slot = OwnedFd::from(File::open("/dev/null")?);
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let standing = Standing { title: Title::find()?, alone: Alone::make_sure()?, user };
    standing.title.set(NAME);
    prctl::set_name(c"sexton")?;
    forget_ignored_signals()?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let daemon = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut requests = BufReader::new(daemon.try_clone()?);
    loop {
        let mut waiting = [PollFd::new(daemon.as_fd(), PollFlags::POLLIN), PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut waiting, PollTimeout::NONE);
        let [asked, ended] = waiting.map(|fd| fd.any().unwrap_or(false));
        if ended {
            while children.read_signal()?.is_some() {}
            while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        }
        if asked {
            let mut request = Vec::new();
            if requests.read_until(0, &mut request)? == 0 {
                return Ok(());
            }
            request.pop();
            let folder = Folder::at(PathBuf::from(OsStr::from_bytes(&request)));
            match standing.alone.fork() {
                Ok(Some(_)) => {}
                // The child is a shepherd, and stays one.
                Ok(None) => stand_over(&folder, daemon, slot, &standing),
                Err(_) => (&daemon).write_all(&0_i32.to_le_bytes())?,
            }
        }
    }
}

/// Signals that whoever started the daemon has ignored would be ignored by every command as well. One that is
/// caught is back to its default in a program that is started. (Rust itself ignores PIPE.)
fn forget_ignored_signals() -> std::io::Result<()> {
    let seen = std::sync::Arc::default();
    for signal in [SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&seen))?;
    }
    Ok(())
}
