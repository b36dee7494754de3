//! `sexton db`.

use clap::Subcommand;
use serde_json::json;

use super::{
    output::{Column, Printer},
    session::{ReasonArgs, Session},
};
use crate::domain::text::plural::counted;

#[derive(Subcommand)]
pub(super) enum DbCommand {
    /// Create the tables, or bring them up to date
    Migrate {
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// List the migrations; fails if some are not applied
    Status,
}

pub(super) async fn run(session: &Session, output: Printer, command: DbCommand) -> anyhow::Result<u8> {
    match command {
        DbCommand::Migrate { reason } => {
            let open = session.open_or_create().await?;
            let applied = open.because(&reason).migrate(&open.connect).await?;
            let sentence = match applied.len() {
                0 => "the tables are up to date".to_owned(),
                count => format!("{} applied: {}", counted(count, "migration"), applied.join(", ")),
            };
            output.report(&sentence, &json!({ "applied": applied }))?;
            Ok(0)
        }
        DbCommand::Status => {
            let open = session.open().await?;
            let steps = open.store.migration_status().await?;
            let columns = ["Migration", "Applied"].map(Column::value);
            output.list(&steps, columns, "There are no migrations.", |step| {
                [step.name.clone(), if step.applied { "yes" } else { "no" }.to_owned()]
            })?;
            Ok(u8::from(steps.iter().any(|step| !step.applied)))
        }
    }
}
