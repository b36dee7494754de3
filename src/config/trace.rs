//! `[trace]`.

use url::Url;

use super::section::Section;

/// Where a collector takes traces, below an address without a path.
const PATH: &str = "/v1/traces";

/// Where the spans of attempts go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceConfig {
    /// Address of a collector that understands the OpenTelemetry protocol over HTTP.
    pub endpoint: Option<String>,
}

impl TraceConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let Some(text) = section.text("endpoint") else { return Self::default() };
        if !cfg!(feature = "otlp") {
            section.refuse(
                "endpoint",
                "this program cannot export traces: build it with `--features otlp` (docs/INSTALL.md), or remove the setting",
            );
            return Self::default();
        }
        let endpoint = endpoint(&text);
        if endpoint.is_none() {
            section.refuse("endpoint", format!("`{text}` is not an address such as http://127.0.0.1:4318"));
        }
        Self { endpoint }
    }
}

/// The whole address.
fn endpoint(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        assert_eq!(endpoint("http://127.0.0.1:4318").as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        assert_eq!(endpoint("https://c.example.org/otlp/x").as_deref(), Some("https://c.example.org/otlp/x"));
        assert_eq!([endpoint("localhost:4318"), endpoint("grpc://x:1"), endpoint("")], [None, None, None]);
    }
}
