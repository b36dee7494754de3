//! Maintenance: while a row of `sexton_maintenance` is in force, no node begins anything, and no schedule fires. The claim
//! asks for it in its own statement, so that it is in force at once.

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget};

use super::{
    PauseDetails, Store, StoreError,
    audit::{Deed, Signature},
    dialect::Dialect,
    pause::NOT_ALL_PAUSED,
    row_decoding::instant,
};

/// The number of the row that [`Store::begin_maintenance`] writes.
const OWN: i32 = 1;
/// What a deed calls it.
const NAME: &str = "maintenance";

/// A maintenance that is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Database time at which it began.
    pub began_at: Option<DateTime<Utc>>,
    /// When it ends by itself; none if it does not.
    pub ends_at: Option<DateTime<Utc>>,
    /// The login user, or else the account, that began it.
    pub login: Option<String>,
    /// The host on which it was begun.
    pub host: Option<String>,
    /// The reason that was given.
    pub reason: Option<String>,
}

/// What keeps the whole cluster from beginning anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halt {
    /// Since when everything is paused, by whom and why; none if it is not.
    pub pause: Option<PauseDetails>,
    /// The maintenance that is in force; of several, the one that ends last.
    pub maintenance: Option<Maintenance>,
}

impl Halt {
    /// Whether nothing may begin.
    pub fn is_in_force(&self) -> bool {
        self.pause.is_some() || self.maintenance.is_some()
    }
}

/// Whether one end comes before another. What has none comes last.
pub(super) fn ends_before(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> bool {
    let end = |at: Option<DateTime<Utc>>| at.unwrap_or(DateTime::<Utc>::MAX_UTC);
    end(one) < end(other)
}

/// The condition of a maintenance `m` that is in force.
pub(super) fn in_force(dialect: Dialect) -> String {
    format!("(m.ends_at IS NULL OR m.ends_at > {})", dialect.now())
}

/// The condition that nothing keeps the whole cluster from beginning tasks.
pub(super) fn nothing_halts(dialect: Dialect) -> String {
    let in_force = in_force(dialect);
    format!("{NOT_ALL_PAUSED} AND NOT EXISTS (SELECT 1 FROM sexton_maintenance m WHERE {in_force})")
}

impl Store {
    /// Begins a maintenance, or gives the one of this kind that is in force another end and reason. Without an end it lasts
    /// until [`Store::end_maintenance`].
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn begin_maintenance(&self, ends_at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let forget = format!("DELETE FROM sexton_maintenance WHERE ends_at <= {}", self.dialect.now());
        let insert =
            self.dialect.insert_new("sexton_maintenance (id)", &format!("SELECT {OWN} FROM (SELECT 1 AS x) one"));
        let set = format!(
            "UPDATE sexton_maintenance SET ends_at = {}, login = ?, host = ?, reason = ? WHERE id = {OWN}",
            self.dialect.instant_parameter()
        );
        let Signature { by, host, reason } = self.signature();
        let until: Option<String> = ends_at.map(|at| self.dialect.instant(at));
        let values: [Value; 4] = [until.into(), by.into(), host.into(), reason.into()];
        self.with_retries(async || {
            let before = self.halt().await?.maintenance;
            let transaction = self.begin().await?;
            self.run(&transaction, &forget, []).await?;
            self.run(&transaction, &insert, []).await?;
            self.run(&transaction, &set, values.clone()).await?;
            let deed = Deed::new(AuditAction::Pause, AuditTarget::Cluster, NAME)
                .from_to(before.map(|before| json!(before)), json!({ "ends_at": ends_at }));
            self.record_deeds(&transaction, &[deed]).await?;
            self.commit(transaction).await
        })
        .await
    }

    /// Ends each maintenance. Returns the one that was in force.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn end_maintenance(&self) -> Result<Option<Maintenance>, StoreError> {
        self.with_retries(async || {
            let before = self.halt().await?.maintenance;
            let transaction = self.begin().await?;
            self.run(&transaction, "DELETE FROM sexton_maintenance", []).await?;
            if let Some(before) = &before {
                let deed = Deed::new(AuditAction::Resume, AuditTarget::Cluster, NAME).from_to(json!(before), None);
                self.record_deeds(&transaction, &[deed]).await?;
            }
            self.commit(transaction).await?;
            Ok(before)
        })
        .await
    }

    /// Removes the rows whose end has come, so that who looks into the table finds nothing in it.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn remove_ended_maintenance(&self) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM sexton_maintenance WHERE ends_at <= {}", self.dialect.now());
        self.with_retries(async || self.run(&self.db, &sql, []).await).await.map(|_| ())
    }

    /// What keeps the whole cluster from beginning anything, by one statement.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn halt(&self) -> Result<Halt, StoreError> {
        let sql = format!(
            "SELECT 'pause' AS what, p.paused_at AS began_at, p.paused_at AS ends_at, p.paused_by AS login, \
             p.paused_host AS host, p.pause_reason AS reason FROM sexton_database p WHERE p.paused \
             UNION ALL SELECT 'maintenance', m.began_at, m.ends_at, m.login, m.host, m.reason \
             FROM sexton_maintenance m WHERE {}",
            in_force(self.dialect)
        );
        let mut halt = Halt::default();
        for row in self.all(&self.db, &sql, []).await? {
            let found = read(&row)?;
            if row.try_get::<String>("", "what")? == "pause" {
                let Maintenance { began_at, login, host, reason, .. } = found;
                let pause = PauseDetails {
                    paused_at: began_at,
                    paused_by: login,
                    paused_host: host,
                    pause_reason: reason,
                    paused_until: None,
                };
                halt.pause = Some(pause);
            } else if halt.maintenance.as_ref().is_none_or(|known| ends_before(known.ends_at, found.ends_at)) {
                halt.maintenance = Some(found);
            }
        }
        Ok(halt)
    }
}

fn read(row: &QueryResult) -> Result<Maintenance, StoreError> {
    Ok(Maintenance {
        // An instant that cannot be read is not known.
        began_at: instant(row, "began_at").ok().flatten(),
        ends_at: instant(row, "ends_at").ok().flatten(),
        login: row.try_get("", "login")?,
        host: row.try_get("", "host")?,
        reason: row.try_get("", "reason")?,
    })
}
