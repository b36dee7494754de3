//! A POST request with a notice as JSON, signed.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::{Request, body::Bytes, header};
use serde_json::json;
use sha2::Sha256;

use super::letter::{Letter, SendError};
use crate::{
    clock::machine_time,
    domain::notice::channel::{WebhookFormat, WebhookSettings},
    http_client::{Destinations, client, retry_after},
};

/// The header with the signature of the body.
const SIGNATURE: &str = "X-Sexton-Signature";
/// The header with the key of the notice: it is the same if the notice is sent again.
const KEY: &str = "X-Sexton-Notice";
/// The longest time for which a receiver may ask to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Posts a notice.
pub(super) async fn send(settings: &WebhookSettings, letter: &Letter) -> Result<(), SendError> {
    let body = body(settings.format, letter)?;
    let mut request = Request::post(&settings.url.0)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("sexton/", env!("CARGO_PKG_VERSION")))
        .header(KEY, &letter.key);
    if let Some(secret) = &settings.secret {
        request = request.header(SIGNATURE, signature(secret.0.as_bytes(), &body)?);
    }
    // An error must not name the address, which may be a secret.
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| SendError::new("the request is invalid"))?;
    let client = client(settings.ca_file.as_ref(), Destinations::Any).map_err(SendError::new)?;
    let answer = client.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        SendError::new(format!("the receiver cannot be reached{cause}"))
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = retry_after(answer.headers(), machine_time()).map(|wanted| wanted.min(MAX_RETRY_AFTER));
    Err(SendError { why: format!("the receiver answered {status}"), retry_after })
}

/// `sha256=` and the HMAC of the body, in hexadecimal digits.
fn signature(secret: &[u8], body: &[u8]) -> Result<String, SendError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(SendError::new)?;
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    Ok(digest.iter().fold("sha256=".to_owned(), |hex, byte| format!("{hex}{byte:02x}")))
}

fn body(format: WebhookFormat, letter: &Letter) -> Result<Vec<u8>, SendError> {
    match format {
        WebhookFormat::Json => serde_json::to_vec(letter),
        WebhookFormat::Slack => {
            let fence = letter.text.replace("```", "'''");
            serde_json::to_vec(&json!({ "text": format!("{}\n```\n{fence}```", letter.subject) }))
        }
    }
    .map_err(SendError::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?").as_deref(), Ok(expected));
    }
}
