//! `sexton config`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    exit_code::BAD_CONFIG,
    output::{Printer, print_error, print_line, print_text},
    session::{Session, connect_options},
};
use crate::{
    config::{Config, Mistake, Mistakes},
    domain::text::plural::counted,
};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Report every mistake in the configuration, and every setting that should be written differently
    Check,
    /// Show the configuration in force, with every default filled in
    Show,
}

pub(super) fn run(session: &Session, output: Printer, command: &ConfigCommand) -> anyhow::Result<u8> {
    let file = session.file().map_or_else(|| "the environment variables".to_owned(), |file| file.display().to_string());
    let (config, mistakes) = session.config_anyway();
    for warning in &config.warnings {
        print_error!("{warning}");
    }
    if !mistakes.is_empty() {
        return refuse(session, output, &mistakes);
    }
    match command {
        ConfigCommand::Check => return check(output, &file, &config),
        ConfigCommand::Show if output.is_json() => output.value(&toml::from_str::<Value>(&config.show())?)?,
        ConfigCommand::Show => print_text(&config.show()),
    }
    Ok(0)
}

fn refuse(session: &Session, output: Printer, mistakes: &Mistakes) -> anyhow::Result<u8> {
    if output.is_json() {
        output.value(&mistakes.0.iter().map(object).collect::<Vec<_>>())?;
    } else {
        print_error!("{mistakes}");
        if let Some(file) = session.file() {
            print_error!("sexton: {} in {}", counted(mistakes.0.len(), "mistake"), file.display());
        }
    }
    Ok(BAD_CONFIG)
}

fn object(mistake: &Mistake) -> Value {
    let location = &mistake.location;
    json!({ "file": location.source, "line": location.line, "setting": mistake.setting, "problem": mistake.problem })
}

fn check(output: Printer, file: &str, config: &Config) -> anyhow::Result<u8> {
    // What `run` would refuse.
    if let Err(error) = connect_options(config).check() {
        let problem = error.to_string();
        if output.is_json() {
            output.value(&json!([{ "file": file, "line": null, "setting": "database.url", "problem": problem }]))?;
        } else {
            print_error!("{file}: {problem}");
        }
        return Ok(BAD_CONFIG);
    }
    if output.is_json() {
        return output.value(&json!([])).map(|()| 0);
    }
    let (tasks, queues) = (counted(config.tasks.len(), "task"), counted(config.queues.len(), "queue"));
    print_line!("no mistakes in {file}: {tasks}, {queues}");
    Ok(0)
}
