//! `sexton notify`: the channels of notices.

use clap::Subcommand;
use serde_json::json;
use sexton_entities::states::NoticeAbout;

use super::{output::Printer, session::Session};
use crate::{
    clock::machine_time,
    domain::{notice::Facts, text::suggest},
    notice::{Letter, Sender},
};

#[derive(Subcommand)]
pub(super) enum NotifyCommand {
    /// Send a test by a channel; needs no database
    Test {
        /// The channel, as in `[notify.NAME]`
        name: String,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: NotifyCommand) -> anyhow::Result<u8> {
    let NotifyCommand::Test { name } = command;
    let config = session.config()?;
    let Some(channel) = config.channels.get(&name) else {
        let hint = suggest::hint_or_list(&name, config.channels.keys().map(String::as_str));
        anyhow::bail!("there is no [notify.{name}]{hint}");
    };
    let facts = Facts { name: name.clone(), ..Facts::default() };
    let key = format!("test.{}.{name}", uuid::Uuid::new_v4().simple());
    let letter = Letter::new(&key, NoticeAbout::Test, facts, machine_time(), output.zone());
    let mut sender = Sender::new(channel);
    let sent = sender.send(&letter).await;
    sender.close().await;
    sent.map_err(|error| anyhow::anyhow!("the test was not sent by {name}: {error}"))?;
    output.report(&format!("a test was sent by {name} ({})", channel.means.as_str()), &json!({ "channel": name }))?;
    Ok(0)
}
