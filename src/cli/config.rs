//! `sexton config`.

use clap::Subcommand;
use serde_json::json;

use super::{
    BAD_CONFIG,
    output::{Printer, print, say},
    session::Session,
};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Tell every mistake in the configuration
    Check,
    /// Show the configuration in force, with every default filled in
    Show,
}

pub(super) fn run(session: &Session, output: Printer, command: &ConfigCommand) -> anyhow::Result<u8> {
    let file = session.file().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    match (command, session.config()) {
        (_, Err(mistakes)) => {
            if output.is_json() {
                let list: Vec<_> = mistakes
                    .0
                    .iter()
                    .map(|mistake| {
                        let place = &mistake.place;
                        json!({ "file": place.source, "line": place.line, "setting": mistake.setting, "problem": mistake.problem })
                    })
                    .collect();
                output.value(&list)?;
            } else {
                eprintln!("{mistakes}");
                eprintln!("sexton: {} mistakes in {file}", mistakes.0.len());
            }
            return Ok(BAD_CONFIG);
        }
        (ConfigCommand::Check, Ok(config)) if output.is_json() => {
            let _ = config;
            output.value(&json!([]))?;
        }
        (ConfigCommand::Check, Ok(config)) => {
            say!("{file} is sound: {} tasks, {} queues", config.tasks.len(), config.queues.len());
        }
        (ConfigCommand::Show, Ok(config)) if output.is_json() => {
            output.value(&toml::from_str::<serde_json::Value>(&config.show())?)?;
        }
        (ConfigCommand::Show, Ok(config)) => print(&config.show()),
    }
    Ok(0)
}
