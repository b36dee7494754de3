//! This machine: directories, file systems, programs, limits.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use procfs::process::{LimitValue, Process};
use rustix::fs::{Access, StatVfsMountFlags, access, statfs, statvfs};

use super::{
    super::session::connect_options,
    daemon::DaemonProcess,
    looks::{Doctor, on_thread},
};
use crate::{
    config::Config,
    domain::doctor::{
        Area, Diagnosis,
        directory::{self, DirectoryFacts, DirectoryState, FileSystem, FileSystemKind},
        limits::{self, LimitFacts},
        sqlite::{self, SqliteFileFacts},
    },
    service::{account_of, disk_space, ownership, user_name},
};

const LOG_DIR: &str = "daemon.log_dir";

pub(super) async fn look(doctor: &Doctor, config: &Config, process: Option<&DaemonProcess>, owner: Option<&str>) {
    let daemon = &config.daemon;
    let directories = [
        ("daemon.state_dir", daemon.state_dir.clone(), true),
        ("daemon.run_dir", daemon.run_dir.clone(), false),
        (LOG_DIR, daemon.log_dir.clone(), false),
    ];
    for (setting, path, must_last) in directories {
        let expected = owner.map(str::to_owned);
        let looking = async {
            let facts = on_thread(move || facts(setting, &path, must_last, expected.as_deref())).await??;
            // A daemon that logs elsewhere does not need it.
            let is_unused = setting == LOG_DIR && matches!(facts.state, DirectoryState::Missing { .. });
            Ok(if is_unused { Vec::new() } else { directory::diagnose(&facts, owner) })
        };
        doctor.look(Area::Directories, setting, looking).await;
    }
    if let Some(file) = connect_options(config).sqlite_file() {
        let expected = owner.map(str::to_owned);
        let looking = async {
            let found = on_thread(move || of_file(&file, expected.as_deref())).await??;
            Ok(found.map(|(facts, bytes)| sqlite::diagnose_file(&facts, bytes, owner)).unwrap_or_default())
        };
        doctor.look(Area::Database, "the SQLite file", looking).await;
    }
    let programs: BTreeSet<PathBuf> = config
        .tasks
        .values()
        .filter_map(|task| task.command.as_ref())
        .chain(config.worker_programs.values().map(|program| &program.command))
        .filter_map(|command| Some(PathBuf::from(command.argv.first()?)))
        .filter(|program| program.is_absolute())
        .collect();
    doctor
        .look(Area::Directories, "the programs of tasks", async { on_thread(move || not_executable(&programs)).await })
        .await;
    let pid = process.map(|process| process.pid);
    let workers: usize = config.queues.values().map(|queue| queue.workers).sum();
    let pool = u64::from(config.database.max_connections);
    let looking = async { Ok(limits::diagnose(&on_thread(move || limits_of(pid, workers as u64, pool)).await??)) };
    doctor.look(Area::Limits, "limits", looking).await;
}

fn file_system(path: &Path) -> anyhow::Result<FileSystem> {
    let flags = statvfs(path)?.f_flag;
    Ok(FileSystem {
        kind: FileSystemKind::of(statfs(path)?.f_type),
        is_read_only: flags.contains(StatVfsMountFlags::RDONLY),
        space: disk_space(path)?,
    })
}

fn is_writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

fn facts(setting: &str, path: &Path, must_last: bool, expected: Option<&str>) -> anyhow::Result<DirectoryFacts> {
    let path = std::path::absolute(path)?;
    let state = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            let owner = user_name(found.uid());
            let (ownership, daemon) = (ownership(&found), expected.and_then(account_of));
            DirectoryState::Present {
                is_writable_by_daemon: daemon.as_ref().map(|daemon| ownership.is_writable_by(daemon)),
                untrusted: daemon.or_else(|| account_of(&owner)).and_then(|daemon| ownership.untrusted(&daemon)),
                owner,
                mode: found.mode(),
                is_writable: is_writable(&path),
                file_system: file_system(&path)?,
            }
        }
        Ok(_) => DirectoryState::NotADirectory,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = path.ancestors().find(|above| above.exists());
            DirectoryState::Missing { can_be_created: above.is_some_and(is_writable) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => DirectoryState::NotADirectory,
        Err(error) => return Err(error.into()),
    };
    Ok(DirectoryFacts { setting: setting.to_owned(), path: path.display().to_string(), must_last, state })
}

/// The file of an SQLite database, and its size; none if there is no file yet.
fn of_file(file: &Path, expected: Option<&str>) -> anyhow::Result<Option<(SqliteFileFacts, u64)>> {
    let path = std::path::absolute(file)?;
    let found = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let daemon = expected.and_then(account_of);
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let facts = SqliteFileFacts {
        path: path.display().to_string(),
        owner: user_name(found.uid()),
        mode: found.mode(),
        is_writable: is_writable(&path),
        is_writable_by_daemon: daemon.map(|daemon| ownership(&found).is_writable_by(&daemon)),
        log_bytes: fs::metadata(log).map_or(0, |log| log.len()),
        file_system: file_system(&path)?,
    };
    Ok(Some((facts, found.len())))
}

/// Programs on file systems from which nothing is executed.
fn not_executable(programs: &BTreeSet<PathBuf>) -> Vec<Diagnosis> {
    let is_forbidden = |program: &&PathBuf| {
        statvfs(program.as_path()).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
    };
    let of = |program: &PathBuf| {
        Diagnosis::error(
            Area::Directories,
            format!("{} is on a file system that is mounted with noexec.", program.display()),
            "The command cannot start.",
            "Move the program, or name its interpreter first: command = [\"sh\", …].",
        )
    };
    programs.iter().filter(is_forbidden).map(of).collect()
}

fn limits_of(pid: Option<i32>, workers: u64, pool: u64) -> anyhow::Result<LimitFacts> {
    let own = Process::myself()?;
    let process = match pid {
        Some(pid) => Process::new(pid)?,
        None => own,
    };
    let whose = match pid {
        Some(pid) => format!("The daemon (process {pid})"),
        None => "A daemon that is started from this session".to_owned(),
    };
    let limits = process.limits()?;
    let number = |limit: LimitValue| match limit {
        LimitValue::Unlimited => None,
        LimitValue::Value(value) => Some(value),
    };
    let group = fs::read_to_string(format!("/proc/{}/cgroup", process.pid())).unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::")).map(|path| format!("/sys/fs/cgroup{path}"));
    let of_group = |file: &str| -> Option<u64> {
        let path = PathBuf::from(group.as_ref()?);
        // The limits of the groups above hold as well.
        let groups = path.ancestors().take_while(|above| above.starts_with("/sys/fs/cgroup"));
        groups.filter_map(|above| fs::read_to_string(above.join(file)).ok()?.trim().parse().ok()).min()
    };
    let is_root = process.uid()? == 0;
    Ok(LimitFacts {
        whose,
        files: number(limits.max_open_files.soft_limit),
        processes: number(limits.max_processes.soft_limit).filter(|_| !is_root),
        group_processes: of_group("pids.max"),
        group_memory: of_group("memory.max"),
        workers,
        pool,
    })
}
