//! What can be seen on this host without the database: its daemon, the spool, the disk.

use std::{fs, io, path::Path, time::Duration};

use hyper::Method;

use super::{
    super::{locate::Located, session::Session},
    scope::Scope,
};
use crate::{
    daemon::Status,
    domain::{
        check::{CheckReport, Severity, metric::Metric},
        text::plural::counted,
    },
    service::{Role, control, disk_space},
};

/// A daemon that does not answer within this time is not well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks at this host; a narrower check is not about it. Returns the number of modules that are not well.
pub(super) async fn check(session: &Session, scope: Scope<'_>, limit: Duration, report: &mut CheckReport) -> usize {
    if !matches!(scope, Scope::Everything) {
        return 0;
    }
    let located = match session.locate() {
        Ok(located) => located,
        Err(error) => {
            report.unchecked.push(format!("this host ({error:#})"));
            return 0;
        }
    };
    let unwell = daemon(&located, limit.min(ANSWER_TIMEOUT), report).await;
    spool(&located.config.state_dir.join("spool"), report);
    disk(&located.config.state_dir, report);
    unwell
}

/// The daemon on this host; there need not be one, because the tasks may be on other nodes. Returns the number of its
/// modules that are not well.
async fn daemon(located: &Located, limit: Duration, report: &mut CheckReport) -> usize {
    match control::ask::<Status>(&located.run, Method::GET, "/status", None, limit).await {
        Ok(status) => {
            state_of(&status, report);
            return status.unhealthy.len();
        }
        Err(error) => match located.run.holder(Role::Daemon) {
            Ok(Some(holder)) if matches!(error, control::ControlError::Silent(_)) => {
                report.find(Severity::Critical, format!("the daemon on this host ({holder}) does not answer"));
            }
            Ok(None) if matches!(error, control::ControlError::NotThere(_)) => {
                report.unchecked.push("daemon (none is running on this host)".to_owned());
            }
            _ => report.unchecked.push(format!("daemon ({error})")),
        },
    }
    0
}

fn state_of(status: &Status, report: &mut CheckReport) {
    if let Some(outage) = &status.waiting_for {
        report.find(Severity::Critical, format!("the daemon waits for the database: {outage}"));
    }
    if let Some(trouble) = &status.command_starts {
        report.find(Severity::Critical, format!("the daemon cannot start commands: {}", trouble.reason));
    }
    for trouble in &status.failing_workers {
        let severity = if trouble.ready == 0 { Severity::Critical } else { Severity::Warning };
        report.find(severity, format!("worker {}: {}", trouble.worker, trouble.words()));
    }
    if status.config.mistakes.is_some() {
        report.find(Severity::Warning, "the new configuration has mistakes, and is not in force");
    }
    if status.isolated_count > 0 {
        let count = counted(status.isolated_count, "fault");
        report.find(Severity::Warning, format!("{count} isolated, see `sexton status`"));
    }
}

/// Finished attempts that wait on disk for the database.
fn spool(dir: &Path, report: &mut CheckReport) {
    let waiting = match fs::read_dir(dir) {
        Ok(files) => {
            let names = files.filter_map(|file| Some(file.ok()?.path()));
            names.filter(|path| path.extension().is_some_and(|extension| extension == "json")).count()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return report.unchecked.push(format!("spool ({})", reason(&error))),
    };
    let files = counted(waiting, "file");
    report.quietly(Metric::Spool, waiting as f64, format!("{files} with finished attempts in the spool"));
}

/// Free space where the daemon keeps its state.
fn disk(dir: &Path, report: &mut CheckReport) {
    // Before the first start there is no such directory yet.
    let place = dir.ancestors().find(|place| place.exists()).unwrap_or(dir);
    match disk_space(place) {
        Ok(disk) if disk.total > 0 => {
            let free = 100.0 * disk.free as f64 / disk.total as f64;
            report.quietly(Metric::DiskFree, free, format!("{free:.1} % of the disk of {} is free", dir.display()));
        }
        Ok(_) => {}
        Err(error) => report.unchecked.push(format!("disk ({})", reason(&error))),
    }
}

/// `Permission denied`, without the number of the error.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
