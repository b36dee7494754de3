//! `sexton config`.

use clap::Subcommand;
use serde_json::Value;

use super::{
    config_diff::{self, DiffArgs},
    config_mistakes::{refuse, warning},
    config_versions::{self, VersionsArgs},
    deploy::{self, DeployArgs, RollbackArgs},
    exit_code::BAD_CONFIG,
    output::{Printer, print_error, print_line, print_text},
    session::Session,
};
use crate::{
    config::{Config, ConfigWarning},
    domain::text::plural::counted,
};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Report every mistake in the configuration, and warn of what will not work on this machine
    Check {
        /// Fail also if there are warnings
        #[arg(long)]
        strict: bool,
    },
    /// Show the configuration in force, with every default filled in
    Show,
    /// Put a signed version of the configuration into the database, for all nodes with a key for it
    Deploy(DeployArgs),
    /// List the versions of the configuration in the database, and which nodes have them in force
    Versions(VersionsArgs),
    /// Show what changes from one version of the configuration to another
    Diff(DiffArgs),
    /// Sign and deploy the files of an earlier version again, under a new number
    Rollback(RollbackArgs),
}

impl ConfigCommand {
    pub(super) fn needs_database(&self) -> bool {
        !matches!(self, Self::Check { .. } | Self::Show)
    }
}

pub(super) async fn run_with_database(
    session: &Session,
    output: Printer,
    command: &ConfigCommand,
) -> anyhow::Result<u8> {
    match command {
        ConfigCommand::Deploy(args) => deploy::deploy(session, output, args).await,
        ConfigCommand::Rollback(args) => deploy::rollback(session, output, args).await,
        ConfigCommand::Versions(args) => config_versions::list(session, output, args).await,
        ConfigCommand::Diff(args) => config_diff::show(session, output, args).await,
        // They need no database.
        ConfigCommand::Check { .. } | ConfigCommand::Show => run(session, output, command),
    }
}

pub(super) fn run(session: &Session, output: Printer, command: &ConfigCommand) -> anyhow::Result<u8> {
    let (config, mistakes) = session.config_anyway();
    let is_strict = matches!(command, ConfigCommand::Check { strict: true });
    let mut warnings = config.warnings.clone();
    if matches!(command, ConfigCommand::Check { .. }) && mistakes.is_empty() {
        warnings.extend(session.advice(&config));
    }
    for warning in &warnings {
        print_error!("{warning}");
    }
    if !mistakes.is_empty() {
        return refuse(session, output, &mistakes, if is_strict { &warnings } else { &[] });
    }
    match command {
        ConfigCommand::Check { .. } => return check(session, output, &config, &warnings, is_strict),
        ConfigCommand::Show if output.is_json() => output.value(&toml::from_str::<Value>(&config.show())?)?,
        _ => print_text(&config.show()),
    }
    Ok(0)
}

fn check(
    session: &Session,
    output: Printer,
    config: &Config,
    warnings: &[ConfigWarning],
    is_strict: bool,
) -> anyhow::Result<u8> {
    let code = if is_strict && !warnings.is_empty() { BAD_CONFIG } else { 0 };
    if output.is_json() {
        // What does not fail is on standard error only, so that an empty list means success.
        let failing = warnings.iter().filter(|_| is_strict).map(warning);
        return output.value(&failing.collect::<Vec<_>>()).map(|()| code);
    }
    let registered = session.parts.registry.definitions().filter(|known| !config.tasks.contains_key(&known.name));
    let of_handlers = match registered.count() {
        0 => String::new(),
        count => format!(", {} of registered handlers", counted(count, "more task")),
    };
    let (tasks, queues) = (counted(config.tasks.len(), "task"), counted(config.queues.len(), "queue"));
    let warned = match warnings.len() {
        0 => String::new(),
        count => format!("; {}", counted(count, "warning")),
    };
    print_line!("no mistakes in {}: {tasks}{of_handlers}, {queues}{warned}", session.source_name());
    Ok(code)
}
