//! Trying a channel without sending anything.

use std::{path::Path, time::Duration};

use rustix::fs::{Access, access};
use tokio::net::TcpStream;
use url::Url;

use super::{letter::SendError, smtp::SmtpSender};
use crate::domain::notice::channel::{Channel, MailTls, MailTransport, Means};

/// Tries a channel, within its time limit: connects to a mail server, with encryption and login, connects to the receiver of
/// a webhook, finds a program. Returns what has worked.
///
/// # Errors
/// If a notice could not be sent.
pub async fn probe(channel: &Channel) -> Result<String, SendError> {
    let trying = async {
        match &channel.means {
            Means::Mail(settings) => match &settings.transport {
                MailTransport::Program(program) => of_program(program),
                MailTransport::Smtp(server) => {
                    let place = format!("{}:{}", server.host, server.port);
                    SmtpSender::new(server, channel.timeout).probe().await?;
                    let tls = if server.tls == MailTls::None { "without encryption" } else { "by TLS" };
                    let login = server.login.as_ref().map(|(user, _)| format!(", with the login of {user}"));
                    Ok(format!("{place} has answered {tls}{}", login.unwrap_or_default()))
                }
            },
            Means::Webhook(settings) => of_address(&settings.url.0).await,
            Means::Command(command) => of_program(command),
        }
    };
    let late = |limit: Duration| SendError::new(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(channel.timeout, trying).await.unwrap_or_else(|_| Err(late(channel.timeout)))
}

/// Connects. The path and the query may be a secret, and are not named.
async fn of_address(address: &str) -> Result<String, SendError> {
    let url = Url::parse(address).map_err(|_| SendError::new("the address is invalid"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(SendError::new("the address is invalid"));
    };
    let bare = host.trim_matches(['[', ']']);
    TcpStream::connect((bare, port)).await.map_err(|error| SendError::new(format!("{host}:{port}: {error}")))?;
    Ok(format!("{host}:{port} accepts connections; nothing was posted"))
}

fn of_program(command: &[String]) -> Result<String, SendError> {
    let Some(program) = command.first() else { return Err(SendError::new("no program")) };
    let is_there = |file: &Path| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.contains('/') {
        true => is_there(Path::new(program)),
        false => std::env::split_paths(&path).any(|dir| is_there(&dir.join(program))),
    };
    if found {
        Ok(format!("{program} can be executed"))
    } else {
        Err(SendError::new(format!("{program} cannot be executed")))
    }
}
