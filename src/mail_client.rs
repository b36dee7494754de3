//! What gives mail to a mail server or to a program: for notices, and for tasks of kind `email`.

use std::{process::Stdio, time::Duration};

use lettre::{
    Message,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::domain::{
    notice::channel::{MailTls, MailTransport, SmtpServer},
    text::clean,
};

/// The time limit for the question whether a connection still stands, and for the end of one.
const COURTESY: Duration = Duration::from_secs(5);

/// Maximum number of characters of a program's last line in an error.
const MAX_QUOTE: usize = 200;

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct MailError {
    /// The reason, without secrets.
    pub(crate) why: String,
    /// The server refuses this mail or its recipient for good (5xx).
    pub(crate) is_permanent: bool,
}

impl MailError {
    fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), is_permanent: false }
    }
}

/// Sends one mail within that time, on a connection of its own.
///
/// # Errors
/// If it was not taken, or whether it was taken is not known.
pub(crate) async fn send_one(transport: &MailTransport, limit: Duration, message: &Message) -> Result<(), MailError> {
    let sending = async {
        match transport {
            MailTransport::Program(program) => feed(program, &message.formatted()).await,
            MailTransport::Smtp(server) => {
                let mut sender = SmtpSender::new(server, limit);
                let sent = sender.send(message).await;
                if sent.is_ok() {
                    // The mail is taken: nobody waits for the goodbye.
                    sender.connection.take();
                }
                sent
            }
        }
    };
    let late = || MailError::new(format!("no answer within {} s", limit.as_secs()));
    timeout(limit, sending).await.unwrap_or_else(|_| Err(late()))
}

/// What sends mails by one server, one after the other.
pub(crate) struct SmtpSender<'a> {
    server: &'a SmtpServer,
    timeout: Duration,
    /// The connection of the last mail, if that was sent.
    connection: Option<AsyncSmtpConnection>,
}

impl<'a> SmtpSender<'a> {
    /// `timeout` is that of connecting.
    pub(crate) fn new(server: &'a SmtpServer, timeout: Duration) -> Self {
        Self { server, timeout, connection: None }
    }

    /// Sends a mail, by the connection of the last one if that still stands.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<(), MailError> {
        // Whatever happens, also if the caller gives up, a connection in doubt is not used again.
        if let Some(mut connection) = self.connection.take()
            && timeout(COURTESY, connection.test_connected()).await.is_ok_and(|stands| stands)
        {
            match deliver(&mut connection, message).await {
                Ok(()) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                // Some servers take only a few mails by one connection, and say so. The mail was not taken.
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(self.refused(&error)),
            }
        }
        let mut connection = self.connect().await?;
        deliver(&mut connection, message).await.map_err(|error| self.refused(&error))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Connects, with encryption and login, and sends nothing. Returns the certificates of the server.
    pub(crate) async fn probe(&mut self) -> Result<Vec<CertificateDer<'static>>, MailError> {
        let mut connection = self.connect().await?;
        let stands = connection.test_connected().await;
        let chain = connection.certificate_chain().unwrap_or_default().into_iter().map(CertificateDer::from).collect();
        self.connection = Some(connection);
        self.close().await;
        match stands {
            true => Ok(chain),
            false => Err(MailError::new(format!(
                "{}:{}: the server does not answer NOOP",
                self.server.host, self.server.port
            ))),
        }
    }

    /// Says goodbye to the server.
    pub(crate) async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = timeout(COURTESY, connection.quit()).await;
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let server = self.server;
        let host = nix::unistd::gethostname();
        let name =
            ClientId::Domain(host.map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned()));
        let tls = match server.tls {
            MailTls::None => None,
            _ => Some(parameters(server)?),
        };
        let connected = async {
            let wrapper = tls.clone().filter(|_| server.tls == MailTls::Wrapped);
            let address = (&*server.host, server.port);
            let mut connection =
                AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &name, wrapper, None).await?;
            let encrypts = match server.tls {
                MailTls::Required => true,
                MailTls::Opportunistic => connection.can_starttls(),
                MailTls::Wrapped | MailTls::None => false,
            };
            if let Some(tls) = tls.filter(|_| encrypts) {
                connection.starttls(tls, &name).await?;
            }
            if let Some((user, password)) = &server.login {
                let credentials = Credentials::new(user.clone(), password.0.clone());
                connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
            }
            Ok(connection)
        };
        connected.await.map_err(|error: Error| self.failed(&error))
    }

    /// The server has refused the mail. What it says of a login is not said of a mail.
    fn refused(&self, error: &Error) -> MailError {
        MailError { is_permanent: error.is_permanent(), ..self.failed(error) }
    }

    fn failed(&self, error: &Error) -> MailError {
        MailError::new(format!("{}:{}: {error}", self.server.host, self.server.port))
    }
}

async fn deliver(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Error> {
    connection.send(message.envelope(), &message.formatted()).await.map(|_| ())
}

fn parameters(server: &SmtpServer) -> Result<TlsParameters, MailError> {
    let mut builder = TlsParameters::builder(server.host.clone());
    for certificate in server.ca_file.iter().flat_map(|file| &file.certificates) {
        builder = builder.add_root_certificate(Certificate::from_der(certificate.clone()).map_err(MailError::new)?);
    }
    builder.build().map_err(MailError::new)
}

/// Runs a program with that input. It fails unless the program exits with 0. The program is killed if the caller gives up.
pub(crate) async fn feed(command: &[String], input: &[u8]) -> Result<(), MailError> {
    let Some((program, arguments)) = command.split_first() else { return Err(MailError::new("no program")) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| MailError::new(format!("cannot start {program}: {error}")))?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input may still succeed.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let (_, ended) = tokio::join!(write, child.wait_with_output());
    let ended = ended.map_err(|error| MailError::new(format!("{program}: {error}")))?;
    if ended.status.success() {
        return Ok(());
    }
    let why = clean::telling_line(&String::from_utf8_lossy(&ended.stderr), MAX_QUOTE);
    let why = why.map(|line| format!(": {line}")).unwrap_or_default();
    Err(MailError::new(format!("{program}: {}{why}", ended.status)))
}
