//! `sexton check`: a plugin for monitoring systems, by the Monitoring Plugins guidelines. It needs no daemon: it says what
//! it can, and what it could not look at.

mod database;
mod host;
mod scope;

use std::{ffi::OsString, time::Duration};

use clap::Args;
use serde::Serialize;

use self::scope::{Scope, UnknownScope};
use super::{
    output::{Printer, print_line},
    session::Session,
};
use crate::{
    config::Mistakes,
    domain::{
        check::{
            CheckReport, Finding, Severity,
            metric::{Threshold, Thresholds},
            plain, rounded,
        },
        text::{duration, plural::counted},
    },
};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Check this queue only
    #[arg(long, value_name = "NAME", group = "scope")]
    queue: Option<String>,
    /// Check this schedule only
    #[arg(long, value_name = "NAME", group = "scope")]
    schedule: Option<String>,
    /// Check the tasks of this definition only
    #[arg(long, value_name = "NAME", group = "scope")]
    task: Option<String>,
    /// Check this node only: a name, or a boot id
    #[arg(long, value_name = "NAME", group = "scope")]
    node: Option<String>,
    /// Warn if a value is outside this range: `10` is 0 to 10, `10:` 10 or more, `~:10` 10 or less, `@1:5` not 1 to 5. A
    /// range alone is for `oldest_waiting` (with --schedule and --task for `last_success`, with --node for `heartbeat`)
    #[arg(short, long, value_name = "[NAME=]RANGE", allow_hyphen_values = true)]
    warning: Vec<Threshold>,
    /// The state is critical if a value is outside this range
    #[arg(short, long, value_name = "[NAME=]RANGE", allow_hyphen_values = true)]
    critical: Vec<Threshold>,
    /// Time limit in seconds, or with a unit: 500ms
    #[arg(short, long, default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

impl CheckArgs {
    fn scope(&self) -> Scope<'_> {
        match (&self.queue, &self.schedule, &self.task, &self.node) {
            (Some(queue), ..) => Scope::Queue(queue),
            (_, Some(schedule), ..) => Scope::Schedule(schedule),
            (_, _, Some(task), _) => Scope::Task(task),
            (.., Some(node)) => Scope::Node(node),
            (None, None, None, None) => Scope::Everything,
        }
    }
}

/// Plugins take their time limit in seconds.
fn seconds(word: &str) -> Result<Duration, String> {
    let limit = word
        .parse::<u32>()
        .map_or_else(|_| duration::parse(word), |seconds| Ok(Duration::from_secs(seconds.into())))?;
    if limit.is_zero() { Err("the time limit must be longer than 0".to_owned()) } else { Ok(limit) }
}

/// What a check answers as JSON.
#[derive(Serialize)]
struct CheckAnswer {
    state: Severity,
    text: String,
    findings: Vec<Finding>,
    unchecked: Vec<String>,
    values: Vec<CheckValue>,
}

#[derive(Serialize)]
struct CheckValue {
    name: &'static str,
    value: f64,
    unit: &'static str,
    warning: Option<String>,
    critical: Option<String>,
    state: Severity,
}

pub(super) async fn run(session: &Session, output: Printer, args: &CheckArgs) -> anyhow::Result<u8> {
    session.be_silent();
    let scope = args.scope();
    let mut report = CheckReport::new(Thresholds::new(&args.warning, &args.critical, scope.main_metric()));
    let mut of_host = report.clone();
    let asked = tokio::time::timeout(args.timeout, database::check(session, scope, &mut report));
    let (asked, unwell) = tokio::join!(asked, host::check(session, scope, args.timeout, &mut of_host));
    let has_answered = matches!(asked, Ok(Ok(())));
    match asked {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let is_usage = error.is::<UnknownScope>() || error.chain().any(|cause| cause.is::<Mistakes>());
            report.find(if is_usage { Severity::Unknown } else { Severity::Critical }, format!("{error:#}"));
        }
        Err(_) => report
            .find(Severity::Critical, format!("the database has not answered within {}", duration::text(args.timeout))),
    }
    // The database names them, if it answers.
    if unwell > 0 && !has_answered {
        report.find(Severity::Warning, format!("{} of the daemon not at work", counted(unwell, "module")));
    }
    report.findings.append(&mut of_host.findings);
    report.measures.append(&mut of_host.measures);
    report.unchecked.append(&mut of_host.unchecked);
    let is_well = report.state() == Severity::Ok;
    let is_measured = |metric| report.measures.iter().any(|measure| measure.metric == metric);
    for metric in report.thresholds.unused(is_measured).into_iter().filter(|_| is_well) {
        report.find(Severity::Unknown, format!("{metric} was not measured, and has a limit"));
    }
    print(output, &report)?;
    Ok(report.state().exit_code())
}

fn print(output: Printer, report: &CheckReport) -> anyhow::Result<()> {
    if !output.is_json() {
        print_line!("{}", report.line());
        return Ok(());
    }
    let values = report.measures.iter().map(|measure| CheckValue {
        name: measure.metric.as_str(),
        value: rounded(measure.value),
        unit: measure.metric.unit(),
        warning: measure.limits.warning.map(|range| range.to_string()),
        critical: measure.limits.critical.map(|range| range.to_string()),
        state: measure.severity(),
    });
    output.value(&CheckAnswer {
        state: report.state(),
        text: report.text(),
        findings: report.findings.clone(),
        unchecked: report.unchecked.clone(),
        values: values.collect(),
    })
}

/// Whether a command line that cannot be read is one of `sexton check`.
pub(super) fn is_meant(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter().skip(1);
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy();
        match &*argument {
            "--config" | "--log" => drop(arguments.next()),
            option if option.starts_with('-') => {}
            command => return command == "check",
        }
    }
    false
}

/// Answers a command line that cannot be read. A monitoring system would take the usual exit code 2 for a critical state.
pub(super) fn refuse(error: &clap::Error) -> u8 {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    print_line!("SEXTON {} - {}", Severity::Unknown, plain(message));
    Severity::Unknown.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_counts_and_no_value_of_an_option() {
        let is_meant = |line: &str| is_meant(line.split(' ').map(OsString::from));
        assert!(is_meant("sexton check -w x") && is_meant("sexton --json --config check.toml check --nonsense"));
        assert!(!is_meant("sexton config check") && !is_meant("sexton --config check task") && !is_meant("sexton"));
    }

    #[test]
    fn a_time_limit_is_in_seconds_unless_it_has_a_unit() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("500ms"), Ok(Duration::from_millis(500)));
        assert!(seconds("0").is_err() && seconds("soon").is_err());
    }
}
