//! `ping_url` of a task and of the daemon, which may be a secret as a whole.

use url::Url;

use super::{secret, section::Section};
use crate::domain::notice::channel::Secret;

/// The settings that say where to ping.
pub(super) const SETTINGS: [&str; 3] = ["ping_url", "ping_url_file", "ping_url_credential"];

/// Reads the address.
pub(super) fn read(section: &mut Section<'_>) -> Option<Secret> {
    let url = secret::read(section, SETTINGS)?;
    let is_sound = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_sound {
        section.refuse("ping_url", "it is not an address such as \"https://example.org/ping/nightly\"");
    }
    Some(Secret(url))
}

/// The setting as TOML.
pub(super) fn show(url: Option<&Secret>) -> Option<(String, toml::Value)> {
    url.map(|_| ("ping_url".to_owned(), "***".into()))
}
