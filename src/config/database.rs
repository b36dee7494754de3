//! `[database]`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{secret, section::Section};
use crate::domain::{
    schema_name::{self, SchemaName},
    text::database_url,
};

/// The word for no address.
pub(super) const NOWHERE: &str = "none";

/// `[database]`: where Sexton's tables are.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `sqlite://PATH`, `postgres://…` or `mysql://…`. May contain a password: never print it.
    pub url: String,
    /// Maximum number of connections. SQLite uses one.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
    /// Whether `run` creates and updates the tables.
    pub migrate: bool,
    /// Whether PostgreSQL reports tasks that were enqueued by plain SQL at once. The enqueuing transactions then lose
    /// group commit.
    pub notify_on_insert: bool,
    /// Where the node hears datagrams that wake it, on databases without notifications; none for nowhere.
    pub wakeup_address: Option<IpAddr>,
    /// What stands between Sexton and PostgreSQL.
    pub pooler: Pooler,
    /// A URL past the pooler, for LISTEN and migrations; without one, the node polls. May contain a password.
    pub direct_url: Option<String>,
    /// The schema of the tables on PostgreSQL; none for the server's own search path.
    pub schema: Option<SchemaName>,
}

/// A connection pooler between Sexton and the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pooler {
    /// None, or one that gives each client a session of its own.
    #[default]
    None,
    /// One that gives a session to another client after each transaction, as pgbouncer in transaction mode does.
    Transaction,
}

impl Pooler {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Transaction => "transaction",
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://var/sexton.db".to_owned(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            migrate: true,
            notify_on_insert: false,
            wakeup_address: Some(Ipv4Addr::LOCALHOST.into()),
            pooler: Pooler::None,
            direct_url: None,
            schema: None,
        }
    }
}

impl DatabaseConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let given = ["url", "url_file", "url_credential"].into_iter().find(|key| section.node(key).is_some());
        let chosen = secret::read(section, ["url", "url_file", "url_credential"]);
        let direct_url = section.text("direct_url");
        for (key, url) in [(given, &chosen), (Some("direct_url"), &direct_url)] {
            if let (Some(key), Some(Err(problem))) = (key, url.as_deref().map(database_url::check)) {
                section.refuse(key, problem);
            }
        }
        let pooler = section.text("pooler").and_then(|word| {
            let known = [Pooler::None, Pooler::Transaction].into_iter().find(|pooler| pooler.as_str() == word);
            if known.is_none() {
                section.refuse("pooler", format!("`{word}` is not a mode of a pooler: write none or transaction"));
            }
            known
        });
        let wakeup_address = match section.text("wakeup_address").as_deref() {
            None => default.wakeup_address,
            Some(NOWHERE) => None,
            Some(text) => {
                let address = text.parse().ok().filter(|address: &IpAddr| !address.is_unspecified());
                if address.is_none() {
                    let what = format!("`{text}` is not an IP address of this machine: write 127.0.0.1, or {NOWHERE}");
                    section.refuse("wakeup_address", what);
                }
                address
            }
        };
        let url = chosen.unwrap_or(default.url);
        let schema = section.parsed("schema");
        if schema.is_some() && !url.starts_with("postgres") {
            section.refuse("schema", schema_name::POSTGRES_ONLY);
        }
        Self {
            pooler: pooler.unwrap_or_default(),
            direct_url,
            schema,
            url,
            max_connections: section.integer("max_connections", 2..=1_000).unwrap_or(default.max_connections),
            acquire_timeout: section
                .duration("acquire_timeout", Duration::from_millis(100))
                .unwrap_or(default.acquire_timeout),
            migrate: section.flag("migrate").unwrap_or(default.migrate),
            wakeup_address,
            notify_on_insert: section.flag("notify_on_insert").unwrap_or(default.notify_on_insert),
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig").field("url", &"***").finish_non_exhaustive()
    }
}
