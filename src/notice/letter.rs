//! A notice in words, and why it was not sent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sexton_entities::states::NoticeAbout;

use crate::{
    domain::notice::{Facts, html, text},
    mail_client::MailError,
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
    /// The same as HTML, for mails.
    #[serde(skip)]
    pub html: String,
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
    pub(super) fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), retry_after: None }
    }
}

impl From<MailError> for SendError {
    fn from(error: MailError) -> Self {
        Self::new(error.why)
    }
}

impl Letter {
    /// A notice in words.
    pub fn new(key: &str, about: NoticeAbout, facts: Facts, written_at: DateTime<Utc>, zone: Tz) -> Self {
        let shown = facts.clone().in_zone(zone);
        let (subject, text) = (text::subject(about, &shown), text::body(about, &shown, zone));
        let html = html::html(about, &shown, zone);
        Self { key: key.to_owned(), about, subject, text, html, written_at, facts }
    }
}
