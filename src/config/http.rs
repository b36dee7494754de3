//! The settings of `[task.NAME]` that belong to kind `http`.

use url::{Host, Url};

use super::{ca_file, secret, section::Section, sql_settings, tree::TreeValue};
use crate::domain::{
    http::{
        BodyFormat, HeaderText, HttpSpec,
        address::{self, AllowedHost},
        template::{Template, has_dot_segment},
    },
    notice::channel::Secret,
    task::definition::{HTTP, SQL},
};

/// The settings of this kind, without `success_codes`, which commands have as well.
const OF_HTTP: [&str; 11] = [
    "url",
    "url_file",
    "url_credential",
    "method",
    "headers",
    "body",
    "body_from",
    "redirects",
    "max_response",
    "allow_hosts",
    "ca_file",
];
const METHODS: [(&str, &str); 6] =
    [("GET", "GET"), ("HEAD", "HEAD"), ("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")];
/// The most redirects that are followed.
const MAX_REDIRECTS: i64 = 10;
/// The longest answer that is read, by default and at most.
const MAX_RESPONSE: [u64; 2] = [1024 * 1024, 64 * 1024 * 1024];
/// Headers that follow from the request itself, or that Sexton sets.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "idempotency-key",
    "x-sexton-task",
    "x-sexton-attempt",
];

/// Reads the request of a task; none if it is of another kind, or the request is not usable, which is a mistake.
pub(super) fn read(section: &mut Section<'_>, kind: &str) -> Option<HttpSpec> {
    if kind != HTTP {
        let of_others: &[&str] = if kind == SQL { &sql_settings::URL } else { &[] };
        let strange = OF_HTTP.into_iter().filter(|key| !of_others.contains(key)).collect::<Vec<_>>();
        section.refuse_each(&strange, "this setting is one of kind \"http\"");
        return None;
    }
    let is_url_secret = section.node("url_file").is_some() || section.node("url_credential").is_some();
    let url = secret::read(section, ["url", "url_file", "url_credential"]);
    let method = section.choice("method", &METHODS).unwrap_or("POST").to_owned();
    let body = section.choice("body", &BodyFormat::WORDS).unwrap_or_else(|| BodyFormat::of_method(&method));
    let body_from = section.text("body_from").unwrap_or_default();
    if !body_from.is_empty() && !body_from.starts_with('/') {
        section.refuse("body_from", format!("write a JSON pointer, such as \"/{body_from}\""));
    }
    if matches!(method.as_str(), "GET" | "HEAD") && body != BodyFormat::None {
        section.refuse("body", format!("a {method} request has no body"));
    }
    if body == BodyFormat::None {
        section.refuse_each(&["body_from"], "the request has no body");
    }
    let headers = headers(section);
    let success_codes = section.integers("success_codes", 100..=599);
    if success_codes.as_ref().is_some_and(Vec::is_empty) {
        section.refuse("success_codes", "the list is empty: the request could never succeed");
    }
    let redirects = section.integer("redirects", 0..=MAX_REDIRECTS).unwrap_or(0);
    let max_response = section.bytes("max_response", 1..=MAX_RESPONSE[1]).unwrap_or(MAX_RESPONSE[0]);
    let allow_hosts = allowed(section);
    let ca_file = ca_file::read(section);
    let Some(url) = url else {
        if !["url", "url_file", "url_credential"].into_iter().any(|key| section.node(key).is_some()) {
            section.refuse("", "kind \"http\" needs `url`, such as \"https://example.org/hook\"");
        }
        return None;
    };
    let url = Template::new(&url);
    if let Err(problem) = check_url(&url, &allow_hosts) {
        let key = ["url", "url_file", "url_credential"].into_iter().find(|key| section.node(key).is_some());
        section.refuse(key.unwrap_or_default(), problem);
        return None;
    }
    if url.beginning().starts_with("http:") {
        section.refuse_each(&["ca_file"], "nothing is encrypted with http://: use https://");
    }
    Some(HttpSpec {
        method,
        url,
        is_url_secret,
        headers,
        body,
        body_from,
        success_codes: success_codes.unwrap_or_default(),
        redirects,
        max_response,
        allow_hosts,
        ca_file,
    })
}

/// The scheme and the host come from the configuration: placeholders are for the path and the query.
fn check_url(url: &Template, allowed: &[AllowedHost]) -> Result<(), String> {
    let wanted = "such as \"https://example.org/orders/{/order/id}\"";
    let sample = url.with("1");
    let parsed = Url::parse(&sample).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // What cannot be read may contain a password.
    let parsed = parsed.ok_or_else(|| format!("it is not an address {wanted}"))?;
    let start = url.beginning();
    let host_ends = start.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
    if url.has_placeholders() && !host_ends {
        return Err(format!("a placeholder can be in the path and in the query only, {wanted}"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("a user and a password are no part of the address: send them in `headers`".to_owned());
    }
    if has_dot_segment(&sample) {
        return Err("the path has a segment `.` or `..`: write the path that is meant".to_owned());
    }
    let check = |host: &str, address| address::check(host, address, allowed).map_err(|refused| refused.to_string());
    match parsed.host() {
        Some(Host::Ipv4(address)) => check(&address.to_string(), address.into()),
        Some(Host::Ipv6(address)) => check(&address.to_string(), address.into()),
        Some(Host::Domain("localhost")) => check("localhost", core::net::Ipv4Addr::LOCALHOST.into()),
        _ => Ok(()),
    }
}

fn allowed(section: &mut Section<'_>) -> Vec<AllowedHost> {
    let mut allowed = Vec::new();
    for text in section.texts("allow_hosts").unwrap_or_default() {
        match text.parse() {
            Ok(host) => allowed.push(host),
            Err(problem) => section.refuse("allow_hosts", problem),
        }
    }
    allowed
}

/// Reads headers: text with placeholders, or a table that names a secret.
fn headers(section: &mut Section<'_>) -> Vec<(String, HeaderText)> {
    let Some(node) = section.node("headers") else { return Vec::new() };
    let TreeValue::Table(entries) = &node.item else {
        section.refuse("headers", format!("expected a table, found {}", node.item.kind()));
        return Vec::new();
    };
    let mut headers = Vec::new();
    for (name, node) in entries {
        let path = section.setting(&format!("headers.{name}"));
        let problem = match name.to_ascii_lowercase() {
            lower if OWN_HEADERS.contains(&lower.as_str()) => Some("this header is Sexton's own".to_owned()),
            lower if hyper::header::HeaderName::from_bytes(lower.as_bytes()).is_err() => {
                Some(format!("{name:?} is not a valid name of a header"))
            }
            _ => None,
        };
        if let Some(problem) = problem {
            section.findings.add(&node.location, &path, problem);
            continue;
        }
        match &node.item {
            TreeValue::Text(text) if text.contains(['\r', '\n', '\0']) => {
                section.findings.add(&node.location, &path, "the value of a header is one line");
            }
            TreeValue::Text(text) => headers.push((name.clone(), HeaderText::Plain(Template::new(text)))),
            TreeValue::Table(_) => {
                let mut table = Section::new(&path, node, section.findings);
                headers.extend(secret_header(&mut table).map(|text| (name.clone(), HeaderText::Secret(text))));
                table.finish();
            }
            _ => section.findings.add(
                &node.location,
                &path,
                "expected text, or a table such as { credential = \"NAME\", prefix = \"Bearer \" }",
            ),
        }
    }
    headers
}

fn secret_header(table: &mut Section<'_>) -> Option<Secret> {
    let prefix = table.text("prefix").unwrap_or_default();
    let text = secret::read(table, ["value", "file", "credential"]);
    if text.is_none() && ["value", "file", "credential"].into_iter().all(|key| table.node(key).is_none()) {
        table.refuse("", "one of `value`, `file` and `credential` is missing");
    }
    let text = format!("{prefix}{}", text?);
    if text.contains(['\r', '\n', '\0']) {
        table.refuse("", "the value of a header is one line");
        return None;
    }
    Some(Secret(text))
}
