//! `sexton status`: whether the daemon is running, and its health. The exit codes are those of the Linux Standard Base.

use std::{collections::HashSet, time::Duration};

use bytesize::ByteSize;
use hyper::Method;
use serde::Serialize;

use super::{
    event,
    exit_code::{NOT_RUNNING, STATUS_UNKNOWN},
    locate::Located,
    output::{Printer, print_line},
    pause, problem,
    session::Session,
    start::was_started_in_background,
};
use crate::{
    daemon::{Deployment, DisabledTask, Phase, Status},
    domain::text::{
        duration,
        plural::{counted, times},
    },
    service::{ProcessInfo, Role, SupervisorState, SupervisorStatus, control, tree},
    shepherd::{AttemptDirState, NodeDir},
};

/// A daemon that does not answer within this time is not healthy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The status of a daemon and its process supervisor.
#[derive(Debug, Serialize)]
struct StatusReport {
    state: Health,
    /// The state in a sentence.
    summary: String,
    run_dir: String,
    daemon: Option<Status>,
    supervisor: Option<SupervisorStatus>,
    processes: Vec<ProcessInfo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Running,
    Starting,
    Stopping,
    /// The process exists, but does not answer.
    NotAnswering,
    /// The daemon failed, and its process supervisor will restart it.
    Restarting,
    NotRunning,
    Unknown,
}

pub(super) async fn run(session: &Session, output: Printer) -> anyhow::Result<u8> {
    let report = match session.locate() {
        Ok(located) => inspect(&located).await,
        Err(error) => StatusReport::unknown("", &error.to_string()),
    };
    if output.is_json() {
        output.value(&report)?;
    } else {
        report.print(output);
    }
    Ok(match report.state {
        Health::Running | Health::Starting | Health::Stopping => 0,
        Health::Restarting | Health::NotRunning => NOT_RUNNING,
        Health::NotAnswering | Health::Unknown => STATUS_UNKNOWN,
    })
}

async fn inspect(Located { config, run }: &Located) -> StatusReport {
    let answer = control::ask::<Status>(run, Method::GET, "/status", None, ANSWER_TIMEOUT).await;
    let (supervisor, holder) = match (run.supervisor_status(), run.holder(Role::Daemon)) {
        (Ok(supervisor), Ok(holder)) => (supervisor, holder),
        (Err(error), _) | (_, Err(error)) => {
            return StatusReport::unknown(&run.path().display().to_string(), &error.to_string());
        }
    };
    let (state, summary) = match (&answer, holder) {
        (Ok(status), _) => from_answer(status),
        (Err(control::ControlError::Silent(_)), Some(holder)) => {
            (Health::NotAnswering, format!("Sexton does not answer: {holder} is running, but silent"))
        }
        (Err(error), Some(holder)) => match error {
            control::ControlError::NotThere(_)
                if supervisor.as_ref().is_some_and(|status| status.state == SupervisorState::Starting) =>
            {
                (Health::Starting, format!("Sexton is starting: {holder}"))
            }
            error => (Health::Unknown, format!("Sexton is running ({holder}), but: {error}")),
        },
        (Err(_), None) => from_supervisor(&run.path().display().to_string(), supervisor.as_ref()),
    };
    let mut roots: Vec<i32> = supervisor.as_ref().map(|state| state.pid).into_iter().collect();
    roots.extend(holder.map(|holder| holder.pid));
    let daemon = answer.ok();
    let tasks = daemon.iter().flat_map(|status| &status.tasks);
    let attempts = config.state_dir.join("attempts");
    roots.extend(tasks.filter_map(|task| match NodeDir::newest_attempt(&attempts, task.id)?.inspect() {
        Ok(AttemptDirState::Running(pid)) => Some(pid),
        _ => None,
    }));
    let mut seen = HashSet::new();
    roots.retain(|pid| seen.insert(*pid));
    StatusReport {
        state,
        summary,
        run_dir: run.path().display().to_string(),
        daemon,
        supervisor,
        processes: tree(&roots),
    }
}

fn from_answer(status: &Status) -> (Health, String) {
    let pid = status.pid;
    let age = whole_seconds(status.uptime_ms);
    match status.phase {
        Phase::Starting => (Health::Starting, format!("Sexton is starting: process {pid}")),
        Phase::WaitingForDatabase => {
            (Health::Running, format!("Sexton is running without its database: process {pid}, for {age}"))
        }
        Phase::Running => (Health::Running, format!("Sexton is running: process {pid}, for {age}")),
        Phase::Restarting => (Health::Running, format!("Sexton is restarting itself: process {pid}")),
        Phase::Stopping => (Health::Stopping, format!("Sexton is stopping: process {pid}")),
    }
}

fn whole_seconds(millis: u64) -> String {
    duration::text(Duration::from_secs(millis / 1_000))
}

fn from_supervisor(run_dir: &str, supervisor: Option<&SupervisorStatus>) -> (Health, String) {
    let Some(state) = supervisor else {
        return (Health::NotRunning, format!("Sexton is not running (no process holds {run_dir}/daemon.lock)"));
    };
    let failure = state.last_failure.as_deref().unwrap_or("unknown reason");
    match state.state {
        SupervisorState::Waiting => {
            (Health::Restarting, format!("Sexton is not running: it failed ({failure}), and will be restarted"))
        }
        SupervisorState::Stopping => (Health::NotRunning, "Sexton has stopped".to_owned()),
        // The process supervisor has not noticed the end yet.
        SupervisorState::Watching => (Health::Restarting, "Sexton is not running: it has just ended".to_owned()),
        SupervisorState::Starting => (Health::Restarting, "Sexton is being started".to_owned()),
    }
}

impl StatusReport {
    fn unknown(run_dir: &str, problem: &str) -> Self {
        Self {
            state: Health::Unknown,
            summary: format!("cannot tell whether Sexton is running: {problem}"),
            run_dir: run_dir.to_owned(),
            daemon: None,
            supervisor: None,
            processes: Vec::new(),
        }
    }

    fn print(&self, output: Printer) {
        print_line!("{}", self.summary);
        let line = |name: &str, text: &str| print_line!("  {name:<14}{text}");
        if let Some(daemon) = &self.daemon {
            if let Some(node) = &daemon.node {
                line("node", node);
            }
            line("status", &daemon.status);
            for problem in &daemon.problems {
                let (of, since) = (problem::of(problem.kind, &problem.name), output.time(problem.opened_at));
                let often = times(problem.times.unsigned_abs());
                line(
                    "problem",
                    &format!(
                        "{} ({of}), {often} since {since}: {}",
                        problem.id,
                        problem::what(output, problem.kind, &problem.what)
                    ),
                );
            }
            if let more @ 1.. = daemon.open_problems.saturating_sub(daemon.problems.len()) {
                line("", &format!("and {more} more: sexton problem list"));
            }
            line("database", &daemon.database);
            let file = daemon
                .config
                .file
                .as_ref()
                .map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
            line("configuration", &format!("{file}, read {}", output.time(daemon.config.loaded_at)));
            if let Some(mistakes) = &daemon.config.mistakes {
                line("", "a newer version has mistakes and is not in force:");
                for mistake in mistakes.lines() {
                    line("", mistake);
                }
            }
            if let Some(Deployment { in_force, signer, refused }) = &daemon.deployment {
                let version = in_force.map_or_else(|| "none".to_owned(), |number| format!("version {number}"));
                let signer = signer.as_ref().map(|signer| format!(", signed by {signer}")).unwrap_or_default();
                line("deployed", &format!("{version}{signer}"));
                if let Some(refused) = refused {
                    line("", &format!("version {} is refused: {}", refused.number, refused.why));
                }
            }
            if !daemon.config.needs_restart.is_empty() {
                line(
                    "",
                    &format!("changes that take effect at the next start: {}", daemon.config.needs_restart.join(", ")),
                );
            }
            if let (Some(lost @ 1..), problem) = (daemon.log["lost_lines"].as_u64(), &daemon.log["last_problem"]) {
                let problem = problem.as_str().unwrap_or("unknown reason");
                line("log", &format!("{} lost: {problem}", counted(lost, "line")));
            }
            if daemon.foreign_leftovers > 0 {
                let found = counted(daemon.foreign_leftovers, "leftover");
                line("state_dir", &format!("{found} of another database, not applied (the log has the paths)"));
            }
            if let Some(details) = &daemon.everything_paused {
                line("paused", &format!("everything is {} (`sexton resume`)", pause::state(output, true, details)));
            }
            if let Some(known) = &daemon.maintenance {
                line("maintenance", &format!("{} (`sexton maintenance off`)", pause::maintained(output, known)));
            }
            for (queue, reason) in &daemon.closed_queues {
                line("queue", &format!("{queue} is closed: {reason}"));
            }
            for full in &daemon.full_queues {
                line("queue", &format!("{} {}", full.queue, full.words()));
            }
            for unserved in &daemon.unserved_queues {
                line("queue", &format!("{}: {}", unserved.queue, unserved.words()));
            }
            for wait in &daemon.rate_waits {
                line("queue", &format!("{} {}", wait.queue, wait.words()));
            }
            if let Some(trouble) = &daemon.command_starts {
                let (since, next) = (whole_seconds(trouble.since_ms), whole_seconds(trouble.next_try_ms));
                let tasks = counted(usize::try_from(trouble.given_back).unwrap_or(usize::MAX), "task");
                line("commands", &format!("cannot be started for {since}: {}", trouble.reason));
                line("", &format!("gave back {tasks} uncounted; claims no commands, and tries again in {next}"));
            }
            for trouble in &daemon.failing_workers {
                line("worker", &format!("{}: {}", trouble.worker, trouble.words()));
                line("", &format!("starts the next process in {}", whole_seconds(trouble.next_try_ms)));
            }
            for sentence in event::troubles(&daemon.events).iter().chain(&daemon.refused_events) {
                line("events", sentence);
            }
            for unknown in &daemon.unknown_tasks {
                let tasks = counted(usize::try_from(unknown.tasks).unwrap_or(usize::MAX), "task");
                line(
                    "tasks",
                    &format!(
                        "no node defines `{}`: {tasks} set aside since {}",
                        unknown.name,
                        output.time(unknown.since)
                    ),
                );
            }
            for DisabledTask { name, when_disabled, tasks, .. } in &daemon.disabled_tasks {
                let tasks = counted(usize::try_from(*tasks).unwrap_or(usize::MAX), "task");
                let what = match when_disabled.as_str() {
                    "refuse" => "its tasks are refused".to_owned(),
                    _ => format!("{tasks} set aside until it is enabled"),
                };
                line("tasks", &format!("`{name}` is disabled: {what}"));
            }
            for ailment in &daemon.unhealthy {
                line("module", ailment);
            }
            for fault in &daemon.isolated {
                line("isolated", fault);
            }
            if let more @ 1.. = daemon.isolated_count.saturating_sub(daemon.isolated.len() as u64) {
                line("", &format!("and {more} more"));
            }
        }
        if let Some(SupervisorStatus { pid, failures, last_failure, last_failure_at, .. }) = &self.supervisor {
            let failure = match (last_failure, last_failure_at) {
                (Some(failure), Some(at)) => {
                    format!("; the daemon failed {}, last at {}: {failure}", times(*failures), output.time(*at))
                }
                _ => String::new(),
            };
            line("supervisor", &format!("process {pid}{failure}"));
        }
        let was_supervised = self.processes.iter().any(|process| was_started_in_background(&process.title));
        if self.supervisor.is_none() && self.daemon.is_some() && was_supervised {
            line("supervisor", "none: it has ended, and nothing restarts the daemon; `sexton start` starts a new one");
        }
        if !self.processes.is_empty() {
            print_line!("");
            print_line!("{:>8} {:>10} {:>9}  PROCESS", "PID", "MEMORY", "AGE");
        }
        for process in &self.processes {
            let indent = "  ".repeat(process.depth);
            let (memory, age) = (ByteSize(process.memory_bytes).to_string(), whole_seconds(process.age_ms));
            print_line!("{:>8} {memory:>10} {age:>9}  {indent}{}", process.pid, process.title);
        }
    }
}
