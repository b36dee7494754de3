//! Pauses: of a queue, of a schedule, of everything. Each has since when, by whom and why.
//!
//! A pause takes effect at the next claim and the next round of `cron`. Schedules are in `pause_schedule`.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sexton_entities::{
    database, queue, schedule,
    states::{AuditAction, AuditTarget},
};

use super::{
    Store, StoreError,
    audit::{Deed, Signature},
    connection::DatabaseTransaction,
    identity::ROW,
    row_decoding::instant,
};
use crate::domain::identity::QueueName;

/// The condition that not everything is paused.
pub(super) const NOT_ALL_PAUSED: &str = "NOT EXISTS (SELECT 1 FROM sexton_database p WHERE p.paused)";

/// Since when something is paused, by whom and why; as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseDetails {
    /// Database time of the pause.
    pub paused_at: Option<DateTime<Utc>>,
    /// The login user, or else the account.
    pub paused_by: Option<String>,
    /// The host.
    pub paused_host: Option<String>,
    /// The reason that was given.
    pub pause_reason: Option<String>,
    /// When the pause ends by itself. Only schedules have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<DateTime<Utc>>,
}

/// What can be paused, with its row.
#[derive(Clone, Copy)]
pub(super) struct Pausable<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    pub(super) target: AuditTarget,
    pub(super) name: Option<&'a str>,
}

impl Pausable<'_> {
    fn key_value(&self) -> Value {
        self.name.map_or_else(|| ROW.into(), Into::into)
    }

    pub(super) fn deed(&self, paused: bool) -> Deed {
        let action = if paused { AuditAction::Pause } else { AuditAction::Resume };
        match self.name {
            Some(name) => Deed::new(action, self.target, name),
            None => Deed::to_all(action),
        }
    }
}

impl From<queue::Model> for PauseDetails {
    fn from(row: queue::Model) -> Self {
        let queue::Model { paused_at, paused_by, paused_host, pause_reason, .. } = row;
        Self { paused_at, paused_by, paused_host, pause_reason, paused_until: None }
    }
}

impl From<&schedule::Model> for PauseDetails {
    fn from(row: &schedule::Model) -> Self {
        let schedule::Model { paused_at, paused_by, paused_host, pause_reason, paused_until, .. } = row.clone();
        Self { paused_at, paused_by, paused_host, pause_reason, paused_until }
    }
}

impl From<database::Model> for PauseDetails {
    fn from(row: database::Model) -> Self {
        let database::Model { paused_at, paused_by, paused_host, pause_reason, .. } = row;
        Self { paused_at, paused_by, paused_host, pause_reason, paused_until: None }
    }
}

impl Store {
    /// Pauses or resumes a queue in the whole cluster. Returns whether that changed anything.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn pause_queue(&self, name: &QueueName, paused: bool) -> Result<bool, StoreError> {
        let row =
            Pausable { table: "sexton_queue", key: "name", target: AuditTarget::Queue, name: Some(name.as_str()) };
        // A queue without a row is not paused.
        let insert = self.dialect.insert_new(
            "sexton_queue (name, paused)",
            &format!("SELECT {}, false FROM (SELECT 1 AS x) one", self.dialect.text_parameter()),
        );
        self.with_retries(async || {
            let transaction = self.begin().await?;
            if paused {
                self.run(&transaction, &insert, [name.as_str().into()]).await?;
            }
            let changed = self.set_paused(&transaction, row, paused).await?.unwrap_or(false);
            if changed {
                let sql = format!("UPDATE sexton_queue SET changed_at = {} WHERE name = ?", self.dialect.now());
                self.run(&transaction, &sql, [name.as_str().into()]).await?;
            }
            self.commit(transaction).await?;
            Ok(changed)
        })
        .await
    }

    /// Pauses or resumes everything: while it is paused, no node claims a task, and no schedule fires. Returns whether
    /// that changed anything.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn pause_all(&self, paused: bool) -> Result<bool, StoreError> {
        self.database_id().await?;
        let row = Pausable { table: "sexton_database", key: "id", target: AuditTarget::Cluster, name: None };
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let changed = self.set_paused(&transaction, row, paused).await?.unwrap_or(false);
            self.commit(transaction).await?;
            Ok(changed)
        })
        .await
    }

    /// Since when everything is paused, by whom and why; `None` if it is not.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn all_paused(&self) -> Result<Option<PauseDetails>, StoreError> {
        let row = Pausable { table: "sexton_database", key: "id", target: AuditTarget::Cluster, name: None };
        let found = self.pause_of(&self.db, row, "").await?;
        Ok(found.filter(|(paused, _)| *paused).map(|(_, details)| details))
    }

    /// Sets whether something is paused, and records who did it. Returns whether that changed anything; `None` if there is
    /// no such row.
    async fn set_paused(
        &self,
        transaction: &DatabaseTransaction,
        row: Pausable<'_>,
        paused: bool,
    ) -> Result<Option<bool>, StoreError> {
        let Some((was_paused, details)) = self.pause_of(transaction, row, self.dialect.for_update()).await? else {
            return Ok(None);
        };
        if was_paused == paused {
            return Ok(Some(false));
        }
        let Pausable { table, key, .. } = row;
        let (at, signature) = match paused {
            true => (self.dialect.now(), self.signature()),
            false => ("NULL", Signature { by: None, host: None, reason: None }),
        };
        let sql = format!(
            "UPDATE {table} SET paused = ?, paused_at = {at}, paused_by = ?, paused_host = ?, pause_reason = ? \
             WHERE {key} = ?"
        );
        let Signature { by, host, reason } = signature;
        let values = [paused.into(), by.into(), host.into(), reason.into(), row.key_value()];
        self.run(transaction, &sql, values).await?;
        let mut before = json!({ "paused": was_paused });
        if was_paused {
            before = json!(details);
            before["paused"] = true.into();
        }
        let deed = row.deed(paused).from_to(before, json!({ "paused": paused }));
        self.record_deeds(transaction, &[deed]).await?;
        Ok(Some(true))
    }

    pub(super) async fn pause_of<C: ConnectionTrait>(
        &self,
        connection: &C,
        row: Pausable<'_>,
        lock: &str,
    ) -> Result<Option<(bool, PauseDetails)>, StoreError> {
        let Pausable { table, key, .. } = row;
        let sql = format!(
            "SELECT paused, paused_at, paused_by, paused_host, pause_reason FROM {table} WHERE {key} = ? {lock}"
        );
        let read = |row: &QueryResult| {
            let details = PauseDetails {
                // An instant that cannot be read is not known.
                paused_at: instant(row, "paused_at").ok().flatten(),
                paused_by: row.try_get("", "paused_by")?,
                paused_host: row.try_get("", "paused_host")?,
                pause_reason: row.try_get("", "pause_reason")?,
                paused_until: None,
            };
            Ok((row.try_get("", "paused")?, details))
        };
        self.all(connection, &sql, [row.key_value()]).await?.first().map(read).transpose()
    }
}
