//! `sexton start`, `stop` and `restart`: a daemon in the background, for hosts without systemd.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{
    audit,
    control::announce_stop,
    exit_code::{self, BAD_CONFIG, FAILED},
    locate::Located,
    output::{Printer, print_error, print_line},
    session::{ReasonArgs, Session},
    stop::{StopOptions, stop_daemon},
};
use crate::{
    config::DaemonConfig,
    daemon::{Phase, Status},
    service::{DAEMON_TITLE, Role, RunDir, Started, SupervisorPlan, SupervisorState, control, launch, tree},
};

/// Interval between two checks of a start or stop by another process.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A daemon that does not answer within this time is not working.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long `restart` waits for the answer of the database before it stops the daemon.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct StartArgs {
    /// Log debug events: all, or those of these modules
    #[arg(long, num_args = 0.., value_name = "MODULE", value_delimiter = ',')]
    debug: Option<Vec<String>>,
    /// How long to wait for a daemon that another process starts or stops at the same time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::domain::text::duration::parse)]
    timeout: Duration,
}

#[derive(Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct StopArgs {
    /// Give running tasks only daemon.force_timeout (5 s, unless set) to end, instead of daemon.stop_timeout (30 s)
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// Starts a daemon in the background. Returns when it is ready or has failed.
pub(super) async fn start(
    session: &Session,
    output: Printer,
    log: Option<&str>,
    args: &StartArgs,
) -> anyhow::Result<u8> {
    let config = checked_config(session, args)?;
    let plan = supervisor_plan(session, &config, log, args)?;
    let end = Instant::now() + args.timeout;
    // The run directory of the running daemon may have been changed in the configuration since its start.
    let (running, configured) = (session.locate()?.run, RunDir::at(&config.run_dir));
    loop {
        let run = if running.is_held() { &running } else { &configured };
        let supervisor = run.supervisor_status()?;
        match (&supervisor, run.holder(Role::Daemon)?) {
            (_, Some(daemon)) if is_working(run).await => {
                let alone = match supervisor {
                    Some(_) => String::new(),
                    None if was_started_here(daemon.pid) => match launch(&plan.clone().adopting(daemon.pid, run))? {
                        Started::Ready { .. } => {
                            "; its process supervisor had ended, and a new one watches it".to_owned()
                        }
                        Started::Failed { why, .. } => format!(", without a process supervisor ({why})"),
                        Started::AlreadyThere { .. } => String::new(),
                    },
                    None => ", without a process supervisor (in the foreground, or under systemd)".to_owned(),
                };
                let sentence = format!("Sexton is already running: process {}{alone}", daemon.pid);
                output.report(&sentence, &json!({ "started": false, "pid": daemon.pid }))?;
                return Ok(0);
            }
            // The daemon is starting or stopping, or has just ended: check again.
            (Some(_), _) | (None, Some(_)) => {}
            (None, None) => match launch(&plan)? {
                Started::Ready { pid, status } => {
                    let sentence = format!("Sexton has started: process {pid}; {status}");
                    output.report(&sentence, &json!({ "started": true, "pid": pid, "status": status }))?;
                    return Ok(0);
                }
                Started::Failed { why, code } => {
                    print_error!("{why}");
                    print_error!("sexton: the daemon did not start");
                    return Ok(code
                        .and_then(|code| u8::try_from(code).ok())
                        .filter(|code| *code != 0)
                        .unwrap_or(FAILED));
                }
                Started::AlreadyThere { .. } => {}
            },
        }
        if Instant::now() >= end {
            let problem = match supervisor.map(|status| (status.state, status.last_failure)) {
                Some((SupervisorState::Waiting, Some(failure))) => format!("fails again and again (last: {failure})"),
                Some((SupervisorState::Stopping, _)) => "is still stopping".to_owned(),
                Some((SupervisorState::Starting, _)) => "is still starting".to_owned(),
                Some((SupervisorState::Watching | SupervisorState::Waiting, _)) | None => {
                    "is running, but does not answer".to_owned()
                }
            };
            anyhow::bail!("a daemon {problem}: see `sexton status`, and {}", plan.log.display());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The configuration, checked before the start: a restart does not help a daemon that cannot start.
fn checked_config(session: &Session, args: &StartArgs) -> anyhow::Result<DaemonConfig> {
    let config = session.config()?;
    match session.unknown_module(&config, args.debug.as_deref()) {
        Some(problem) => anyhow::bail!("{problem}"),
        None => {
            for warning in session.advice(&config) {
                print_error!("sexton: {warning}");
            }
            Ok(config.daemon)
        }
    }
}

/// Whether a daemon answers and is not stopping.
async fn is_working(run: &RunDir) -> bool {
    let asked = control::ask::<Status>(run, Method::GET, "/status", None, ANSWER_TIMEOUT).await;
    asked.is_ok_and(|status| matches!(status.phase, Phase::Running | Phase::Restarting | Phase::WaitingForDatabase))
}

pub(super) async fn stop(session: &Session, output: Printer, args: &StopArgs) -> anyhow::Result<u8> {
    let Located { config, run } = session.locate()?;
    announce_stop(&run, &args.reason).await;
    let result = stop_daemon(&run, &stop_options(&config, args.force)).await?;
    output.report_lines(&result.lines(), &json!(result))?;
    Ok(0)
}

pub(super) async fn restart(
    session: &Session,
    output: Printer,
    log: Option<&str>,
    RestartArgs { start: args, reason }: &RestartArgs,
) -> anyhow::Result<u8> {
    // With mistakes in the configuration, the daemon must not be stopped: it could not start again.
    checked_config(session, args)?;
    let Located { config, run } = session.locate()?;
    let (supervisor, daemon) = (run.holder(Role::Supervisor)?, run.holder(Role::Daemon)?);
    if let (None, Some(daemon)) = (supervisor, daemon)
        && !was_started_here(daemon.pid)
    {
        anyhow::bail!(
            "process {} was not started by `sexton start`: restart it where it was started (for example with \
             `systemctl restart sexton`), or stop it first",
            daemon.pid
        );
    }
    if supervisor.or(daemon).is_some() {
        check_login(session).await?;
    }
    announce_stop(&run, reason).await;
    let result = stop_daemon(&run, &stop_options(&config, false)).await?;
    if !output.is_json() && result.was_running() {
        result.lines().iter().for_each(|line| print_line!("{line}"));
    }
    let code = start(session, output, log, args).await?;
    if code == 0 {
        let (before, after) = (result.pid, run.holder(Role::Daemon)?.map(|daemon| daemon.pid));
        audit::note_restart(session, reason, before, after).await;
    }
    Ok(code)
}

/// Checks that the database does not refuse the login: a daemon that runs must not be stopped for one that could not start.
/// An outage is no reason: the daemon waits for its end.
async fn check_login(session: &Session) -> anyhow::Result<()> {
    match tokio::time::timeout(LOGIN_TIMEOUT, session.open()).await {
        Ok(Err(error)) if exit_code::of(&error) == BAD_CONFIG => Err(error.context("the daemon was not stopped")),
        _ => Ok(()),
    }
}

/// Whether `sexton start` has started the daemon, whose process supervisor is gone.
fn was_started_here(pid: i32) -> bool {
    tree(&[pid]).first().is_some_and(|daemon| was_started_in_background(&daemon.title))
}

/// Whether a process with this title is a daemon that `sexton start` has started.
pub(super) fn was_started_in_background(title: &str) -> bool {
    title.starts_with(DAEMON_TITLE) && title.contains(" --log-files")
}

fn stop_options(config: &DaemonConfig, force: bool) -> StopOptions {
    StopOptions { force, task_timeout: if force { config.force_timeout } else { config.stop_timeout } }
}

/// The input of the process supervisor.
fn supervisor_plan(
    session: &Session,
    config: &DaemonConfig,
    log: Option<&str>,
    args: &StartArgs,
) -> anyhow::Result<SupervisorPlan> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut arguments = Vec::new();
    if let Some(file) = session.file() {
        let file = std::path::absolute(file)?;
        arguments.extend(["--config".to_owned(), text(file)?]);
    }
    if let Some(filter) = log {
        arguments.extend(["--log".to_owned(), filter.to_owned()]);
    }
    arguments.extend(["run".to_owned(), "--log-files".to_owned()]);
    if let Some(modules) = &args.debug {
        arguments.push("--debug".to_owned());
        arguments.extend((!modules.is_empty()).then(|| modules.join(",")));
    }
    Ok(SupervisorPlan {
        run_dir: std::path::absolute(&config.run_dir)?,
        log: std::path::absolute(config.log_dir.join("supervisor.log"))?,
        program,
        arguments,
        watchdog: config.watchdog,
        stop_timeout: config.stop_timeout,
        force_timeout: config.force_timeout,
        adopt: None,
    })
}

fn text(path: PathBuf) -> anyhow::Result<String> {
    path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}
