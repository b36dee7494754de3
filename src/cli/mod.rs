//! The command line: a noun, then a verb. Each command is one file.

mod audit;
mod bench;
mod bulk;
mod chain;
mod check;
mod command_pid;
mod completion;
mod config;
mod config_diff;
mod config_mistakes;
mod config_versions;
mod control;
mod db;
mod deploy;
mod doctor;
mod embedded;
mod event;
mod exit_code;
mod expected;
mod group;
mod history;
mod import;
mod init;
mod judged;
mod locate;
mod log;
mod lookup;
mod maintenance;
mod manual;
mod module;
mod next;
mod node;
mod notify;
mod output;
mod pause;
mod payload;
mod period;
mod plan;
mod problem;
mod queue;
mod run;
mod schedule;
mod schedule_edit;
mod selection;
mod session;
mod start;
mod stats;
mod status;
mod stop;
mod summary;
mod sweep;
mod task;
mod task_end;
mod task_move;
mod task_trace;
mod time;
mod trigger;
mod waiting;
mod warnings;
mod why;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use chrono_tz::Tz;
use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::{embedded::run_embedded, session::Parts};
use self::{
    output::Printer,
    session::{CONFIG_VARIABLE, Session},
};
use crate::{
    domain::text::clean,
    telemetry::{self, DebugChoice, LogFormat, LogPlan, LogTarget},
};

/// A supervised background-task daemon for applications that have a SQL database.
#[derive(Parser)]
#[command(name = "sexton", version, about, after_help = EXIT_CODES)]
struct Cli {
    /// The configuration file [default: sexton.toml, config/sexton.toml or /etc/sexton/sexton.toml]
    #[arg(long, help_heading = GLOBAL, global = true, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, help_heading = GLOBAL, global = true)]
    json: bool,
    /// Show times in UTC instead of the reader's time zone (`daemon.timezone`, otherwise `TZ`)
    #[arg(long, help_heading = GLOBAL, global = true)]
    utc: bool,
    /// Log filter: error, warn, info, debug, trace, or directives such as `sexton=debug`
    #[arg(long, help_heading = GLOBAL, global = true, value_name = "FILTER", env = "SEXTON_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// The heading of the options that every command has.
const GLOBAL: &str = "Options of every command";

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (`run --once`: a task failed), 2 wrong usage, 3 timed out, \
                          70 a module failed too often, 76 a newer version has migrated the database, \
                          78 mistakes in the configuration, or a database that refuses the login. \
                          `status`: 0 running, 3 not running, 4 unknown. \
                          `check`: 0 OK, 1 warning, 2 critical, 3 unknown. \
                          `doctor`: 0 nothing worse than a note, 1 warnings, 2 errors. \
                          `plan --against`: 2 the plans differ. `period check`: 0 inside, 1 outside, 2 unknown";

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::RunArgs),
    /// Start the daemon in the background, and wait until it is ready
    Start(start::StartArgs),
    /// Stop the daemon, and wait until it has ended
    Stop(start::StopArgs),
    /// Stop the daemon, and start it again
    Restart(start::RestartArgs),
    /// Reload the configuration of the running daemon
    Reload(session::ReasonArgs),
    /// Show whether the daemon is running, and its health
    Status,
    /// Check the daemon, the database and the tasks for a monitoring system: a plugin for Nagios and Icinga
    Check(check::CheckArgs),
    /// Look at the whole installation, and say for each finding why it matters and what to do
    Doctor(doctor::DoctorArgs),
    /// Make the daemon on this host claim nothing; running tasks continue
    Quiet(control::QuietArgs),
    /// Pause everything in the whole cluster, also over restarts: no task is claimed, and no schedule fires
    Pause(session::ReasonArgs),
    /// Resume everything, and end quiet mode of the daemon on this host
    Resume(session::ReasonArgs),
    /// Show whether a maintenance is on, begin one or end it: nothing begins on any node, also over restarts
    Maintenance(maintenance::MaintenanceArgs),
    /// Log debug events of the running daemon
    Debug(control::DebugArgs),
    /// Enqueue, show and control tasks
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Show and control schedules
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Show and cancel groups of tasks
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Send and show events of applications
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Show triggers, which make tasks of events
    #[command(subcommand)]
    Trigger(trigger::TriggerCommand),
    /// Show and run sweeps, which make tasks of the rows of a SELECT
    #[command(subcommand)]
    Sweep(sweep::SweepCommand),
    /// Show and control queues
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Show periods; needs no database
    #[command(subcommand)]
    Period(period::PeriodCommand),
    /// Show nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Show and restart daemon modules
    #[command(subcommand)]
    Module(module::ModuleCommand),
    /// Show what is wrong, and say that it is known
    #[command(subcommand)]
    Problem(problem::ProblemCommand),
    /// Try the channels of notices
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Show recurring, waiting and running tasks
    Summary(summary::SummaryArgs),
    /// Show finished attempts
    History(history::HistoryArgs),
    /// Show how often tasks ran, how many failed and how long they took, by task or by day
    Stats(stats::StatsArgs),
    /// Show who did what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write a first configuration, with comments
    Init(init::InitArgs),
    /// Check, show and deploy the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show what the schedules will do, and what a changed configuration changes; needs no database
    Plan(plan::PlanArgs),
    /// Convert the files of another scheduler to a configuration; needs no database
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Manage the database schema
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Measure the performance of a database
    Bench(bench::BenchArgs),
    /// Print the script that completes commands and names in a shell
    Completions(completion::CompletionsArgs),
    /// Print a manual page
    Man(manual::ManArgs),
}

/// Runs the command line of this process. Returns the exit code.
pub fn main(parts: Arc<Parts>) -> ExitCode {
    if completion::answer(Cli::command, &parts) {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && check::is_meant(std::env::args_os()) => {
            return ExitCode::from(check::refuse(&error));
        }
        Err(error) => error.exit(),
    };
    let is_daemon = matches!(cli.command, Command::Run(_));
    match run(cli, parts) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let message = clean::lines(&format!("sexton: {error:#}"));
            match is_daemon {
                // The daemon's end must not wait for readers of its standard error.
                true => telemetry::print_within(message + "\n", run::FINAL_LOG_TIMEOUT),
                false => eprintln!("{message}"),
            }
            ExitCode::from(exit_code::of(&error))
        }
    }
}

fn run(cli: Cli, parts: Arc<Parts>) -> anyhow::Result<u8> {
    let session = Session::new(cli.config, parts);
    // The daemon starts its log as configured.
    if let Command::Run(args) = cli.command {
        return run::run(&session, &args, cli.log);
    }
    let output = Printer::new(cli.json, if cli.utc { Tz::UTC } else { session.zone() });
    let is_check = matches!(cli.command, Command::Check(_) | Command::Doctor(_));
    telemetry::start(LogPlan {
        target: LogTarget::Automatic,
        format: LogFormat::Text,
        // A monitoring system takes all that is printed for the answer.
        filter: Some(cli.log.clone().unwrap_or_else(|| if is_check { "off" } else { "warn" }.to_owned())),
        debug: DebugChoice::Nothing,
        is_synchronous: true,
    })?;
    match cli.command {
        Command::Bench(args) => return bench::run(&session, output, &args),
        Command::Config(ref command) if !command.needs_database() => return config::run(&session, output, command),
        Command::Import(command) => return import::run(output, &command),
        Command::Init(args) => return init::run(output, &args),
        Command::Period(command) => return period::run(&session, output, &command),
        Command::Completions(args) => return completion::print(&args),
        Command::Man(args) => return manual::run(Cli::command(), &args),
        _ => {}
    }
    actix_rt::System::new().block_on(async {
        match cli.command {
            Command::Task(command) => task::run(&session, output, command).await,
            Command::Schedule(command) => schedule::run(&session, output, command).await,
            Command::Group(command) => group::run(&session, output, command).await,
            Command::Event(command) => event::run(&session, output, command).await,
            Command::Trigger(command) => trigger::run(&session, output, command).await,
            Command::Sweep(command) => sweep::run(&session, output, command).await,
            Command::Queue(command) => queue::run(&session, output, command).await,
            Command::Node(node::NodeCommand::List) => node::list(&session, output).await,
            Command::Module(command) => module::run(&session, output, command).await,
            Command::Notify(command) => notify::run(&session, output, command).await,
            Command::Problem(command) => problem::run(&session, output, command).await,
            Command::Summary(args) => summary::run(&session, output, &args).await,
            Command::Plan(args) => plan::run(&session, output, &args).await,
            Command::History(args) => history::run(&session, output, args).await,
            Command::Stats(args) => stats::run(&session, output, &args).await,
            Command::Config(command) => config::run_with_database(&session, output, &command).await,
            Command::Db(command) => db::run(&session, output, command).await,
            Command::Start(args) => start::start(&session, output, cli.log.as_deref(), &args).await,
            Command::Stop(args) => start::stop(&session, output, &args).await,
            Command::Restart(args) => start::restart(&session, output, cli.log.as_deref(), &args).await,
            Command::Reload(reason) => control::reload(&session, output, &reason).await,
            Command::Status => status::run(&session, output).await,
            Command::Check(args) => check::run(&session, output, &args).await,
            Command::Doctor(args) => doctor::run(&session, output, &args).await,
            Command::Quiet(args) => control::quiet(&session, output, &args).await,
            Command::Pause(reason) => pause::pause(&session, output, &reason).await,
            Command::Resume(reason) => pause::resume(&session, output, &reason).await,
            Command::Maintenance(args) => maintenance::run(&session, output, &args).await,
            Command::Audit(command) => audit::run(&session, output, command).await,
            Command::Debug(args) => control::debug(&session, output, &args).await,
            // Handled above.
            Command::Run(_)
            | Command::Bench(_)
            | Command::Import(_)
            | Command::Init(_)
            | Command::Period(_)
            | Command::Completions(_)
            | Command::Man(_) => Ok(0),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_tree_is_sound() {
        super::Cli::command().debug_assert();
    }
}
