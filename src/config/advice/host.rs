//! What a command needs of this machine: its accounts, its directory and its program.

use std::{
    collections::HashMap,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::thread::{CapabilitySet, capabilities};

use crate::domain::{
    command::{CommandSpec, script::ShellScript},
    text::clean::{one_line, shortened},
};

/// The search path of commands that set none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of a shell's message a warning quotes, in characters.
const MAX_QUOTE: usize = 200;

/// This machine, as far as it was asked.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// What is wrong with each file that was looked at.
    files: HashMap<PathBuf, Option<String>>,
    users: HashMap<String, Option<String>>,
    groups: HashMap<String, Option<String>>,
}

impl Host {
    /// What is missing for a command, each with the setting.
    pub(super) fn problems(&mut self, command: &CommandSpec) -> Vec<(&'static str, String)> {
        let limits = &command.limits;
        let user = limits.user.as_ref().and_then(|name| cached(&mut self.users, name, |name| user_problem(name)));
        let group = limits.group.as_ref().and_then(|name| cached(&mut self.groups, name, |name| group_problem(name)));
        let dir = command.dir.as_ref().and_then(|dir| cached(&mut self.files, dir, |dir| dir_problem(dir)));
        // Below a missing directory nothing can be found.
        let program = if dir.is_none() { self.program_problem(command) } else { None };
        let problems = [("user", user), ("group", group), ("dir", dir), ("command", program)];
        problems.into_iter().filter_map(|(key, problem)| Some((key, problem?))).collect()
    }

    fn program_problem(&mut self, command: &CommandSpec) -> Option<String> {
        let program = command.argv.first()?;
        if program.contains('/') {
            let file = command.dir.as_deref().unwrap_or(Path::new("")).join(program);
            return cached(&mut self.files, &file, |file| file_problem(file));
        }
        // What the daemon's own search path will be is not known here.
        let passes_path = |name: &str| name.strip_suffix('*').map_or(name == "PATH", |start| "PATH".starts_with(start));
        if command.pass_env.iter().any(|name| passes_path(name)) {
            return None;
        }
        let path = command.env.get("PATH").map_or(PATH, String::as_str);
        let mut candidates = std::env::split_paths(path).map(|dir| dir.join(program));
        let is_there = candidates.any(|file| cached(&mut self.files, &file, |file| file_problem(file)).is_none());
        (!is_there).then(|| format!("there is no program `{program}` in PATH={path}"))
    }
}

/// What a shell says of a script that it cannot read. It executes nothing. Where the shell is missing, that is another
/// warning.
pub(super) fn script_problem(name: &str, script: &ShellScript) -> Option<String> {
    let argv = script.check(name)?;
    let (program, arguments) = argv.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let checked = command.output().ok().filter(|checked| !checked.status.success())?;
    let said = String::from_utf8_lossy(&checked.stderr);
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Some(format!("the shell cannot read the script: {}", shortened(&one_line(first.trim()), MAX_QUOTE)))
}

fn cached<K: Clone + Eq + std::hash::Hash>(
    known: &mut HashMap<K, Option<String>>,
    key: &K,
    find: impl FnOnce(&K) -> Option<String>,
) -> Option<String> {
    known.entry(key.clone()).or_insert_with_key(find).clone()
}

/// An account that cannot be looked up at present may well exist.
fn user_problem(name: &str) -> Option<String> {
    match User::from_name(name).ok()? {
        None => Some(format!("there is no user `{name}` on this machine")),
        Some(user) if user.uid == Uid::effective() => None,
        Some(_) => becoming(&format!("user `{name}`"), CapabilitySet::SETUID),
    }
}

fn group_problem(name: &str) -> Option<String> {
    match Group::from_name(name).ok()? {
        None => Some(format!("there is no group `{name}` on this machine")),
        Some(group) if group.gid == Gid::effective() => None,
        Some(_) => becoming(&format!("group `{name}`"), CapabilitySet::SETGID),
    }
}

/// That this process cannot become somebody else.
fn becoming(whom: &str, needed: CapabilitySet) -> Option<String> {
    let is_able = capabilities(None).is_ok_and(|own| own.effective.contains(needed));
    let own =
        User::from_uid(Uid::effective()).ok().flatten().map_or_else(|| Uid::effective().to_string(), |own| own.name);
    (!is_able).then(|| format!("only a daemon that runs as root can become {whom}, and this process runs as `{own}`"))
}

fn dir_problem(dir: &Path) -> Option<String> {
    match std::fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Some(format!("{} is not a directory", dir.display())),
        Err(error) if is_missing(&error) => Some(format!("there is no directory {}", dir.display())),
        // What this user may not see, the command's user may.
        _ => None,
    }
}

fn file_problem(file: &Path) -> Option<String> {
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => Some(format!("{} is a directory", file.display())),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some(format!("{} is not executable", file.display())),
        Err(error) if is_missing(&error) => Some(format!("there is no file {}", file.display())),
        _ => None,
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
