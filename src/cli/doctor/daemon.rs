//! The daemon on this host.

use std::{os::unix::fs::MetadataExt as _, time::Duration};

use hyper::Method;

use super::{super::session::Session, looks::Doctor};
use crate::{
    daemon::Status,
    domain::{
        doctor::{Area, Diagnosis},
        text::plural::counted,
    },
    service::{Role, control, user_name},
};

/// A running daemon.
pub(super) struct DaemonProcess {
    pub(super) pid: i32,
    /// The account that it runs as.
    pub(super) owner: String,
}

/// Asks the daemon on this host. Returns its process, if one runs.
pub(super) async fn look(doctor: &Doctor, session: &Session) -> Option<DaemonProcess> {
    let located = match session.locate() {
        Ok(located) => located,
        Err(error) => {
            doctor.cannot_look(Area::Nodes, "the daemon on this host", format!("{error:#}"));
            return None;
        }
    };
    let holder = match located.run.holder(Role::Daemon) {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            doctor.add([Diagnosis::note(
                Area::Nodes,
                "No daemon with this configuration is running on this host.",
                "What only a daemon knows was not looked at.",
                "sexton start, or systemctl start sexton",
            )]);
            return None;
        }
        Err(error) => {
            doctor.cannot_look(Area::Nodes, "the daemon on this host", error.to_string());
            return None;
        }
    };
    let limit = doctor.limit.min(Duration::from_secs(5));
    match control::ask::<Status>(&located.run, Method::GET, "/status", None, limit).await {
        Ok(status) => doctor.add(of_status(&status)),
        Err(error @ control::ControlError::Silent(_)) => doctor.add([Diagnosis::error(
            Area::Nodes,
            format!("The daemon on this host ({holder}): {error}."),
            "It hangs, or the machine is overloaded.",
            "sexton stop --force, then start it again; report it with the log",
        )]),
        Err(error) => doctor.cannot_look(Area::Nodes, "the daemon on this host", error.to_string()),
    }
    let owner = std::fs::metadata(format!("/proc/{}", holder.pid)).ok()?.uid();
    Some(DaemonProcess { pid: holder.pid, owner: user_name(owner) })
}

fn of_status(status: &Status) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if let Some(outage) = &status.waiting_for {
        found.push(Diagnosis::error(
            Area::Nodes,
            format!("The daemon waits for the database: {outage}."),
            "No task runs, and no schedule fires.",
            "See the findings about the database.",
        ));
    }
    if let Some(trouble) = &status.command_starts {
        found.push(Diagnosis::error(
            Area::Nodes,
            format!("The daemon cannot start commands: {}.", trouble.reason),
            "Their tasks wait.",
            "See the findings about directories and limits.",
        ));
    }
    for trouble in &status.failing_workers {
        found.push(Diagnosis::warning(
            Area::Nodes,
            format!("The processes of worker {} fail: {}.", trouble.worker, trouble.words()),
            "Its tasks fail, or wait for a process.",
            "sexton summary worker_processes; what its processes print is in the log",
        ));
    }
    if let Some(mistakes) = &status.config.mistakes {
        found.push(Diagnosis::error(
            Area::Nodes,
            format!("The daemon has refused the new configuration: {mistakes}"),
            "The old one stays in force.",
            "Correct the mistakes; then sexton reload",
        ));
    }
    if !status.config.needs_restart.is_empty() {
        found.push(Diagnosis::note(
            Area::Nodes,
            format!("Changes in {} wait for a restart of the daemon.", status.config.needs_restart.join(", ")),
            "A reload cannot apply them.",
            "sexton restart, or systemctl restart sexton",
        ));
    }
    for trouble in &status.unhealthy {
        found.push(Diagnosis::warning(
            Area::Nodes,
            format!("A module of the daemon does not work: {trouble}."),
            "What it does stands still until it works again.",
            "sexton module list; its cause is in the log",
        ));
    }
    if status.isolated_count > 0 {
        found.push(Diagnosis::warning(
            Area::Nodes,
            format!("The daemon has isolated {}.", counted(status.isolated_count, "fault")),
            "Bad rows, attempts, schedules or files were left out, so that the rest goes on.",
            "sexton status shows each with its reason",
        ));
    }
    if status.foreign_leftovers > 0 {
        found.push(Diagnosis::note(
            Area::Nodes,
            format!("There are {} of another database in state_dir.", counted(status.foreign_leftovers, "leftover")),
            "They are results that belong to another database, and are not applied to this one.",
            "sexton status says which",
        ));
    }
    if found.is_empty() {
        found.push(Diagnosis::ok(Area::Nodes, format!("The daemon on this host: {}.", status.status)));
    }
    found
}
