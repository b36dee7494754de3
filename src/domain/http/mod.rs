//! Kind `http`: the request, and what its answer means.

pub mod address;
pub mod answer;
pub mod template;

use self::{address::AllowedHost, template::Template};
use super::notice::channel::{CaFile, Secret};

/// A request. It comes from the configuration only; a payload fills the placeholders of its URL and headers, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSpec {
    /// The method, in capitals.
    pub method: String,
    /// The URL. It may be a secret as a whole, and is in no error.
    pub url: Template,
    /// Whether the URL came from a file or a credential, so that nothing shows it.
    pub is_url_secret: bool,
    /// Headers by name.
    pub headers: Vec<(String, HeaderText)>,
    /// What the body contains.
    pub body: BodyFormat,
    /// The part of the payload for the body, as a JSON pointer; empty for the whole payload.
    pub body_from: String,
    /// The status codes that count as success; empty for 200 to 299.
    pub success_codes: Vec<i32>,
    /// How many redirects are followed.
    pub redirects: u8,
    /// The longest answer that is read, in bytes.
    pub max_response: u64,
    /// Hosts and addresses that are allowed besides the public addresses of the URL's own host.
    pub allow_hosts: Vec<AllowedHost>,
    /// Certificates that count besides the public ones.
    pub ca_file: Option<CaFile>,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// A text with placeholders.
    Plain(Template),
    /// A secret, which goes to the URL's own host only.
    Secret(Secret),
}

/// What the body of a request contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// The payload as JSON.
    Json,
    /// The fields of the payload, as a browser sends a form.
    Form,
    /// Nothing.
    None,
}

impl BodyFormat {
    /// The words of the setting `body`.
    pub const WORDS: [(&str, Self); 3] = [("json", Self::Json), ("form", Self::Form), ("none", Self::None)];

    /// The format where the setting is absent: requests that only ask have no body.
    pub fn of_method(method: &str) -> Self {
        if matches!(method, "GET" | "HEAD" | "DELETE") { Self::None } else { Self::Json }
    }
}
