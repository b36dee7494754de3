//! One connection with a mail server, for the mails of one round.

use std::time::Duration;

use lettre::{
    Message,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use tokio::time::timeout;

use super::letter::SendError;
use crate::domain::notice::channel::{MailTls, SmtpServer};

/// The time limit for the question whether a connection still stands, and for the end of one.
const COURTESY: Duration = Duration::from_secs(5);

/// What sends mails by one server.
pub(super) struct SmtpSender<'a> {
    server: &'a SmtpServer,
    timeout: Duration,
    /// The connection of the last mail, if that was sent.
    connection: Option<AsyncSmtpConnection>,
}

impl<'a> SmtpSender<'a> {
    /// `timeout` is that of connecting.
    pub(super) fn new(server: &'a SmtpServer, timeout: Duration) -> Self {
        Self { server, timeout, connection: None }
    }

    /// Sends a mail, by the connection of the last one if that still stands.
    pub(super) async fn send(&mut self, message: &Message) -> Result<(), SendError> {
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
                Err(error) => return Err(self.failed(&error)),
            }
        }
        let mut connection = self.connect().await?;
        deliver(&mut connection, message).await.map_err(|error| self.failed(&error))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Connects, with encryption and login, and sends nothing.
    pub(super) async fn probe(&mut self) -> Result<(), SendError> {
        let mut connection = self.connect().await?;
        let stands = connection.test_connected().await;
        self.connection = Some(connection);
        self.close().await;
        match stands {
            true => Ok(()),
            false => Err(SendError::new(format!(
                "{}:{}: the server does not answer NOOP",
                self.server.host, self.server.port
            ))),
        }
    }

    /// Says goodbye to the server.
    pub(super) async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = timeout(COURTESY, connection.quit()).await;
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
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

    fn failed(&self, error: &Error) -> SendError {
        SendError::new(format!("{}:{}: {error}", self.server.host, self.server.port))
    }
}

async fn deliver(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Error> {
    connection.send(message.envelope(), &message.formatted()).await.map(|_| ())
}

fn parameters(server: &SmtpServer) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(server.host.clone());
    for certificate in server.ca_file.iter().flat_map(|file| &file.certificates) {
        builder = builder.add_root_certificate(Certificate::from_der(certificate.clone()).map_err(SendError::new)?);
    }
    builder.build().map_err(SendError::new)
}
