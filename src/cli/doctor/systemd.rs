//! The unit of systemd.

use std::{cell::RefCell, io::ErrorKind, process::Stdio};

use tokio::process::Command;

use super::{super::session::Session, looks::Doctor};
use crate::{
    config::Config,
    domain::{
        command::CommandSpec,
        doctor::{
            Area, Diagnosis,
            service::{self, PROPERTIES, UnitFacts},
        },
    },
};

/// Asks systemd for the unit. Returns the account of its daemon, if it runs this configuration.
pub(super) async fn look(doctor: &Doctor, session: &Session, config: &Config, unit: &str) -> Option<String> {
    let user = RefCell::new(None);
    let looking = async {
        let Some(printed) = show(unit).await? else {
            return Ok(vec![Diagnosis::ok(Area::Systemd, "systemd does not run here.")]);
        };
        let facts = UnitFacts {
            stop_timeout: config.daemon.stop_timeout,
            limits_memory: commands(config).any(|command| command.limits.memory.is_some()),
            config: session.file().and_then(|file| Some(std::path::absolute(file).ok()?.display().to_string())),
            ..UnitFacts::read(unit, &printed)
        };
        user.replace(facts.user().map(str::to_owned));
        Ok(service::diagnose(&facts))
    };
    doctor.look(Area::Systemd, "the unit of systemd", looking).await;
    user.into_inner()
}

/// The programs that run under shepherds.
fn commands(config: &Config) -> impl Iterator<Item = &CommandSpec> {
    let of_tasks = config.tasks.values().filter_map(|task| task.command.as_ref());
    of_tasks.chain(config.worker_programs.values().map(|program| &program.command))
}

/// What `systemctl show` prints; none without systemd.
async fn show(unit: &str) -> anyhow::Result<Option<String>> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--no-pager", "--property", &PROPERTIES.join(","), "--", unit]);
    let command = command.env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("not been booted with systemd") || said.contains("Failed to connect to bus") {
        return Ok(None);
    }
    anyhow::bail!("systemctl: {}: {}", output.status, said.trim())
}
