//! `sexton run`.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use tokio::sync::mpsc::{Receiver, channel};

use super::session::{Session, log_warnings};
use crate::{
    clock::Clock,
    config::Config,
    daemon::{Blueprint, MAX_WAITING, Mode, QUIET, RESTART, Request, RunLock, is_asked_to_end, listen, with_built_in},
    domain::text::duration,
    service::{DAEMON_TITLE, RESTARTED, kill_children},
    telemetry::{self, DebugChoice, FilePlan, LogControl, LogPlan, LogTarget},
};

/// Starts this program once more in the same process, under the name by which `ps` is to show it. A daemon without
/// its title works as well.
fn take_title() -> std::io::Result<()> {
    let mut arguments = std::env::args_os();
    let has_title = arguments.next().is_none_or(|name| name.to_string_lossy().starts_with(DAEMON_TITLE));
    if let Ok(program) = std::env::current_exe()
        && !has_title
    {
        return Err(Command::new(program).arg0(DAEMON_TITLE).args(arguments).exec());
    }
    Ok(())
}

#[derive(Args)]
pub(super) struct RunArgs {
    /// Do what is due, and end
    #[arg(long, conflicts_with = "length")]
    once: bool,
    /// Work for so long, and end: for hosts that have only a cron
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
    /// Show Sexton's debug events in the log: all, or those of these daemon modules
    #[arg(long, value_name = "MODULE", num_args = 0.., value_delimiter = ',')]
    debug: Option<Vec<String>>,
    /// Log into the files of `log_dir`, not to standard error
    #[arg(long, hide = true)]
    log_files: bool,
}

/// So long its end waits for the last lines of the log.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) fn run(session: &Session, args: &RunArgs, filter: Option<String>) -> anyhow::Result<u8> {
    let titled = take_title();
    // First of all: a signal that comes before this would end the process in its own way.
    let (sender, orders) = channel(MAX_WAITING);
    listen(sender)?;
    let config = session.config_unprinted()?;
    // Whoever started it first had the names checked. When it is started again, one that is gone meanwhile is no reason
    // not to work.
    let unknown = session.unknown_module(&config, args.debug.as_deref());
    let is_again = args.log_files || std::env::var_os(RESTARTED).is_some();
    if let Some(problem) = unknown.as_ref().filter(|_| !is_again) {
        anyhow::bail!("{problem}");
    }
    let log = start_log(&config, args, filter)?;
    if let Some(problem) = unknown {
        tracing::warn!("--debug: {problem}");
    }
    let ended = work(session, args, config, &log, orders, titled);
    log.finish(LAST_WORDS);
    ended
}

/// What the daemon does while it has a log.
fn work(
    session: &Session,
    args: &RunArgs,
    config: Config,
    log: &LogControl,
    orders: Receiver<Request>,
    titled: std::io::Result<()>,
) -> anyhow::Result<u8> {
    if let Err(error) = titled {
        tracing::debug!("the title cannot be set: {error}");
    }
    check_user(&config)?;
    let door = Arc::new(RunLock::open(&config.daemon)?);
    match session.file() {
        Some(file) => tracing::info!("the configuration is {}", file.display()),
        None => {
            tracing::warn!("there is no configuration file: nothing is defined, only tasks of registered handlers run");
        }
    }
    log_warnings(&config);
    let is_quiet = Arc::new(AtomicBool::new(false));
    let blueprint = Blueprint {
        program: "/proc/self/exe".into(),
        config,
        file: session.file().cloned(),
        run_lock: Some(door.clone()),
        registry: session.parts.registry.clone(),
        app_data: session.parts.app_data.clone(),
        modules: with_built_in(session.parts.modules.clone()),
        loader: session.loader(),
        clock: Clock::system(),
        mode: match (args.once, args.length) {
            (true, _) => Mode::Once,
            (_, Some(length)) => Mode::For(length),
            _ => Mode::Serve,
        },
        log: log.clone(),
        stays_quiet: is_quiet.clone(),
        on_start: None,
    };
    let code = blueprint.run(orders)?;
    if code == RESTART && !is_asked_to_end() {
        start_anew(&door, is_quiet.load(Ordering::Relaxed), log);
    }
    Ok(match code {
        // Whoever has said stop in the last moment means it.
        RESTART if is_asked_to_end() => 0,
        code => u8::try_from(code).unwrap_or(1),
    })
}

/// Starts this program once more in the same process; if that is not possible, whoever is above the daemon has to, and
/// is told so by the exit code.
fn start_anew(door: &RunLock, is_quiet: bool, log: &LogControl) {
    // Not what runs, but what is there now: it may have been exchanged for a newer one.
    let program = std::env::current_exe().map(|program| newest(&program));
    // Who asks for shepherds would be asked by nobody any more, and stay as a zombie.
    kill_children();
    let error = match program {
        Ok(program) => {
            let mut command = Command::new(program);
            command.arg0(DAEMON_TITLE).args(std::env::args_os().skip(1)).env(RESTARTED, "1").env_remove(QUIET);
            if is_quiet {
                command.env(QUIET, "1");
            }
            door.keep_over_exec();
            log.finish(LAST_WORDS);
            if is_asked_to_end() {
                return;
            }
            command.exec()
        }
        Err(error) => error,
    };
    tracing::error!("the daemon cannot start itself anew: {error}");
}

/// Where a program was that has been replaced, Linux says so behind its name.
fn newest(program: &Path) -> PathBuf {
    let name = program.to_string_lossy();
    match name.strip_suffix(" (deleted)").map(PathBuf::from).filter(|path| path.exists()) {
        Some(path) => path,
        None if program.exists() => program.to_owned(),
        None => "/proc/self/exe".into(),
    }
}

/// Root can do everything, and so can whoever can change what root runs.
fn check_user(config: &Config) -> anyhow::Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let advice = "run it as a user of its own: whoever can change the configuration or its files could do everything";
    anyhow::ensure!(!config.daemon.refuse_root, "the daemon does not run as root (daemon.refuse_root): {advice}");
    tracing::warn!("the daemon runs as root; better {advice}");
    Ok(())
}

/// Begins the log as it is configured. What the command line says wins.
fn start_log(config: &Config, args: &RunArgs, filter: Option<String>) -> anyhow::Result<LogControl> {
    telemetry::start(LogPlan {
        target: match args.log_files {
            true => LogTarget::Files(FilePlan {
                dir: config.daemon.log_dir.clone(),
                rotation: config.log.rotate,
                days_to_keep: config.log.days_to_keep,
                keep_files: config.log.keep_files,
            }),
            false => LogTarget::Automatic,
        },
        format: config.log.format,
        filter: Some(filter.unwrap_or_else(|| config.log.level.clone())),
        debug: match args.debug.as_deref() {
            None => DebugChoice::Nothing,
            Some([]) => DebugChoice::Everything,
            Some(modules) => DebugChoice::Modules(modules.to_vec()),
        },
        is_synchronous: false,
    })
}
