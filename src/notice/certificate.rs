//! The certificate of a server to which notices go: when it ends.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, CertificateError,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::letter::SendError;
use crate::{
    clock::machine_time,
    domain::notice::channel::CaFile,
    http_client::{roots, trust},
};

/// A certificate that ends within this time is worth a warning: who renews them does so earlier.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Encrypts a connection with a server, which must show a certificate for that name. Returns when the certificate ends, if
/// that is soon.
///
/// # Errors
/// If the server does not encrypt, or its certificate is not valid.
pub(super) async fn handshake(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&CaFile>,
) -> Result<Option<DateTime<Utc>>, SendError> {
    let config = trust(ca_file).map_err(SendError::new)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(server_name(host)?, stream).await.map_err(|error| {
        let told = error.get_ref().map_or_else(|| error.to_string(), ToString::to_string);
        SendError::new(format!("no encryption: {told}"))
    })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    ends_soon(chain, host, ca_file, machine_time())
}

/// When a certificate that is valid now ends, if that is soon. The same check as for a connection tells it.
///
/// # Errors
/// If the trusted certificates cannot be read.
pub(super) fn ends_soon(
    chain: &[CertificateDer<'_>],
    host: &str,
    ca_file: Option<&CaFile>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, SendError> {
    let Some((own, others)) = chain.split_first() else { return Ok(None) };
    let roots = Arc::new(roots(ca_file).map_err(SendError::new)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
        .build()
        .map_err(SendError::new)?;
    let now = now.timestamp().max(0).unsigned_abs();
    let then = UnixTime::since_unix_epoch(Duration::from_secs(now) + SOON);
    let verified = verifier.verify_server_cert(own, others, &server_name(host)?, &[], then);
    let Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) = verified else {
        return Ok(None);
    };
    Ok(DateTime::from_timestamp(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX), 0))
}

fn server_name(host: &str) -> Result<ServerName<'static>, SendError> {
    let bare = host.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(ServerName::from(address)),
        Err(_) => ServerName::try_from(bare.to_owned()).map_err(SendError::new),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_known_two_weeks_before() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");
        let own = CertificateDer::from_pem_file(file).expect("a certificate");
        let ca_file = CaFile { path: file.into(), certificates: vec![own.to_vec()] };
        let ends = |now: &str| {
            let now = now.parse().expect("an instant");
            ends_soon(std::slice::from_ref(&own), "localhost", Some(&ca_file), now).expect("an answer")
        };
        assert_eq!(ends("2126-10-15T00:00:00Z"), None);
        let end = "2126-10-29T04:48:29Z".parse().ok();
        assert_eq!([ends("2126-10-16T00:00:00Z"), ends("2126-10-29T00:00:00Z")], [end, end]);
    }
}
