//! `sexton maintenance`: nothing begins on any node, until it is over; and what is said of it.

use anyhow::ensure;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    output::Printer,
    pause::maintained,
    session::{ReasonArgs, Session, with_advice},
    time,
};
use crate::{
    domain::text::instant::Sense,
    store::{Maintenance, Wakeup},
};

#[derive(Args)]
pub(super) struct MaintenanceArgs {
    #[command(subcommand)]
    verb: Option<MaintenanceVerb>,
}

#[derive(Subcommand)]
enum MaintenanceVerb {
    /// Begin a maintenance, or change its end: no node begins anything; running tasks continue
    On {
        /// When it ends by itself: 15:56, `tomorrow 08:00`, 2026-12-24, RFC 3339, or 2h [default: `maintenance off`]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// End the maintenance
    Off {
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

pub(super) async fn run(session: &Session, output: Printer, args: &MaintenanceArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let note = match &args.verb {
        None => "",
        Some(MaintenanceVerb::On { until, reason }) => {
            let now = open.store.now().await.map_err(with_advice)?;
            let ends_at =
                until.as_deref().map(|text| time::parse(text, output.zone(), Sense::Future, now)).transpose()?;
            if let Some(end) = ends_at {
                ensure!(end > now, "--until: {} is past", output.time(end));
            }
            open.because(reason).begin_maintenance(ends_at).await.map_err(with_advice)?;
            open.client.wake_up_now(Wakeup::Anything).await?;
            "nothing begins on any node, and no schedule fires; running tasks continue"
        }
        Some(MaintenanceVerb::Off { reason }) => {
            let before = open.because(reason).end_maintenance().await.map_err(with_advice)?;
            open.client.wake_up_now(Wakeup::Anything).await?;
            let sentence = match &before {
                Some(before) => format!("the maintenance is over; it was {}", maintained(output, before)),
                None => "no maintenance was on".to_owned(),
            };
            output.report(&sentence, &object(None))?;
            return Ok(0);
        }
    };
    let maintenance = open.store.halt().await.map_err(with_advice)?.maintenance;
    let sentence = match &maintenance {
        Some(maintenance) => format!("maintenance is {}", maintained(output, maintenance)),
        None => "no maintenance is on".to_owned(),
    };
    let lines = [sentence.as_str(), note];
    let lines = if note.is_empty() { &lines[..1] } else { &lines[..] };
    output.report_lines(lines, &object(maintenance.as_ref()))?;
    Ok(0)
}

/// A maintenance as JSON; `on` is false without one.
fn object(maintenance: Option<&Maintenance>) -> Value {
    let mut object = json!(maintenance.cloned().unwrap_or_default());
    object["on"] = maintenance.is_some().into();
    object
}
