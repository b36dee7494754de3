//! The fork server: this binary in a hidden mode. It receives the paths of attempt directories, and forks a shepherd
//! for each.
//!
//! It has one thread and loads nothing, so that forking it is fast and safe. It ends with its daemon; its shepherds do
//! not.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{Pid, Uid, User, close, pipe2},
};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
};

use super::{
    attempt_dir::AttemptDir,
    fork::{ForkContext, SingleThreaded},
    process_tree,
    shepherd_process::supervise_command,
    title::Title,
};

/// The name in the arguments of the fork server, by which it recognises itself.
pub(super) const NAME: &str = "sexton: shepherds";

/// Turns this process into the fork server if it was started as one, and does not return in that case.
///
/// It belongs at the very beginning of `main`: each shepherd inherits what this process has done before.
pub fn enter() {
    let mut arguments = std::env::args_os();
    let is_server = arguments.next().is_some_and(|name| name.as_bytes().starts_with(NAME.as_bytes()));
    if is_server {
        let open_files = arguments.next().and_then(|argument| argument.to_str()?.parse().ok());
        let ended = serve(open_files);
        std::process::exit(i32::from(ended.is_err()));
    }
}

fn serve(open_files: Option<u64>) -> io::Result<()> {
    close_inherited()?;
    // The first descriptor after the standard ones: a shepherd puts its command's answers in its place.
    let low_fd = OwnedFd::from(File::open("/dev/null")?);
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let interrupted = Arc::default();
    let mask = block_signals(&interrupted)?;
    let (title, single_threaded) = (Title::find()?, SingleThreaded::verify()?);
    let context = ForkContext { title, single_threaded, user, server: Pid::this(), interrupted };
    context.title.set(NAME);
    prctl::set_name(c"sexton")?;
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, open_files.unwrap_or(1024).min(max), max)?;
    let ended = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let daemon = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut requests = BufReader::new(daemon.try_clone()?);
    loop {
        let waited = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut waiting = [waited(daemon.as_fd()), waited(ended.as_fd())];
        let _ = poll(&mut waiting, PollTimeout::NONE);
        let [is_asked, has_ended] = waiting.map(|fd| fd.any().unwrap_or(false));
        if has_ended {
            while ended.read_signal()?.is_some() {}
            process_tree::collect_ended(None);
        }
        if is_asked {
            let mut request = Vec::new();
            if requests.read_until(0, &mut request)? == 0 {
                return Ok(());
            }
            request.pop();
            let dir = AttemptDir::at(PathBuf::from(OsStr::from_bytes(&request)));
            let forked = pipe2(OFlag::O_CLOEXEC).and_then(|ends| Ok((context.single_threaded.fork()?, ends)));
            let answer = match forked {
                Ok((Some(shepherd), (reader, writer))) => {
                    drop(writer);
                    answer_of(reader, shepherd)
                }
                Ok((None, (reader, writer))) => {
                    // Only the fork server holds the socket, so that the daemon notices its end.
                    drop((reader, requests, daemon, ended));
                    supervise_command(&dir, &mask, writer.into(), low_fd, &context)
                }
                Err(error) => -(error as i32),
            };
            (&daemon).write_all(&answer.to_le_bytes())?;
        }
    }
}

/// The answer of a new shepherd: its process number if it has acquired the attempt, otherwise a negative error.
fn answer_of(reader: OwnedFd, shepherd: Pid) -> i32 {
    let mut word = [0; 4];
    match File::from(reader).read_exact(&mut word).map(|()| i32::from_le_bytes(word)) {
        Ok(0) => shepherd.as_raw(),
        Ok(error) => -error,
        // It was killed before it could answer.
        Err(_) => -(Errno::ECHILD as i32),
    }
}

/// Closes descriptors that the daemon inherited, such as a lock of the shell that started it: they are not for
/// commands.
fn close_inherited() -> io::Result<()> {
    let numbers: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The descriptor of the listing itself is closed already.
        let _ = close(number);
    }
    Ok(())
}

/// Blocks the signals that are read from a descriptor, here and in each shepherd. All others are caught: a signal that
/// the daemon's parent (or Rust, in the case of PIPE) ignores would be ignored by each command, but a caught one has
/// its default action again in a started program.
fn block_signals(seen: &Arc<AtomicBool>) -> io::Result<SigSet> {
    for signal in
        [SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2]
    {
        signal_hook::flag::register(signal, Arc::clone(seen))?;
    }
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(mask)
}
