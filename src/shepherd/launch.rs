//! The start of a command: from a fork of the shepherd to the program itself.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::{Gid, Group, Pid, Uid, User, dup2, initgroups, pipe2, setgid, setgroups, setpgid, setuid},
};

use super::{cgroup, fork::fork_alone, spec::Spec};
use crate::domain::command::Confines;

/// What a command is connected to.
pub(super) struct Ends {
    pub(super) input: File,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// What it may answer on.
    pub(super) answer: OwnedFd,
    /// In whose place it finds that.
    pub(super) slot: OwnedFd,
}

/// Starts the command; gives its process, or why it could not be started.
pub(super) fn launch(spec: &Spec, ends: Ends, group: Option<&cgroup::Group>) -> Result<Pid, String> {
    let begin = || -> io::Result<(Option<Pid>, OwnedFd, OwnedFd)> {
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((fork_alone()?, told, tell))
    };
    let (pid, told, tell) = begin().map_err(|error| format!("cannot start {}: {error}", spec.argv[0]))?;
    let Some(pid) = pid else {
        let problem = match become_it(spec, ends, group) {
            Err(problem) => problem,
            Ok(never) => match never {},
        };
        let _ = File::from(tell).write_all(problem.as_bytes());
        std::process::exit(127);
    };
    drop((tell, ends));
    let mut problem = Vec::new();
    // Ends with the program's start, which closes the pipe, or with the word why there is none.
    let _ = File::from(told).read_to_end(&mut problem);
    if problem.is_empty() {
        return Ok(pid);
    }
    let _ = nix::sys::wait::waitpid(pid, None);
    Err(String::from_utf8_lossy(&problem).into_owned())
}

/// Turns this process into the command.
fn become_it(spec: &Spec, mut ends: Ends, group: Option<&cgroup::Group>) -> Result<std::convert::Infallible, String> {
    let program = &spec.argv[0];
    let cannot = |error: &dyn std::fmt::Display| format!("cannot start {program}: {error}");
    let own_group = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // Nobody would stand over it any more.
    let not_without = set_pdeathsig(Signal::SIGKILL);
    own_group.and(not_without).map_err(|error| cannot(&error))?;
    if let Some(group) = group {
        group.enter().map_err(|error| cannot(&format!("its control group: {error}")))?;
    }
    let confines = &spec.confines;
    if let Some(mask) = confines.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(nice) = confines.nice {
        rustix::process::setpriority_process(None, nice).map_err(|error| cannot(&format!("nice {nice}: {error}")))?;
    }
    let memory = confines.memory.filter(|bytes| !group.is_some_and(|group| group.limit_memory(*bytes)));
    limit(confines, memory)?;
    let user = change_user(confines)?;
    std::env::set_current_dir(&spec.dir)
        .map_err(|error| cannot(&format!("the working directory {}: {error}", spec.dir.display())))?;
    dup2(&ends.answer, &mut ends.slot).map_err(|error| cannot(&error))?;
    let mut command = Command::new(program);
    command.args(&spec.argv[1..]).env_clear().envs(describing(&user)).envs(spec.env.iter().cloned());
    command.stdin(Stdio::from(ends.input)).stdout(Stdio::from(ends.stdout)).stderr(Stdio::from(ends.stderr));
    let error = command.exec();
    Err(cannot(&explained(spec, &error)))
}

/// Sets limits. Where a lower one is in force already, it stays.
fn limit(confines: &Confines, memory: Option<u64>) -> Result<(), String> {
    let limits = [
        (Resource::RLIMIT_AS, "memory", memory),
        (Resource::RLIMIT_CPU, "cpu", confines.cpu),
        (Resource::RLIMIT_NOFILE, "open_files", confines.open_files),
        (Resource::RLIMIT_NPROC, "processes", confines.processes),
        (Resource::RLIMIT_FSIZE, "file_size", confines.file_size),
    ];
    for (resource, name, wanted) in limits {
        let Some(wanted) = wanted else { continue };
        // Who uses up its CPU time is told by SIGXCPU, and ended a second later.
        let hard = if name == "cpu" { wanted + 1 } else { wanted };
        setrlimit(resource, wanted, hard)
            .map_err(|error| format!("cannot set limits.{name} to {wanted}: {}", error.desc()))?;
    }
    Ok(())
}

/// Becomes the wanted user, for good; gives who that is.
fn change_user(confines: &Confines) -> Result<Option<User>, String> {
    let (Some(name), group) = (&confines.user, &confines.group) else {
        let own = User::from_uid(Uid::effective()).ok().flatten();
        if let Some(group) = &confines.group {
            change_group(&find_group(group)?, None)?;
        }
        return Ok(own);
    };
    let user = User::from_name(name)
        .map_err(|error| format!("cannot look up user {name}: {error}"))?
        .ok_or_else(|| format!("there is no user {name} on this machine"))?;
    let gid = match group {
        Some(group) => find_group(group)?.gid,
        None => user.gid,
    };
    if user.uid == Uid::effective() && gid == Gid::effective() {
        return Ok(Some(user));
    }
    let become_user = || -> nix::Result<()> {
        let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
        initgroups(&name, gid)?;
        setgid(gid)?;
        setuid(user.uid)
    };
    become_user().map_err(|error| only_root(&format!("user {name}"), error))?;
    Ok(Some(user))
}

fn find_group(name: &str) -> Result<Group, String> {
    let found = Group::from_name(name).map_err(|error| format!("cannot look up group {name}: {error}"))?;
    found.ok_or_else(|| format!("there is no group {name} on this machine"))
}

fn change_group(group: &Group, others: Option<&[Gid]>) -> Result<(), String> {
    if group.gid == Gid::effective() {
        return Ok(());
    }
    let change = setgroups(others.unwrap_or(&[group.gid])).and_then(|()| setgid(group.gid));
    change.map_err(|error| only_root(&format!("group {}", group.name), error))
}

fn only_root(whom: &str, error: Errno) -> String {
    match error {
        Errno::EPERM => format!("cannot become {whom}: only a daemon that runs as root can"),
        error => format!("cannot become {whom}: {}", error.desc()),
    }
}

/// Variables that say who somebody is, and where programs are.
fn describing(user: &Option<User>) -> Vec<(String, String)> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = vec![("PATH".to_owned(), path.to_owned())];
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

/// What the operating system means when it refuses a program.
fn explained(spec: &Spec, error: &io::Error) -> String {
    let program = Path::new(&spec.argv[0]);
    let path = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_str());
    let is_named_by_path = spec.argv[0].contains('/');
    let file: PathBuf = program.to_owned();
    let hint = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if is_named_by_path && file.exists() => {
            "; the file is there, but not the interpreter that its first line names"
        }
        Some(Errno::ENOENT) if !is_named_by_path => {
            return format!("{error}; it was looked for in PATH={}", path.unwrap_or("(the default)"));
        }
        Some(Errno::EACCES) => "; is the file executable, and its folder open to this user?",
        Some(Errno::ENOEXEC) => "; it is neither a program nor a script that begins with #!",
        Some(Errno::E2BIG) => "; its arguments and variables together are too long",
        _ => "",
    };
    format!("{error}{hint}")
}
