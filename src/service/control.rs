//! Requests to a daemon: HTTP over the control socket in its run directory.

use std::{io, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::{
    ownership::owner_of,
    rundir::{RunDir, with_address},
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No process listens on the socket.
    #[error("no daemon answers at {0}")]
    NotThere(String),
    /// A process listens, but does not answer in time.
    #[error("the daemon does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The daemon refuses the request.
    #[error("{0}")]
    Refused(String),
    /// The connection or the answer is broken.
    #[error("the control socket: {0}")]
    Broken(String),
}

/// The answer of a daemon that refuses a request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The reason.
    pub error: String,
}

/// Sends a request to the daemon of a run directory. Needs a running Tokio runtime.
///
/// # Errors
/// If there is no answer within `timeout`, or the daemon refuses the request.
pub async fn ask<T: DeserializeOwned>(
    run: &RunDir,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
    timeout: Duration,
) -> Result<T, ControlError> {
    let asked = tokio::time::timeout(timeout, exchange(run, method, path, body));
    let (status, answer) = asked.await.map_err(|_| ControlError::Silent(timeout))??;
    let broken = |error: serde_json::Error| ControlError::Broken(format!("the answer to {path} is not JSON: {error}"));
    if status.is_success() {
        return serde_json::from_slice(&answer).map_err(broken);
    }
    Err(match serde_json::from_slice::<Problem>(&answer) {
        Ok(problem) => ControlError::Refused(problem.error),
        Err(_) => ControlError::Refused(format!("{path}: {status}")),
    })
}

async fn exchange(
    run: &RunDir,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<(StatusCode, Bytes), ControlError> {
    let broken = |error: hyper::Error| ControlError::Broken(error.to_string());
    let stream = connect(run)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let talking = tokio::spawn(connection);
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "sexton")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ControlError::Broken(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
    talking.abort();
    Ok((status, body))
}

fn connect(run: &RunDir) -> Result<UnixStream, ControlError> {
    let socket = run.control_socket();
    let connected = with_address(&socket, |address| {
        let stream = std::os::unix::net::UnixStream::connect(address)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    });
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
            ControlError::NotThere(socket.display().to_string())
        }
        io::ErrorKind::PermissionDenied => {
            let owner = owner_of(run.path()).unwrap_or_else(|| "its owner".to_owned());
            ControlError::Broken(format!("{}: only {owner} and root may use it: run this as {owner}", socket.display()))
        }
        _ => ControlError::Broken(format!("{}: {error}", socket.display())),
    })
}
