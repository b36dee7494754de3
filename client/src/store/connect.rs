//! Connecting: a store on a database that may not answer yet.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    StoreError, TaskStore,
    connection::{ConnectOptions, Connection, Target, on_driver},
    counters::Counters,
    dialect::Dialect,
    wakeup_address::WakeupAddresses,
};

impl ConnectOptions {
    /// Whether a store can be made of these options. Nothing is opened or created.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn check(&self) -> Result<(), StoreError> {
        Target::parse(self).map_err(StoreError::InvalidUrl)?;
        if self.is_pooled && !self.url.starts_with("postgres") {
            return Err(StoreError::InvalidUrl("a pooler in transaction mode is for PostgreSQL only".to_owned()));
        }
        let direct = self.direct_url.iter().map(|url| Self::new(url.clone()).check());
        direct.collect()
    }
}

impl TaskStore {
    /// Prepares the pool. No connection is opened yet, so this succeeds while the database is down.
    ///
    /// # Errors
    /// If the URL is invalid, or the directory of the SQLite file cannot be created.
    pub fn connect(options: &ConnectOptions) -> Result<Self, StoreError> {
        let target = Target::parse(options).map_err(StoreError::InvalidUrl)?;
        let dialect = Dialect::of(&target);
        let file = options.sqlite_file().filter(|_| !options.is_application);
        if let Some(dir) = file.as_deref().and_then(Path::parent) {
            let problem =
                |error| StoreError::InvalidUrl(format!("cannot create the directory {}: {error}", dir.display()));
            std::fs::create_dir_all(dir).map_err(problem)?;
        }
        let db = Connection::new(target, options, dialect.backend());
        let max_payload = Arc::new(options.max_payload.into());
        let (counters, wakeup_addresses) = (Counters::default().into(), WakeupAddresses::default());
        Ok(Self { db, dialect, counters, principal: None, max_payload, wakeup_addresses })
    }

    /// The same database through a connection of its own, beside the pool: what must not wait for others uses it.
    /// Everything in it takes at most `limit`.
    pub fn dedicated(&self, limit: Duration) -> Self {
        Self { db: self.db.dedicated(limit), ..self.clone() }
    }

    /// Connects now. The first statement uses this connection.
    ///
    /// # Errors
    /// If the server does not accept a connection within `acquire_timeout`.
    pub async fn reach(&self) -> Result<(), StoreError> {
        Ok(self.db.reach().await?)
    }

    /// Opens a connection beside the pool, to find the cause of a failure.
    ///
    /// # Errors
    /// If the URL is invalid, or the server does not accept a connection within `acquire_timeout`.
    pub async fn probe(options: &ConnectOptions) -> Result<(), StoreError> {
        let store = TaskStore::connect(options)?;
        Ok(on_driver(store.db.sessions().probe()).await?)
    }

    /// Where sessions lead to that keep what is set in them: past a pooler. None if there is no such way.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn direct_target(&self, options: &ConnectOptions) -> Result<Option<Target>, StoreError> {
        match &options.direct_url {
            Some(url) => {
                let schema = options.schema.clone();
                let target = Target::parse(&ConnectOptions { schema, ..ConnectOptions::new(url.clone()) });
                target.map(Some).map_err(|problem| StoreError::InvalidUrl(format!("direct_url: {problem}")))
            }
            None if options.is_pooled => Ok(None),
            None => Ok(Some(self.db.sessions().target().clone())),
        }
    }

    /// Whether the pool has stopped working by itself: no connection was free for longer than any statement may take,
    /// although the database answers on a connection beside it.
    pub fn is_stuck(&self) -> bool {
        self.db.sessions().is_stuck()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_of_database_is_named() {
        let error = TaskStore::connect(&ConnectOptions::new("oracle://h/d")).expect_err("refused");
        assert!(error.to_string().contains("`oracle` is not a supported database"));
    }

    #[test]
    fn a_url_is_checked_without_a_database() {
        assert!(ConnectOptions::new("postgres://u@one:1,two:2/d").check().is_ok());
        let error = ConnectOptions::new("postgres://u@one,two/d?target_session_attrs=standby").check();
        assert!(error.expect_err("refused").to_string().starts_with("database.url: target_session_attrs"));
    }
}
