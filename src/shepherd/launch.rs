//! The start of a command: from a fork of the shepherd to the program.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ffi::CString,
    fs::File,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    sync::atomic::Ordering,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        stat::{Mode, umask},
    },
    unistd::{
        Gid, Group, Pid, Uid, User, dup2, dup2_stderr, dup2_stdin, dup2_stdout, execve, getppid, initgroups, pipe2,
        setgid, setgroups, setpgid, setuid,
    },
};

use super::{cgroup, fork::ForkContext, launch_spec::LaunchSpec, start_failure::StartFailure};
use crate::domain::command::ResourceLimits;

/// The descriptors of a command.
pub(super) struct CommandIo {
    pub(super) input: File,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Where the command may write answers.
    pub(super) answer: OwnedFd,
    /// The descriptor with a low number that `answer` replaces.
    pub(super) low_fd: OwnedFd,
}

/// Starts the command. Returns its process, and a pipe with the reason why the program could not be started. The file
/// system and the user database may delay the start; the time limit counts already.
pub(super) fn launch(
    spec: &LaunchSpec,
    io_ends: CommandIo,
    group: Option<&cgroup::Group>,
    context: &ForkContext,
) -> Result<(Pid, File), StartFailure> {
    let shepherd = Pid::this();
    let begin = || -> io::Result<(Option<Pid>, OwnedFd, OwnedFd)> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((context.single_threaded.fork()?, reader, writer))
    };
    let cannot = |failure: StartFailure| failure.before(&format!("cannot start {}: ", spec.argv[0]));
    let (pid, reader, writer) = begin().map_err(|error| cannot(error.into()))?;
    let Some(pid) = pid else {
        drop(reader);
        let problem = match become_command(spec, io_ends, group, context, shepherd) {
            Err(problem) => problem,
            Ok(never) => match never {},
        };
        let _ = File::from(writer).write_all(&problem.to_bytes());
        std::process::exit(127);
    };
    Ok((pid, reader.into()))
}

/// Turns this process into the command.
fn become_command(
    spec: &LaunchSpec,
    mut io_ends: CommandIo,
    group: Option<&cgroup::Group>,
    context: &ForkContext,
    shepherd: Pid,
) -> Result<Infallible, StartFailure> {
    let program = &spec.argv[0];
    let cannot = |error: &dyn std::fmt::Display| StartFailure::from(format!("cannot start {program}: {error}"));
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|error| cannot(&error))?;
    if let Some(group) = group {
        let of_group = format!("cannot start {program}: its control group: ");
        group.enter().map_err(|error| StartFailure::from(error).before(&of_group))?;
    }
    let limits = &spec.limits;
    if let Some(mask) = limits.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(nice) = limits.nice {
        rustix::process::setpriority_process(None, nice).map_err(|error| cannot(&format!("nice {nice}: {error}")))?;
    }
    let memory = limits.memory.filter(|bytes| !group.is_some_and(|group| group.limit_memory(*bytes)));
    let other = change_user(limits)?;
    // The daemon's ambient capabilities are not for its commands.
    let _ = rustix::thread::clear_ambient_capability_set();
    limit(limits, memory)?;
    // An unsupervised command must not live on. A change of the user resets this, so it comes afterwards.
    set_pdeathsig(Signal::SIGKILL).map_err(|error| cannot(&error))?;
    if getppid() != shepherd {
        return Err(cannot(&"its shepherd is gone"));
    }
    std::env::set_current_dir(&spec.dir)
        .map_err(|error| cannot(&format!("the working directory {}: {error}", spec.dir.display())))?;
    dup2(&io_ends.answer, &mut io_ends.low_fd).map_err(|error| cannot(&error))?;
    let mut variables = base_environment(other.as_ref().or(context.user.as_ref()));
    variables.extend(spec.env.iter().cloned());
    let connect = || -> nix::Result<()> {
        dup2_stdin(&io_ends.input)?;
        dup2_stdout(&io_ends.stdout)?;
        dup2_stderr(&io_ends.stderr)?;
        // The shepherd blocks its signals, and a signal mask is inherited.
        SigSet::empty().thread_set_mask()
    };
    connect().map_err(|error| cannot(&error))?;
    if context.interrupted.load(Ordering::Acquire) {
        // The program would not have received the signal.
        return Err(cannot(&"it was stopped before it had started"));
    }
    execute(&spec.argv, &variables, limits).map_err(|failure| failure.before(&format!("cannot start {program}: ")))
}

/// Replaces this process by the program. Unlike execvp(3), it does not run a file without `#!` as a shell script.
fn execute(
    argv: &[String],
    variables: &BTreeMap<String, String>,
    limits: &ResourceLimits,
) -> Result<Infallible, StartFailure> {
    let nul = |_| StartFailure::from("its arguments or variables contain NUL");
    let arguments = argv.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>().map_err(nul)?;
    let entries = variables.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(nul)?;
    let program = Path::new(&argv[0]);
    if argv[0].contains('/') {
        let Err(error) = execve(&arguments[0], &arguments, &entries);
        return Err(explained(program, error, limits));
    }
    let path = variables.get("PATH").map_or("", String::as_str);
    let mut refused = None;
    for dir in std::env::split_paths(path) {
        let file = dir.join(program);
        let candidate = CString::new(file.as_os_str().as_bytes()).map_err(nul)?;
        let Err(error) = execve(&candidate, &arguments, &entries);
        match error {
            Errno::ENOENT if !file.exists() => {}
            Errno::ENOTDIR => {}
            Errno::EACCES => refused = Some(explained(&file, error, limits)),
            error => return Err(explained(&file, error, limits)),
        }
    }
    Err(refused.unwrap_or_else(|| format!("no such program in PATH={path}").into()))
}

/// Sets the resource limits. A lower limit in force stays.
fn limit(limits: &ResourceLimits, memory: Option<u64>) -> Result<(), String> {
    let limits = [
        (Resource::RLIMIT_AS, "memory", memory),
        (Resource::RLIMIT_CPU, "cpu", limits.cpu),
        (Resource::RLIMIT_NOFILE, "open_files", limits.open_files),
        (Resource::RLIMIT_NPROC, "processes", limits.processes),
        (Resource::RLIMIT_FSIZE, "file_size", limits.file_size),
    ];
    for (resource, name, wanted) in limits {
        let Some(wanted) = wanted else { continue };
        let set = getrlimit(resource).and_then(|(_, max)| {
            // A process that has used up its CPU time receives SIGXCPU, and is killed a second later.
            let hard = if name == "cpu" { wanted.saturating_add(1) } else { wanted };
            setrlimit(resource, wanted.min(max), hard.min(max))
        });
        set.map_err(|error| format!("cannot set limits.{name} to {wanted}: {}", error.desc()))?;
    }
    Ok(())
}

/// Changes to the configured user and group for good. Returns the user, if one is configured.
fn change_user(limits: &ResourceLimits) -> Result<Option<User>, StartFailure> {
    let (Some(name), group) = (&limits.user, &limits.group) else {
        if let Some(group) = &limits.group {
            change_group(&find_group(group)?)?;
        }
        return Ok(None);
    };
    let user = User::from_name(name)
        .map_err(|error| StartFailure::from(error).before(&format!("cannot look up user {name}: ")))?
        .ok_or_else(|| format!("there is no user {name} on this machine"))?;
    let gid = match group {
        Some(group) => find_group(group)?.gid,
        None => user.gid,
    };
    if user.uid == Uid::effective() && gid == Gid::effective() {
        return Ok(Some(user));
    }
    let become_user = || -> nix::Result<()> {
        let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
        initgroups(&name, gid)?;
        setgid(gid)?;
        setuid(user.uid)
    };
    become_user()
        .map_err(|error| StartFailure::new(only_root(&format!("user {name}"), error), Some(error), Some(limits)))?;
    Ok(Some(user))
}

fn find_group(name: &str) -> Result<Group, String> {
    let found = Group::from_name(name).map_err(|error| format!("cannot look up group {name}: {error}"))?;
    found.ok_or_else(|| format!("there is no group {name} on this machine"))
}

fn change_group(group: &Group) -> Result<(), String> {
    if group.gid == Gid::effective() {
        return Ok(());
    }
    let change = setgroups(&[group.gid]).and_then(|()| setgid(group.gid));
    change.map_err(|error| only_root(&format!("group {}", group.name), error))
}

fn only_root(identity: &str, error: Errno) -> String {
    match error {
        Errno::EPERM => format!("cannot become {identity}: only a daemon that runs as root can"),
        error => format!("cannot become {identity}: {}", error.desc()),
    }
}

/// The variables that describe the user, and the search path.
fn base_environment(user: Option<&User>) -> BTreeMap<String, String> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
    if let Some(user) = user {
        let shell = user.shell.to_string_lossy().into_owned();
        variables.extend([
            ("HOME".to_owned(), user.dir.to_string_lossy().into_owned()),
            ("USER".to_owned(), user.name.clone()),
            ("LOGNAME".to_owned(), user.name.clone()),
            ("SHELL".to_owned(), if shell.is_empty() { "/bin/sh".to_owned() } else { shell }),
        ]);
    }
    variables
}

/// The meaning of an error of execve(2).
fn explained(program: &Path, error: Errno, limits: &ResourceLimits) -> StartFailure {
    let hint = match error {
        Errno::ENOENT if program.exists() => "; the file exists, but not the interpreter in its first line",
        Errno::EACCES => "; is the file executable, and may this user enter its directory?",
        Errno::ENOEXEC => "; it is neither a program nor a script that begins with #!",
        Errno::E2BIG => "; its arguments and variables together are too long",
        Errno::ENOMEM if limits.memory.is_some() => "; is limits.memory too low for it?",
        _ => "",
    };
    StartFailure::new(format!("{}{hint}", error.desc()), Some(error), Some(limits))
}
