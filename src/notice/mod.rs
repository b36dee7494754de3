//! How notices are sent: by mail, by a webhook, by a program. Nothing here knows the database.

mod command;
mod mail;
mod webhook;

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sexton_entities::states::NoticeAbout;

use crate::domain::notice::{
    Facts,
    channel::{Channel, Means},
    text,
};

/// A notice as it is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// What distinguishes it from every other one; the same if it is sent again.
    pub key: String,
    /// What it says.
    pub about: NoticeAbout,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// When it was written.
    pub written_at: DateTime<Utc>,
    /// What is known.
    pub facts: Facts,
}

/// Why a notice was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SendError {
    /// The reason, without secrets.
    pub why: String,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
}

impl SendError {
    fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), retry_after: None }
    }
}

impl Letter {
    /// A notice in words.
    pub fn new(key: &str, about: NoticeAbout, facts: Facts, written_at: DateTime<Utc>, zone: Tz) -> Self {
        let (subject, text) = (text::subject(about, &facts), text::body(about, &facts, zone));
        Self { key: key.to_owned(), about, subject, text, written_at, facts }
    }
}

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
