//! A notice as a mail: by a mail server, or by a program such as sendmail.

use std::{error::Error as _, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{
    command::feed,
    letter::{Letter, SendError},
};
use crate::domain::notice::channel::{MailSettings, MailTls, MailTransport, SmtpServer};

/// Sends a notice. `timeout` is that of each answer of the server.
pub(super) async fn send(settings: &MailSettings, letter: &Letter, timeout: Duration) -> Result<(), SendError> {
    let message = message(settings, letter)?;
    match &settings.transport {
        MailTransport::Program(program) => feed(program, &message.formatted()).await,
        MailTransport::Smtp(server) => {
            let transport = transport(server, timeout)?;
            transport.send(message).await.map(|_| ()).map_err(|error| {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                SendError::new(format!("{}:{}: {error}{cause}", server.host, server.port))
            })
        }
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
    let mut message = builder.header(ContentType::TEXT_PLAIN).body(letter.text.clone()).map_err(SendError::new)?;
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

pub(super) fn transport(
    server: &SmtpServer,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let parameters = || -> Result<TlsParameters, SendError> {
        let mut builder = TlsParameters::builder(server.host.clone());
        if let Some(file) = &server.ca_file {
            let unreadable = |why: String| SendError::new(format!("cannot read {}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(error.to_string()))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map_err(SendError::new)
    };
    let tls = match server.tls {
        MailTls::Wrapped => Tls::Wrapper(parameters()?),
        MailTls::Required => Tls::Required(parameters()?),
        MailTls::Opportunistic => Tls::Opportunistic(parameters()?),
        MailTls::None => Tls::None,
    };
    let host =
        nix::unistd::gethostname().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .hello_name(ClientId::Domain(host))
        .timeout(Some(timeout));
    if let Some((user, password)) = &server.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.0.clone()));
    }
    Ok(builder.build())
}
