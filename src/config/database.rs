//! `[database]`.

use std::{fmt, path::Path, time::Duration};

use super::section::Section;
use crate::domain::text::redact::redacted;

/// Where the tables are, and how to reach them.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `sqlite://PATH`, `postgres://…` or `mysql://…`. May hold a password: never print it.
    pub url: String,
    /// At most so many connections; SQLite has one.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
    /// Whether `run` brings the tables up to date by itself.
    pub migrate: bool,
    /// Whether PostgreSQL tells of plain SQL inserts at once. It costs the inserting transactions group commit.
    pub notify_on_insert: bool,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://var/sexton.db".to_owned(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            migrate: true,
            notify_on_insert: false,
        }
    }
}

impl DatabaseConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let from_file = section.text("url_file").and_then(|path| match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => {
                // Somebody may have written the address itself here.
                let shown = if path.contains("://") { redacted(&path) } else { path };
                section.refuse("url_file", format!("cannot read {shown}: {error}"));
                None
            }
        });
        let from_credential = section
            .text("url_credential")
            .and_then(|name| credential(&name).map_err(|problem| section.refuse("url_credential", problem)).ok());
        let url = section.text("url");
        let given = ["url", "url_file", "url_credential"].into_iter().filter(|key| section.node(key).is_some());
        if let Some(second) = given.collect::<Vec<_>>().get(1) {
            section.refuse(second, "url, url_file and url_credential say the same thing: keep one of them");
        }
        Self {
            url: url.or(from_file).or(from_credential).unwrap_or(default.url),
            max_connections: section.integer("max_connections", 2..=1_000).unwrap_or(default.max_connections),
            acquire_timeout: section
                .span("acquire_timeout", Duration::from_millis(100))
                .unwrap_or(default.acquire_timeout),
            migrate: section.flag("migrate").unwrap_or(default.migrate),
            notify_on_insert: section.flag("notify_on_insert").unwrap_or(default.notify_on_insert),
        }
    }
}

/// Reads a credential that systemd has handed over (systemd.exec(5), LoadCredential=).
fn credential(name: &str) -> Result<String, String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| format!("there is no $CREDENTIALS_DIRECTORY: does the unit have `LoadCredential={name}:…`?"))?;
    let path = Path::new(&folder).join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig").field("url", &"***").finish_non_exhaustive()
    }
}
