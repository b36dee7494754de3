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

use super::{session::Session, warnings::log_warnings};
use crate::{
    clock::Clock,
    config::Config,
    daemon::{
        Blueprint, MAX_WAITING, Mode, NEWER_SCHEMA, QUIET, RESTART, Request, RunLock, is_asked_to_end, listen,
        with_built_in,
    },
    domain::text::duration,
    service::{DAEMON_TITLE, RESTARTED, has_restarted, hide_memory, kill_children},
    telemetry::{self, DebugChoice, FilePlan, LogControl, LogPlan, LogTarget},
};

/// Executes this program again under the title that `ps` shows. A daemon without the title works as well.
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
    /// Run the tasks that are due, then exit
    #[arg(long, conflicts_with = "length")]
    once: bool,
    /// Run for this time, then exit: for hosts that only have a cron
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
    /// Log debug events: all of Sexton's, or those of these daemon modules
    #[arg(long, value_name = "MODULE", num_args = 0.., value_delimiter = ',')]
    debug: Option<Vec<String>>,
    /// Log to the files of `log_dir` instead of standard error
    #[arg(long, hide = true)]
    log_files: bool,
}

/// How long the daemon's end waits for the last lines of the log.
pub(super) const FINAL_LOG_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn run(session: &Session, args: &RunArgs, filter: Option<String>) -> anyhow::Result<u8> {
    let title_result = take_title();
    // First, because a signal before this call would end the process at once.
    let (sender, orders) = channel(MAX_WAITING);
    listen(sender)?;
    let config = session.config_unprinted()?;
    // The first start has checked the names. At a restart, a module that is gone must not prevent the start.
    let unknown = session.unknown_module(&config, args.debug.as_deref());
    let is_again = args.log_files || has_restarted();
    if let Some(problem) = unknown.as_ref().filter(|_| !is_again) {
        anyhow::bail!("{problem}");
    }
    let log = start_log(&config, args, filter)?;
    if let Some(problem) = unknown {
        tracing::warn!("--debug: {problem}");
    }
    let ended = work(session, args, config, &log, orders, title_result);
    log.finish(FINAL_LOG_TIMEOUT);
    ended
}

/// Runs the daemon after its log was started.
fn work(
    session: &Session,
    args: &RunArgs,
    config: Config,
    log: &LogControl,
    orders: Receiver<Request>,
    title_result: std::io::Result<()>,
) -> anyhow::Result<u8> {
    hide_memory();
    if args.log_files
        && let Err(error) = telemetry::log_stdout()
    {
        tracing::warn!("what modules print is lost: {error}");
    }
    if let Err(error) = title_result {
        tracing::debug!("cannot set the process title: {error}");
    }
    check_user(&config)?;
    let run_lock = Arc::new(RunLock::open(&config.daemon, session.file().map(PathBuf::as_path))?);
    say_file(session);
    log_warnings(&config.warnings);
    log_warnings(&session.advice(&config));
    let is_quiet = Arc::new(AtomicBool::new(false));
    let mode = match (args.once, args.length) {
        (true, _) => Mode::Once,
        (_, Some(length)) => Mode::For(length),
        _ => Mode::Serve,
    };
    let blueprint = Blueprint {
        mode,
        log: log.clone(),
        stays_quiet: is_quiet.clone(),
        ..blueprint(session, config, run_lock.clone())
    };
    let code = blueprint.run(orders)?;
    if code == RESTART && !is_asked_to_end() {
        restart_in_place(&run_lock, is_quiet.load(Ordering::Relaxed), log);
    }
    Ok(match code {
        // A stop that was requested meanwhile has precedence.
        RESTART | NEWER_SCHEMA if is_asked_to_end() => 0,
        code => u8::try_from(code).unwrap_or(1),
    })
}

/// Logs which configuration file is in use.
pub(super) fn say_file(session: &Session) {
    match session.file() {
        Some(file) => tracing::info!("the configuration file is {}", file.display()),
        None => {
            tracing::warn!("no configuration file was found: only tasks of registered handlers can run");
        }
    }
}

/// The daemon of a configuration, with the application's handlers and modules.
pub(super) fn blueprint(session: &Session, config: Config, run_lock: Arc<RunLock>) -> Blueprint {
    Blueprint {
        program: "/proc/self/exe".into(),
        config,
        file: session.file().cloned(),
        run_lock: Some(run_lock),
        registry: session.parts.registry.clone(),
        app_data: session.parts.app_data.clone(),
        modules: with_built_in(session.parts.modules.clone()),
        loader: session.loader(),
        clock: Clock::system(),
        mode: Mode::Serve,
        log: LogControl::default(),
        stays_quiet: Arc::default(),
        on_start: None,
    }
}

/// Executes this program again in the same process. If that fails, the exit code asks the service manager for a restart.
fn restart_in_place(run_lock: &RunLock, is_quiet: bool, log: &LogControl) {
    // The present file of the program, which may be newer than the running one.
    let program = std::env::current_exe().map(|program| current_program(&program));
    // The server that starts shepherds would lose its parent's requests, and stay as a zombie.
    kill_children();
    let error = match program {
        Ok(program) => {
            let mut command = Command::new(program);
            command.arg0(DAEMON_TITLE).args(std::env::args_os().skip(1)).env(RESTARTED, "1").env_remove(QUIET);
            if is_quiet {
                command.env(QUIET, "1");
            }
            run_lock.keep_over_exec();
            log.finish(FINAL_LOG_TIMEOUT);
            if is_asked_to_end() {
                return;
            }
            command.exec()
        }
        Err(error) => error,
    };
    tracing::error!("the daemon cannot restart itself: {error}");
}

/// The path of a program. Linux appends ` (deleted)` to the path of one that was replaced.
fn current_program(program: &Path) -> PathBuf {
    let name = program.to_string_lossy();
    match name.strip_suffix(" (deleted)").map(PathBuf::from).filter(|path| path.exists()) {
        Some(path) => path,
        None if program.exists() => program.to_owned(),
        None => "/proc/self/exe".into(),
    }
}

/// Refuses or warns if the daemon runs as root, because users who can change its files then control the machine.
pub(super) fn check_user(config: &Config) -> anyhow::Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let advice = "run it as its own user: users who can change the configuration or its files control the machine";
    anyhow::ensure!(!config.daemon.refuse_root, "the daemon does not run as root (daemon.refuse_root): {advice}");
    tracing::warn!("the daemon runs as root; {advice}");
    Ok(())
}

/// Starts the log as configured. The command line has precedence.
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
