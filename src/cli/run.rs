//! `sexton run`.

use std::time::Duration;

use clap::Args;

use super::session::Session;
use crate::{
    clock::Clock,
    daemon::{Blueprint, Mode, ORDERS, listen},
    domain::span,
};

#[derive(Args)]
pub(super) struct RunArgs {
    /// Do what is due, and end
    #[arg(long, conflicts_with = "length")]
    once: bool,
    /// Work for so long, and end: for hosts that have only a cron
    #[arg(long = "for", value_name = "DURATION", value_parser = span::parse)]
    length: Option<Duration>,
}

pub(super) fn run(session: &Session, args: &RunArgs) -> anyhow::Result<u8> {
    // First of all: a signal that comes before this would end the process in its own way.
    let (sender, orders) = tokio::sync::mpsc::channel(ORDERS);
    listen(sender)?;
    let config = session.config()?;
    match session.file() {
        Some(file) => tracing::info!("the configuration is {}", file.display()),
        None => {
            tracing::warn!("there is no configuration file: nothing is defined, only tasks of registered handlers run");
        }
    }
    let blueprint = Blueprint {
        config,
        registry: session.parts.registry.clone(),
        app_data: session.parts.app_data.clone(),
        modules: session.parts.modules.clone(),
        loader: session.loader(),
        clock: Clock::system(),
        mode: match (args.once, args.length) {
            (true, _) => Mode::Once,
            (_, Some(length)) => Mode::For(length),
            _ => Mode::Serve,
        },
        on_start: None,
    };
    Ok(u8::try_from(blueprint.run(orders)?).unwrap_or(1))
}
