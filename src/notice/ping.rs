//! A ping: a POST request with a sentence, to somebody who watches from outside.

use std::time::Duration;

use http_body_util::Full;
use hyper::{
    Request,
    body::Bytes,
    header::{CONTENT_TYPE, USER_AGENT},
};

use super::letter::SendError;
use crate::http_client::{Destinations, client};

/// Sends a ping within a time limit. The address is in no error.
///
/// # Errors
/// If it was not answered in time, or not with success.
pub async fn ping(address: &str, body: String, limit: Duration) -> Result<(), SendError> {
    let request = Request::post(address)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(USER_AGENT, concat!("sexton/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| SendError::new("the address is invalid"))?;
    let sending = async {
        let client = client(None, Destinations::Any).map_err(SendError::new)?;
        let answer = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            SendError::new(format!("the receiver cannot be reached{cause}"))
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(SendError::new(format!("the receiver answered {status}"))),
        }
    };
    let late = || SendError::new(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, sending).await.unwrap_or_else(|_| Err(late()))
}
