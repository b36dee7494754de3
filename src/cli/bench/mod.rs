//! `sexton bench`: what a database can do with this program, at its default settings.

mod figures;
mod measure;
mod node;

use std::time::Duration;

use clap::Args;

use self::{figures::Figures, measure::Measure};
use super::{output::Printer, session::Session};
use crate::domain::text::duration;

/// The queue of all tasks of a bench, so that nobody else's are touched.
const QUEUE: &str = "sexton-bench";
/// The task that does nothing.
const NOTHING: &str = "sexton-bench-nothing";
/// The task that notes when it begins.
const STAMP: &str = "sexton-bench-stamp";

#[derive(Args)]
pub(super) struct BenchArgs {
    /// The database to measure [default: the configuration's]; what the bench writes there it takes away again
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Tasks to drain
    #[arg(long, default_value_t = 50_000)]
    tasks: usize,
    /// Tasks to enqueue one by one
    #[arg(long, default_value_t = 1_000)]
    singles: usize,
    /// Tasks to enqueue one by one for the pick-up latency
    #[arg(long, default_value_t = 300)]
    pickups: usize,
    /// How long to look at an idle daemon
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    idle: Duration,
    /// Workers of the daemon [default: the configuration's default]
    #[arg(long)]
    workers: Option<usize>,
}

pub(super) fn run(session: &Session, output: Printer, args: &BenchArgs) -> anyhow::Result<u8> {
    let url = match &args.database {
        Some(url) => url.clone(),
        None => session.config()?.database.url,
    };
    let figures = actix_rt::System::new().block_on(async { Measure::new(&url, args).await?.all().await })?;
    print(output, &figures)?;
    Ok(0)
}

fn print(output: Printer, figures: &Figures) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(figures);
    }
    let columns = ["Measure", "Figure", "Unit"].map(str::to_owned);
    output.table(&columns, &figures.rows(), "");
    Ok(())
}
