//! `[database]`.

use std::{fmt, time::Duration};

use super::section::Section;
use crate::domain::address::redacted;

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
        let url = section.text("url");
        if url.is_some() && from_file.is_some() {
            section.refuse("url", "there is a url_file as well: keep one of them");
        }
        Self {
            url: url.or(from_file).unwrap_or(default.url),
            max_connections: section.integer("max_connections", 2..=1_000).unwrap_or(default.max_connections),
            acquire_timeout: section
                .span("acquire_timeout", Duration::from_millis(100))
                .unwrap_or(default.acquire_timeout),
            migrate: section.flag("migrate").unwrap_or(default.migrate),
            notify_on_insert: section.flag("notify_on_insert").unwrap_or(default.notify_on_insert),
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig").field("url", &"***").finish_non_exhaustive()
    }
}
