//! The request of one attempt: the configured one, filled from the payload.

use hyper::{
    HeaderMap,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use sexton_entities::json_text::JsonText;
use url::Url;

use crate::{
    domain::{
        http::{
            BodyFormat, HeaderText, HttpSpec,
            template::{has_dot_segment, percent_encoded},
        },
        text::redact,
    },
    handler::{context::TaskContext, idempotency::idempotency_key},
};

/// The header that is the same for each attempt of a task.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ATTEMPT: HeaderName = HeaderName::from_static("x-sexton-attempt");
const TASK: HeaderName = HeaderName::from_static("x-sexton-task");

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The names of headers that go to the first host only.
    pub(super) secrets: Vec<HeaderName>,
    pub(super) body: Bytes,
}

impl Prepared {
    /// The request of an attempt.
    ///
    /// # Errors
    /// If the payload has not what the request needs. The next attempt would have the same payload.
    pub(super) fn new(spec: &HttpSpec, payload: &JsonText, context: &TaskContext) -> Result<Self, String> {
        let (body, content_type) = body(spec, payload)?;
        let mut headers = HeaderMap::new();
        let user_agent = HeaderValue::from_static(concat!("sexton/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, user_agent);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.extend(content_type.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind))));
        let mut secrets = vec![header::AUTHORIZATION, header::COOKIE];
        for (name, text) in &spec.headers {
            let bad = |_| format!("header {name}: the value cannot be sent");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header {name}: invalid name"))?;
            let value = match text {
                HeaderText::Plain(text) => {
                    let filled =
                        text.fill(payload, str::to_owned).map_err(|error| format!("header {name}: {error}"))?;
                    HeaderValue::from_bytes(filled.as_bytes()).map_err(bad)?
                }
                HeaderText::Secret(text) => {
                    secrets.push(key.clone());
                    let mut value = HeaderValue::from_bytes(text.0.as_bytes()).map_err(bad)?;
                    value.set_sensitive(true);
                    value
                }
            };
            headers.insert(key, value);
        }
        let own = [
            (IDEMPOTENCY_KEY, idempotency_key(context)),
            (ATTEMPT, context.attempt().to_string()),
            (TASK, context.task_id().to_string()),
        ];
        for (name, value) in own {
            headers.insert(name, HeaderValue::from_str(&value).map_err(|error| error.to_string())?);
        }
        let filled = spec.url.fill(payload, percent_encoded).map_err(|error| format!("url: {error}"))?;
        // A value cannot bring a slash along, but `.` and `..` would make it another path.
        if has_dot_segment(&filled) {
            return Err("url: a value of the payload makes a segment `.` or `..` of the path".to_owned());
        }
        let path = filled.split_once("://").map_or("", |(_, rest)| rest);
        if spec.url.has_placeholders() && path.split(['?', '#']).next().unwrap_or_default().contains("//") {
            return Err("url: an empty value of the payload leaves a gap in the path".to_owned());
        }
        let url = Url::parse(&filled).map_err(|_| "url: the address is invalid".to_owned())?;
        Ok(Self { method: spec.method.clone(), url, headers, secrets, body })
    }

    /// Host and port, for errors. The path and the query may be a secret.
    pub(super) fn host(&self) -> String {
        place(&self.url)
    }
}

/// Host and port of a URL.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL without its query and without a password.
pub(super) fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    redact::redacted(shown.as_str())
}

/// The body, and its type.
fn body(spec: &HttpSpec, payload: &JsonText) -> Result<(Bytes, Option<&'static str>), String> {
    let nothing = Ok((Bytes::new(), None));
    if spec.body == BodyFormat::None || (payload.is_null() && spec.body_from.is_empty()) {
        return nothing;
    }
    let part = match spec.body_from.as_str() {
        "" => payload.get(),
        pointer => payload.pointer(pointer).ok_or_else(|| format!("the payload has no value at {pointer}"))?.get(),
    };
    match spec.body {
        BodyFormat::Json => Ok((Bytes::from(part.to_owned()), Some("application/json"))),
        BodyFormat::Form => Ok((Bytes::from(form(part)?), Some("application/x-www-form-urlencoded"))),
        BodyFormat::None => nothing,
    }
}

/// The fields of a JSON object as a form. An object or a list within is sent as JSON.
fn form(json: &str) -> Result<String, String> {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|_| "a form needs a payload that is a JSON object".to_owned())?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => {
                form.append_pair(name, text);
            }
            other => {
                form.append_pair(name, &other.to_string());
            }
        }
    }
    Ok(form.finish())
}
