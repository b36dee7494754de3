//! `[metrics]`.

use std::{net::SocketAddr, path::PathBuf};

use super::section::Section;

/// Where metrics are offered besides the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Address at which Prometheus finds `/metrics`.
    pub listen: Option<SocketAddr>,
    /// File for the textfile collector of the node exporter.
    pub file: Option<PathBuf>,
}

impl MetricsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = section.text("listen").and_then(|text| {
            let address = text.parse();
            if address.is_err() {
                section.refuse("listen", format!("`{text}` is not an address with a port, such as 127.0.0.1:9464"));
            }
            address.ok()
        });
        let file = section.text("file").and_then(|text| {
            // The collector reads no file of another name, and would not say so.
            if !text.ends_with(".prom") {
                section
                    .refuse("file", format!("`{text}`: the textfile collector reads files only that end with .prom"));
                return None;
            }
            Some(PathBuf::from(text))
        });
        Self { listen, file }
    }
}
