//! The request of kind `http` as TOML, without its secrets.

use toml::{Table, Value};

use super::toml_values::{bytes, table};
use crate::domain::http::{BodyFormat, HeaderText, HttpSpec};

/// The settings of a request.
pub(super) fn request(spec: &HttpSpec) -> Table {
    let body = BodyFormat::WORDS.iter().find(|(_, format)| *format == spec.body).map_or("", |(word, _)| word);
    // A query may have a key of its sender.
    let url = match spec.url.source().split_once('?') {
        _ if spec.is_url_secret => "***".to_owned(),
        Some((start, _)) => format!("{start}?***"),
        None => spec.url.source(),
    };
    let mut shown = table([
        ("url", url.into()),
        ("method", spec.method.clone().into()),
        ("body", body.into()),
        ("redirects", i64::from(spec.redirects).into()),
        ("max_response", bytes(spec.max_response)),
    ]);
    // Values of headers may be secrets: only the names are shown.
    let header = |(name, _): &(String, HeaderText)| (name.clone(), Value::from("***"));
    let codes = spec.success_codes.iter().map(|code| i64::from(*code)).collect::<Vec<_>>();
    let hosts = spec.allow_hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rare = [
        ("headers", (!spec.headers.is_empty()).then(|| spec.headers.iter().map(header).collect::<Table>().into())),
        ("body_from", (!spec.body_from.is_empty()).then(|| spec.body_from.clone().into())),
        ("success_codes", (!codes.is_empty()).then(|| Value::from(codes))),
        ("allow_hosts", (!hosts.is_empty()).then(|| Value::from(hosts))),
        ("ca_file", spec.ca_file.as_ref().map(|file| file.path.display().to_string().into())),
    ];
    shown.extend(rare.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    shown
}
