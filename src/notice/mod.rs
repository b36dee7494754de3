//! How notices are sent: by mail, by a webhook, by a program. Nothing here knows the database.

mod command;
mod letter;
mod mail;
mod ping;
mod webhook;

pub use self::{
    letter::{Letter, SendError},
    ping::ping,
};
use crate::domain::notice::channel::{Channel, Means};

/// Sends a notice, within the time limit of the channel.
///
/// # Errors
/// If it was not sent, or whether it was sent is not known: then it may be sent again with the same key.
pub async fn send(channel: &Channel, letter: &Letter) -> Result<(), SendError> {
    let sending = async {
        match &channel.means {
            Means::Mail(settings) => mail::send(settings, letter, channel.timeout).await,
            Means::Webhook(settings) => webhook::send(settings, letter).await,
            Means::Command(command) => command::send(command, letter).await,
        }
    };
    let late = || SendError::new(format!("no answer within {} s", channel.timeout.as_secs()));
    tokio::time::timeout(channel.timeout, sending).await.unwrap_or_else(|_| Err(late()))
}
