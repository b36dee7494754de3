//! Trying a channel without sending anything.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use rustix::fs::{Access, access};
use tokio::net::TcpStream;
use url::Url;

use super::{certificate, letter::SendError};
use crate::{
    clock::machine_time,
    domain::notice::channel::{CaFile, Channel, MailTls, MailTransport, Means},
    files::on_thread,
    mail_client::SmtpSender,
};

/// What a try of a channel has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What has worked.
    pub found: String,
    /// When the certificate of the server ends, if that is soon.
    pub certificate_ends: Option<DateTime<Utc>>,
}

impl From<String> for Probed {
    fn from(found: String) -> Self {
        Self { found, certificate_ends: None }
    }
}

/// Tries a channel, within its time limit: connects to a mail server, with encryption and login, connects to the receiver of
/// a webhook, finds a program. Returns what has worked.
///
/// # Errors
/// If a notice could not be sent.
pub async fn probe(channel: &Channel) -> Result<Probed, SendError> {
    let trying = async {
        match &channel.means {
            Means::Mail(settings) => match &settings.transport {
                MailTransport::Program(program) => of_program(program).await,
                MailTransport::Smtp(server) => {
                    let place = format!("{}:{}", server.host, server.port);
                    let certificate_ends = {
                        let chain = SmtpSender::new(server, channel.timeout).probe().await?;
                        certificate::ends_soon(&chain, &server.host, server.ca_file.as_ref(), machine_time())?
                    };
                    let tls = if server.tls == MailTls::None { "without encryption" } else { "by TLS" };
                    let login = server.login.as_ref().map(|(user, _)| format!(", with the login of {user}"));
                    let found = format!("{place} has answered {tls}{}", login.unwrap_or_default());
                    Ok(Probed { found, certificate_ends })
                }
            },
            Means::Webhook(settings) => of_address(&settings.url.0, settings.ca_file.as_ref()).await,
            Means::Command(command) => of_program(command).await,
        }
    };
    let late = |limit: Duration| SendError::new(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(channel.timeout, trying).await.unwrap_or_else(|_| Err(late(channel.timeout)))
}

/// Connects, with encryption if the address asks for it. The path and the query may be a secret, and are not named.
async fn of_address(address: &str, ca_file: Option<&CaFile>) -> Result<Probed, SendError> {
    let url = Url::parse(address).map_err(|_| SendError::new("the address is invalid"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(SendError::new("the address is invalid"));
    };
    let bare = host.trim_matches(['[', ']']);
    let failed = |error: SendError| SendError::new(format!("{host}:{port}: {}", error.why));
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| failed(SendError::new(error)))?;
    if url.scheme() != "https" {
        return Ok(format!("{host}:{port} accepts connections; nothing was posted").into());
    }
    let certificate_ends = certificate::handshake(stream, bare, ca_file).await.map_err(failed)?;
    Ok(Probed { found: format!("{host}:{port} accepts connections by TLS; nothing was posted"), certificate_ends })
}

async fn of_program(command: &[String]) -> Result<Probed, SendError> {
    let Some(program) = command.first().cloned() else { return Err(SendError::new("no program")) };
    // The look at a file of a dead server takes for ever.
    on_thread(move || look_for(&program)).await.map_err(SendError::new)?
}

fn look_for(program: &str) -> Result<Probed, SendError> {
    let is_there = |file: &Path| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.contains('/') {
        true => is_there(Path::new(program)),
        false => std::env::split_paths(&path).any(|dir| is_there(&dir.join(program))),
    };
    if found {
        Ok(format!("{program} can be executed").into())
    } else {
        Err(SendError::new(format!("{program} cannot be executed")))
    }
}
