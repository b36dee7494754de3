//! `sexton db`.

use clap::Subcommand;
use serde_json::json;

use super::{output::Printer, session::Session};

#[derive(Subcommand)]
pub(super) enum DbCommand {
    /// Bring the tables up to date
    Migrate,
    /// Show which steps the database has; fails if some are missing
    Status,
}

pub(super) async fn run(session: &Session, output: Printer, command: DbCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        DbCommand::Migrate => {
            let applied = open.store.migrate(&open.connect).await?;
            let sentence = match applied.len() {
                0 => "the tables are up to date".to_owned(),
                count => format!("{count} steps were applied: {}", applied.join(", ")),
            };
            output.done(&sentence, &json!({ "applied": applied }))?;
            Ok(0)
        }
        DbCommand::Status => {
            let steps = open.store.migration_status().await?;
            output.list(&steps, ["Step", "Applied"], "There are no steps.", |step| {
                [step.name.clone(), if step.applied { "yes" } else { "no" }.to_owned()]
            })?;
            Ok(u8::from(steps.iter().any(|step| !step.applied)))
        }
    }
}
