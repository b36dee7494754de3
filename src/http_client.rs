//! The client for requests: whom it trusts, and to which addresses it connects.

use std::{
    error::Error,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::{HeaderMap, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::TokioExecutor,
};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tower_service::Service;

use crate::domain::{
    http::address::{self, AllowedHost, RefusedAddress},
    notice::channel::CaFile,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for requests over HTTP/1.1.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>;

/// To which addresses a client connects.
#[derive(Clone, Debug)]
pub(crate) enum Destinations {
    /// To all.
    Any,
    /// To public ones, and to those that are allowed. An address that a URL has in place of a name is not looked up, and
    /// so not checked here: see [`check_literal`].
    Checked(Arc<[AllowedHost]>),
}

/// Looks names up, and gives the client those addresses only that it may connect to. There is no second look-up between
/// the check and the connection.
#[derive(Clone)]
pub(crate) struct CheckedResolver {
    inner: GaiResolver,
    destinations: Destinations,
}

/// A client, which trusts the public authorities and those of a file.
///
/// # Errors
/// If a certificate is not usable.
pub(crate) fn client(ca_file: Option<&CaFile>, destinations: Destinations) -> Result<HttpClient, rustls::Error> {
    let mut connector = HttpConnector::new_with_resolver(CheckedResolver { inner: GaiResolver::new(), destinations });
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new().with_tls_config(trust(ca_file)?).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new()).build(builder.wrap_connector(connector)))
}

/// The public authorities, and those of a file.
///
/// # Errors
/// If a certificate is not usable.
pub(crate) fn roots(ca_file: Option<&CaFile>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in ca_file.into_iter().flat_map(|file| &file.certificates) {
        roots.add(CertificateDer::from(certificate.clone()))?;
    }
    Ok(roots)
}

/// Trusts the public authorities, and those of a file.
///
/// # Errors
/// If a certificate is not usable.
pub(crate) fn trust(ca_file: Option<&CaFile>) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots(ca_file)?).with_no_client_auth())
}

/// Checks the address that a URL has in place of a name.
///
/// # Errors
/// If requests may not go there.
pub(crate) fn check_literal(url: &url::Url, allowed: &[AllowedHost]) -> Result<(), RefusedAddress> {
    match url.host() {
        Some(url::Host::Ipv4(own)) => address::check(&own.to_string(), own.into(), allowed),
        Some(url::Host::Ipv6(own)) => address::check(&own.to_string(), own.into(), allowed),
        _ => Ok(()),
    }
}

/// The causes of a failed request, from the outermost to the innermost one, each once.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.iter().any(|earlier| earlier.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    if told.is_empty() { error.to_string() } else { told.join(": ") }
}

/// How long a server asks to wait: a number of seconds, or a time (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    wait(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

fn wait(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    let until = || (DateTime::parse_from_rfc2822(text.trim()).ok()?.to_utc() - now).to_std().ok();
    seconds.or_else(until)
}

impl Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (host, destinations) = (name.as_str().to_owned(), self.destinations.clone());
        let looking = self.inner.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = looking.await?.collect();
            let Destinations::Checked(allowed) = destinations else { return Ok(found.into_iter()) };
            let (mut usable, mut refused) = (Vec::new(), None);
            for place in found {
                match address::check(&host, place.ip(), &allowed) {
                    Ok(()) => usable.push(place),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(why) if usable.is_empty() => Err(why.into()),
                _ => Ok(usable.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    #[test]
    fn a_server_names_seconds_or_a_time() {
        let now: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().expect("an instant");
        assert_eq!(wait(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 22 Nov 2026 08:05:00 GMT", now), Some(Duration::from_secs(300)));
        assert_eq!(wait("Sun, 22 Nov 2026 07:05:00 GMT", now), None, "it is over");
        assert_eq!(wait("soon", now), None);
    }

    #[actix_rt::test]
    async fn nothing_is_connected_to_at_an_address_that_is_not_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ask = async |host: &str, allowed: &[&str]| {
            let allowed = allowed.iter().map(|text| text.parse().expect("an entry")).collect();
            let client = client(None, Destinations::Checked(allowed)).expect("a client");
            let mut request = hyper::Request::new(Full::new(Bytes::new()));
            *request.uri_mut() = format!("http://{host}:{port}/").parse().expect("an address");
            let asked = client.request(request);
            tokio::select! {
                answer = asked => Err(causes(&answer.expect_err("nobody answers"))),
                accepted = listener.accept() => accepted.map(|_| ()).map_err(|error| error.to_string()),
            }
        };
        let refused = ask("localhost", &[]).await.expect_err("loopback");
        assert!(refused.contains("a loopback address: add the host or its address to `allow_hosts`"), "{refused}");
        assert!(ask("localhost", &["10.0.0.0/8"]).await.is_err());
        assert_eq!(ask("localhost", &["localhost"]).await, Ok(()));
        assert_eq!(ask("localhost", &["127.0.0.1"]).await, Ok(()), "the other addresses of the name are left out");
    }

    #[actix_rt::test]
    async fn a_name_with_a_private_address_is_refused_where_it_is_looked_up() {
        let name = || Name::from_str("localhost").expect("a name");
        let look = async |destinations| {
            CheckedResolver { inner: GaiResolver::new(), destinations }.call(name()).await.map(|found| found.count())
        };
        assert!(look(Destinations::Any).await.is_ok_and(|count| count > 0));
        let refused = look(Destinations::Checked(Arc::new([]))).await.expect_err("loopback").to_string();
        assert!(refused.starts_with("localhost is ") && refused.contains("a loopback address"), "{refused}");
        let allowed = AllowedHost::from_str("localhost").expect("an entry");
        assert!(look(Destinations::Checked(Arc::new([allowed]))).await.is_ok_and(|count| count > 0));
    }
}
