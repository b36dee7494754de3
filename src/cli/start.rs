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
    exit_code::FAILED,
    output::{Printer, say},
    session::Session,
    stop::{Orders, halt},
};
use crate::{
    config::DaemonConfig,
    daemon::{Phase, Status},
    service::{Role, RunDir, Started, SupervisorPlan, SupervisorState, control, launch, tree},
};

/// Between two looks at somebody else's start or stop.
const LOOK: Duration = Duration::from_millis(50);
/// A daemon that does not answer within this is not at work.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct StartArgs {
    /// Log debug events of these modules, or of everything
    #[arg(long, num_args = 0.., value_name = "MODULE", value_delimiter = ',')]
    debug: Option<Vec<String>>,
    /// How long to wait for a daemon that somebody else starts or stops at the same time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::domain::text::duration::parse)]
    timeout: Duration,
}

#[derive(Args)]
pub(super) struct StopArgs {
    /// Give running tasks only daemon.force_timeout, not daemon.stop_timeout
    #[arg(long)]
    force: bool,
}

/// Leaves a daemon running in the background; returns when it is ready, or has failed.
pub(super) async fn start(
    session: &Session,
    output: Printer,
    log: Option<&str>,
    args: &StartArgs,
) -> anyhow::Result<u8> {
    let config = checked(session, args)?;
    let run = RunDir::at(&config.run_dir);
    let plan = plan(session, &config, log, args)?;
    let end = Instant::now() + args.timeout;
    loop {
        let supervisor = run.supervisor_status()?;
        match (&supervisor, run.holder(Role::Daemon)?) {
            (_, Some(daemon)) if is_at_work(&run).await => {
                let alone = match supervisor {
                    Some(_) => "",
                    None => ", without a process supervisor (in the foreground, or under systemd)",
                };
                let told = format!("Sexton is already running: process {}{alone}", daemon.pid);
                output.done(&told, &json!({ "started": false, "pid": daemon.pid }))?;
                return Ok(0);
            }
            // It is coming up, going down, or has just died: in a moment.
            (Some(_), _) | (None, Some(_)) => {}
            (None, None) => match launch(&plan)? {
                Started::Ready { pid, status } => {
                    let told = format!("Sexton has started: process {pid}; {status}");
                    output.done(&told, &json!({ "started": true, "pid": pid, "status": status }))?;
                    return Ok(0);
                }
                Started::Failed { why, code } => {
                    eprintln!("{why}");
                    eprintln!("sexton: the daemon did not start");
                    return Ok(code
                        .and_then(|code| u8::try_from(code).ok())
                        .filter(|code| *code != 0)
                        .unwrap_or(FAILED));
                }
                Started::AlreadyThere { .. } => {}
            },
        }
        if Instant::now() >= end {
            let doing = match supervisor.map(|status| (status.state, status.last_failure)) {
                Some((SupervisorState::Waiting, Some(fall))) => format!("falls again and again (last: {fall})"),
                Some((SupervisorState::Stopping, _)) => "is still stopping".to_owned(),
                Some((SupervisorState::Starting, _)) => "is still starting".to_owned(),
                Some((SupervisorState::Watching | SupervisorState::Waiting, _)) | None => {
                    "is there, and does not answer".to_owned()
                }
            };
            anyhow::bail!("a daemon {doing}: see `sexton status`, and {}", plan.log.display());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Said here and now: the daemon itself does not give up for that when it is started again and again.
fn checked(session: &Session, args: &StartArgs) -> anyhow::Result<DaemonConfig> {
    let config = session.config()?;
    match session.unknown_module(&config, args.debug.as_deref()) {
        Some(problem) => anyhow::bail!("{problem}"),
        None => Ok(config.daemon),
    }
}

/// Whether a daemon answers, and is not on its way down.
async fn is_at_work(run: &RunDir) -> bool {
    let asked = control::ask::<Status>(run, Method::GET, "/status", None, PATIENCE).await;
    asked.is_ok_and(|status| matches!(status.phase, Phase::Running | Phase::Restarting | Phase::WaitingForDatabase))
}

pub(super) async fn stop(session: &Session, output: Printer, args: &StopArgs) -> anyhow::Result<u8> {
    let config = session.daemon()?;
    let halted = halt(&RunDir::at(&config.run_dir), &orders(&config, args.force)).await?;
    output.done(&halted.told(), &json!(halted))?;
    Ok(0)
}

pub(super) async fn restart(
    session: &Session,
    output: Printer,
    log: Option<&str>,
    args: &StartArgs,
) -> anyhow::Result<u8> {
    // A configuration with which nothing would start is no reason to stop anything.
    let config = checked(session, args)?;
    let run = RunDir::at(&config.run_dir);
    let (supervisor, daemon) = (run.holder(Role::Supervisor)?, run.holder(Role::Daemon)?);
    if let (None, Some(daemon)) = (supervisor, daemon)
        && !was_started_here(daemon.pid)
    {
        anyhow::bail!(
            "process {} was not started by `sexton start`: restart it where it was started (`systemctl restart sexton`, \
             for one), or stop it first",
            daemon.pid
        );
    }
    let halted = halt(&run, &orders(&config, false)).await?;
    if !output.is_json() && halted.was_there() {
        say!("{}", halted.told());
    }
    start(session, output, log, args).await
}

/// Whether `start` has started that daemon, whose process supervisor is gone.
fn was_started_here(pid: i32) -> bool {
    tree(&[pid]).first().is_some_and(|daemon| daemon.title.contains(" --log-files"))
}

fn orders(config: &DaemonConfig, force: bool) -> Orders {
    Orders { force, limit: if force { config.force_timeout } else { config.stop_timeout } }
}

/// What the process supervisor needs to know.
fn plan(
    session: &Session,
    config: &DaemonConfig,
    log: Option<&str>,
    args: &StartArgs,
) -> anyhow::Result<SupervisorPlan> {
    let program = std::env::current_exe().context("the program's own file")?;
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
    })
}

fn text(path: PathBuf) -> anyhow::Result<String> {
    path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}
