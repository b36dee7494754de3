//! Sending a request and reading the answer, with the redirects that may be followed.

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, header};
use url::Url;

use super::request::{Prepared, place, without_query};
use crate::{
    clock::machine_time,
    domain::http::{HttpSpec, address::may_lead_to, answer::HttpAnswer},
    http_client::{Destinations, HttpClient, causes, check_literal, client, retry_after},
};

/// What came back.
pub(super) struct Received {
    pub(super) answer: HttpAnswer,
    /// The body, or the beginning of one that is longer than `max_response`.
    pub(super) body: Vec<u8>,
}

/// Sends a request, and follows as many redirects as it may.
///
/// # Errors
/// If there is no complete answer. The error names no secret.
pub(super) async fn exchange(spec: &HttpSpec, mut prepared: Prepared) -> Result<Received, String> {
    let destinations = Destinations::Checked(spec.allow_hosts.clone().into());
    let client = client(spec.ca_file.as_ref(), destinations).map_err(|error| error.to_string())?;
    let mut left = spec.redirects;
    loop {
        let response = send(spec, &client, &prepared).await?;
        let target = target(&prepared.url, &response);
        match target {
            Some(target) if left > 0 => {
                redirect(spec, &mut prepared, response.status().as_u16(), target)?;
                left -= 1;
            }
            target => return receive(spec, response, target).await,
        }
    }
}

async fn send(spec: &HttpSpec, client: &HttpClient, prepared: &Prepared) -> Result<Response<Incoming>, String> {
    check_literal(&prepared.url, &spec.allow_hosts).map_err(|refused| refused.to_string())?;
    let method: Method = prepared.method.parse().map_err(|_| "the method is invalid".to_owned())?;
    let mut request = Request::new(Full::new(prepared.body.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = prepared.url.as_str().parse().map_err(|_| "the address is invalid".to_owned())?;
    *request.headers_mut() = prepared.headers.clone();
    client.request(request).await.map_err(|error| {
        let what = if error.is_connect() { "cannot be reached" } else { "the connection broke" };
        format!("{what}: {}", causes(&error))
    })
}

/// Where an answer leads to, if it is a redirect.
fn target(from: &Url, response: &Response<Incoming>) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut target = from.join(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let _ = (target.set_username(""), target.set_password(None));
    Some(target)
}

/// Makes the request the one that follows a redirect.
fn redirect(spec: &HttpSpec, prepared: &mut Prepared, status: u16, target: Url) -> Result<(), String> {
    let refused = |why: &str| Err(format!("the redirect to {} is not followed: {why}", without_query(&target)));
    let is_same =
        target.host() == prepared.url.host() && target.port_or_known_default() == prepared.url.port_or_known_default();
    if !matches!(target.scheme(), "http" | "https") {
        return refused("it is no address of HTTP");
    }
    if prepared.url.scheme() == "https" && target.scheme() != "https" {
        return refused("it would not be encrypted");
    }
    if !is_same && !may_lead_to(target.host_str().unwrap_or_default(), &spec.allow_hosts) {
        return refused("`allow_hosts` does not name its host");
    }
    let keeps_method = matches!(status, 307 | 308) || matches!(prepared.method.as_str(), "GET" | "HEAD");
    if !keeps_method {
        if status != 303 {
            return refused(&format!("with {status}, a {} would become a GET", prepared.method));
        }
        prepared.method = "GET".to_owned();
        prepared.body.clear();
        prepared.headers.remove(header::CONTENT_TYPE);
    }
    if !is_same || target.scheme() != prepared.url.scheme() {
        for name in std::mem::take(&mut prepared.secrets) {
            prepared.headers.remove(name);
        }
    }
    tracing::debug!("following a redirect from {} to {}", place(&prepared.url), place(&target));
    prepared.url = target;
    Ok(())
}

/// Reads an answer to its end: a server may stop its work when nobody reads.
async fn receive(spec: &HttpSpec, response: Response<Incoming>, target: Option<Url>) -> Result<Received, String> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_readable = kind.starts_with("text/plain") || kind.contains("json");
    let mut answer = HttpAnswer {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        retry_after: retry_after(response.headers(), machine_time()),
        location: target.as_ref().map(without_query),
        text: None,
    };
    let (mut stream, mut body) = (response.into_body(), Vec::new());
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| {
            format!("the server answered {}, and the answer broke off: {}", answer.words(), causes(&error))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        body.extend_from_slice(&data);
        if body.len() as u64 > spec.max_response {
            break;
        }
    }
    answer.text = is_readable.then(|| String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned());
    Ok(Received { answer, body })
}
