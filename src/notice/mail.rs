//! A notice as a mail: by a mail server, or by a program such as sendmail.

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::letter::{Letter, SendError};
use crate::{
    domain::notice::channel::{MailSettings, MailTransport},
    mail_client::{SmtpSender, feed},
};

/// Sends a notice, by that sender or by a program.
pub(super) async fn send(
    settings: &MailSettings,
    smtp: Option<&mut SmtpSender<'_>>,
    letter: &Letter,
) -> Result<(), SendError> {
    let message = message(settings, letter)?;
    match (&settings.transport, smtp) {
        (MailTransport::Smtp(_), Some(smtp)) => Ok(smtp.send(&message).await?),
        (MailTransport::Program(program), _) => Ok(feed(program, &message.formatted()).await?),
        (MailTransport::Smtp(_), None) => Err(SendError::new("no connection")),
    }
}

fn message(settings: &MailSettings, letter: &Letter) -> Result<Message, SendError> {
    let mailbox = |text: &str| -> Result<Mailbox, SendError> {
        text.parse().map_err(|error| SendError::new(format!("`{text}` is not a mail address: {error}")))
    };
    let from = mailbox(&settings.from)?;
    let domain = from.email.domain().to_owned();
    // The same each time it is sent, so that a repeated mail is recognised.
    let id = |key: &str| format!("<sexton.{key}@{domain}>");
    let mut builder = Message::builder()
        .from(from)
        .subject(&letter.subject)
        .message_id(Some(id(&plain(&letter.key))))
        .date(letter.written_at.into());
    for recipient in &settings.to {
        builder = builder.to(mailbox(recipient)?);
    }
    if let Some(thread) = &letter.facts.thread {
        let first = id(&plain(thread));
        builder = builder.in_reply_to(first.clone()).references(first);
    }
    let mut message = builder
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(SendError::new)?;
    let headers = [
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Sexton-About", letter.about.to_string()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
    ];
    for (name, value) in headers {
        let name = HeaderName::new_from_ascii(name.to_owned()).map_err(SendError::new)?;
        message.headers_mut().insert_raw(HeaderValue::new(name, value));
    }
    Ok(message)
}

/// A key in the characters of a message id.
fn plain(key: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    key.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect()
}
