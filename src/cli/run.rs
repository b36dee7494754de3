//! `sexton run`.

use std::{os::unix::process::CommandExt as _, process::Command, time::Duration};

use clap::Args;

use super::session::Session;
use crate::{
    clock::Clock,
    config::Config,
    daemon::{Blueprint, Mode, ORDERS, listen},
    domain::span,
    telemetry::{self, DebugChoice, FilePlan, LogControl, LogPlan, Target},
};

/// Starts this program once more in the same process, under the name by which `ps` is to show it. A daemon without
/// its title works as well.
fn take_title() -> std::io::Result<()> {
    let mut arguments = std::env::args_os();
    let has_title = arguments.next().is_none_or(|name| name.to_string_lossy().starts_with(TITLE));
    if let Ok(program) = std::env::current_exe()
        && !has_title
    {
        return Err(Command::new(program).arg0(TITLE).args(arguments).exec());
    }
    Ok(())
}

#[derive(Args)]
pub(super) struct RunArgs {
    /// Do what is due, and end
    #[arg(long, conflicts_with = "length")]
    once: bool,
    /// Work for so long, and end: for hosts that have only a cron
    #[arg(long = "for", value_name = "DURATION", value_parser = span::parse)]
    length: Option<Duration>,
    /// Show Sexton's debug events in the log: all, or those of these daemon modules
    #[arg(long, value_name = "MODULE", num_args = 0.., value_delimiter = ',')]
    debug: Option<Vec<String>>,
    /// Log into the files of `log_dir`, not to standard error
    #[arg(long, hide = true)]
    log_files: bool,
}

/// What `ps` shows of a daemon, before its arguments.
const TITLE: &str = "sexton: daemon";

pub(super) fn run(session: &Session, args: &RunArgs, filter: Option<String>) -> anyhow::Result<u8> {
    let titled = take_title();
    // First of all: a signal that comes before this would end the process in its own way.
    let (sender, orders) = tokio::sync::mpsc::channel(ORDERS);
    listen(sender)?;
    let config = session.config()?;
    let log = start_log(&config, args, filter)?;
    if let Err(error) = titled {
        tracing::debug!("the title cannot be set: {error}");
    }
    match session.file() {
        Some(file) => tracing::info!("the configuration is {}", file.display()),
        None => {
            tracing::warn!("there is no configuration file: nothing is defined, only tasks of registered handlers run");
        }
    }
    let blueprint = Blueprint {
        program: "/proc/self/exe".into(),
        config,
        registry: session.parts.registry.clone(),
        app_data: session.parts.app_data.clone(),
        modules: session.parts.modules.clone(),
        loader: session.loader(),
        clock: Clock::system(),
        mode: match (args.once, args.length) {
            (true, _) => Mode::Once,
            (_, Some(length)) => Mode::For(length),
            _ => Mode::Serve,
        },
        log,
        on_start: None,
    };
    Ok(u8::try_from(blueprint.run(orders)?).unwrap_or(1))
}

/// Begins the log as it is configured. What the command line says wins.
fn start_log(config: &Config, args: &RunArgs, filter: Option<String>) -> anyhow::Result<LogControl> {
    telemetry::start(LogPlan {
        target: match args.log_files {
            true => Target::Files(FilePlan {
                dir: config.daemon.log_dir.clone(),
                rotation: config.log.rotate,
                days_to_keep: config.log.days_to_keep,
            }),
            false => Target::Automatic,
        },
        format: config.log.format,
        filter: Some(filter.unwrap_or_else(|| config.log.level.clone())),
        debug: match args.debug.as_deref() {
            None => DebugChoice::Nothing,
            Some([]) => DebugChoice::Everything,
            Some(modules) => DebugChoice::Modules(modules.to_vec()),
        },
    })
}
