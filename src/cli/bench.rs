//! `sexton bench`.

use clap::Args;

use super::{output::Output, session::Session};

#[derive(Args)]
pub(super) struct BenchArgs {
    /// The database to measure
    #[arg(long)]
    database: String,
}

pub(super) fn run(_session: &Session, _output: Output, _args: &BenchArgs) -> anyhow::Result<u8> {
    Ok(0)
}
