//! How notices are sent: by mail, by a webhook, by a program. Nothing here knows the database.

mod certificate;
mod command;
mod letter;
mod mail;
mod ping;
mod probe;
mod webhook;

pub use self::{
    letter::{Letter, SendError},
    ping::ping,
    probe::{Probed, probe},
};
use crate::{
    domain::notice::channel::{Channel, MailTransport, Means},
    mail_client::SmtpSender,
};

/// What sends the notices of one channel, one after the other. Mails share a connection.
pub struct Sender<'a> {
    channel: &'a Channel,
    smtp: Option<SmtpSender<'a>>,
}

impl<'a> Sender<'a> {
    /// A sender of this channel. It connects to nothing yet.
    pub fn new(channel: &'a Channel) -> Self {
        let smtp = match &channel.means {
            Means::Mail(settings) => match &settings.transport {
                MailTransport::Smtp(server) => Some(SmtpSender::new(server, channel.timeout)),
                MailTransport::Program(_) => None,
            },
            Means::Webhook(_) | Means::Command(_) => None,
        };
        Self { channel, smtp }
    }

    /// Sends a notice, within the time limit of the channel.
    ///
    /// # Errors
    /// If it was not sent, or whether it was sent is not known: then it may be sent again with the same key.
    pub async fn send(&mut self, letter: &Letter) -> Result<(), SendError> {
        let channel = self.channel;
        let sending = async {
            match &channel.means {
                Means::Mail(settings) => mail::send(settings, self.smtp.as_mut(), letter).await,
                Means::Webhook(settings) => webhook::send(settings, letter).await,
                Means::Command(command) => command::send(command, letter).await,
            }
        };
        let late = || SendError::new(format!("no answer within {} s", channel.timeout.as_secs()));
        tokio::time::timeout(channel.timeout, sending).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends the connection, if there is one.
    pub async fn close(mut self) {
        if let Some(smtp) = &mut self.smtp {
            smtp.close().await;
        }
    }
}
