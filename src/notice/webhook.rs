//! A POST request with a notice as JSON, signed.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::{Request, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use sha2::Sha256;

use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::letter::{Letter, SendError};
use crate::{
    clock::machine_time,
    domain::notice::channel::{CaFile, WebhookFormat, WebhookSettings},
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
    let answer = client(settings.ca_file.as_ref())?.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        SendError::new(format!("the receiver cannot be reached{cause}"))
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let wanted = answer.headers().get(header::RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?, machine_time()));
    let retry_after = wanted.map(|wanted| wanted.min(MAX_RETRY_AFTER));
    Err(SendError { why: format!("the receiver answered {status}"), retry_after })
}

/// Trusts the public authorities, and those of a file.
fn trust(ca_file: Option<&CaFile>) -> Result<ClientConfig, SendError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in ca_file.into_iter().flat_map(|file| &file.certificates) {
        roots.add(CertificateDer::from(certificate.clone())).map_err(SendError::new)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(SendError::new)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A client for one request, which trusts the public authorities and those of a file.
pub(super) fn client(
    ca_file: Option<&CaFile>,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, SendError> {
    let tls = trust(ca_file)?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// `sha256=` and the HMAC of the body, in hexadecimal digits.
fn signature(secret: &[u8], body: &[u8]) -> Result<String, SendError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(SendError::new)?;
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    Ok(digest.iter().fold("sha256=".to_owned(), |hex, byte| format!("{hex}{byte:02x}")))
}

/// How long a receiver asks to wait: a number of seconds, or a time (RFC 9110, section 10.2.3).
fn wait(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    let until = || (DateTime::parse_from_rfc2822(text.trim()).ok()?.to_utc() - now).to_std().ok();
    seconds.or_else(until)
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
    fn a_receiver_names_seconds_or_a_time() {
        let now: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().expect("an instant");
        assert_eq!(wait(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 22 Nov 2026 08:05:00 GMT", now), Some(Duration::from_secs(300)));
        assert_eq!(wait("Sun, 22 Nov 2026 07:05:00 GMT", now), None, "it is over");
        assert_eq!(wait("soon", now), None);
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?").as_deref(), Ok(expected));
    }
}
