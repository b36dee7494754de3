//! Channels: by which ways notices go.

use std::{fmt, path::PathBuf, time::Duration};

use super::Digest;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A `[notify.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// How a notice is sent.
    pub means: Means,
    /// The time limit of one notice.
    pub timeout: Duration,
    /// Maximum number of notices within an hour; the others are named by one notice later.
    pub max_per_hour: u32,
    /// The period within which notices wait.
    pub quiet: Option<String>,
    /// When its notices are sent as one; none to send each of them.
    pub digest: Option<Digest>,
}

/// How a notice is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// By mail.
    Mail(MailSettings),
    /// By a POST request.
    Webhook(WebhookSettings),
    /// By a program that reads JSON.
    Command(Vec<String>),
}

impl Means {
    /// The word in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
        }
    }
}

/// Who sends mail to whom, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// What takes the mail.
    pub transport: MailTransport,
}

/// What takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailTransport {
    /// A mail server.
    Smtp(SmtpServer),
    /// A program that reads a mail, such as `/usr/sbin/sendmail -t -i`.
    Program(Vec<String>),
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// User and password; none to send without authentication.
    pub login: Option<(String, Secret)>,
    /// Certificates that count besides the public ones.
    pub ca_file: Option<CaFile>,
}

/// The certificates of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    /// The file, in PEM.
    pub path: PathBuf,
    /// The certificates, in DER.
    pub certificates: Vec<Vec<u8>>,
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} certificates)", self.path.display(), self.certificates.len())
    }
}

/// How the connection with a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// From its beginning (`smtps://`).
    Wrapped,
    /// By STARTTLS; without it, nothing is sent.
    Required,
    /// By STARTTLS if the server offers it.
    Opportunistic,
    /// Not at all.
    None,
}

impl MailTls {
    /// The words of the setting `tls`.
    pub const WORDS: [(&str, Self); 3] =
        [("required", Self::Required), ("opportunistic", Self::Opportunistic), ("none", Self::None)];
}

/// Where a webhook is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address, which may be a secret as a whole.
    pub url: Secret,
    /// Signs the body.
    pub secret: Option<Secret>,
    /// The shape of the body.
    pub format: WebhookFormat,
    /// Certificates that count besides the public ones.
    pub ca_file: Option<CaFile>,
}

/// The shape of a webhook's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// All facts, as `docs/NOTICES.md` describes them.
    Json,
    /// What Slack and Mattermost take.
    Slack,
}

impl WebhookFormat {
    /// The words of the setting `format`.
    pub const WORDS: [(&str, Self); 3] = [("json", Self::Json), ("slack", Self::Slack), ("mattermost", Self::Slack)];
}
