//! Schema migration: the missing steps are applied once, even if several nodes start at the same time.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::{Flock, FlockArg};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget};
use sexton_migration::{Migrator, MigratorTrait};

use super::{
    ConnectOptions, Deed, Store, StoreError,
    connection::{DatabaseTransaction, on_driver},
    dialect::Dialect,
    error::StatementRefusal,
};
use crate::domain::schema_name::SchemaName;

/// The key of the advisory lock: "sexton" in ASCII.
const LOCK_KEY: i64 = 0x7365_7874_6f6e;

/// The transaction that holds the lock is silent while the steps run: the server must not end it for that.
const POSTGRES_LOCK: &str = "SELECT set_config('idle_in_transaction_session_timeout', '0', true), \
                             pg_advisory_xact_lock(?)::text AS locked";
/// Such locks belong to the whole server: its other databases have locks of their own.
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('sexton_migrate_', LEFT(SHA2(DATABASE(), 256), 40)), 60) AS locked";
const MYSQL_UNLOCK: &str =
    "SELECT RELEASE_LOCK(CONCAT('sexton_migrate_', LEFT(SHA2(DATABASE(), 256), 40))) AS released";
/// A session that holds [`MYSQL_LOCK`] is silent meanwhile, too.
const MYSQL_SILENCE: &str = "SET SESSION wait_timeout = 86400 /*M!100300 , idle_transaction_timeout = 0 */";

/// One step of the schema's history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// The name of the step.
    pub name: String,
    /// Whether the step is applied to this database.
    pub applied: bool,
}

/// The lock that excludes other migrations until it is dropped.
enum MigrationLock {
    Session(DatabaseTransaction),
    File(#[expect(dead_code, reason = "held for its lock")] Flock<File>),
    Memory,
}

impl Store {
    /// Applies the missing steps. Returns their names.
    ///
    /// # Errors
    /// If the database is unavailable, refuses a step, was migrated by a later release, or another process has been
    /// migrating it for a minute.
    pub async fn migrate(&self, options: &ConnectOptions) -> Result<Vec<String>, StoreError> {
        let lock = self.lock_schema(options).await?;
        self.create_schema().await?;
        let applied = self.apply_missing(options).await;
        if let MigrationLock::Session(transaction) = lock {
            if self.dialect == Dialect::MySql {
                // The lock would stay with the pooled connection otherwise.
                self.one(&transaction, MYSQL_UNLOCK, []).await?;
            }
            self.commit(transaction).await?;
        }
        let applied = applied?;
        if !applied.is_empty() {
            let deed = Deed::new(AuditAction::Migrate, AuditTarget::Database, "sexton");
            // The tables are up to date, whatever becomes of the record.
            if let Err(error) = self.audit(&deed.from_to(None, json!({ "applied": applied }))).await {
                tracing::warn!("the migration is not in the audit: {error}");
            }
        }
        Ok(applied)
    }

    /// Creates the schema that is set, if it is missing.
    async fn create_schema(&self) -> Result<(), StoreError> {
        let Some(schema) = self.missing_schema().await? else { return Ok(()) };
        // The name is checked, and cannot be a parameter.
        let sql = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
        let created = self.run(&self.db, &sql, []).await.map(|_| ());
        created.map_err(|error| match error {
            StoreError::Refused(said) => StoreError::Refused(format!(
                "there is no schema `{schema}`, and this role cannot create it ({said}): let its administrator run \
                 `CREATE SCHEMA {schema} AUTHORIZATION` with the name of this role"
            )),
            other => other,
        })
    }

    /// The schema that is set, if the database does not have it.
    async fn missing_schema(&self) -> Result<Option<&SchemaName>, StoreError> {
        let Some(schema) = self.db.sessions().target().schema() else { return Ok(None) };
        let sql = "SELECT (to_regnamespace(CAST(? AS text)) IS NULL) AS is_missing";
        let is_missing: bool = self.one(&self.db, sql, [schema.as_str().into()]).await?.try_get("", "is_missing")?;
        Ok(is_missing.then_some(schema))
    }

    async fn apply_missing(&self, options: &ConnectOptions) -> Result<Vec<String>, StoreError> {
        let steps = self.migration_status().await?;
        let missing: Vec<String> = steps.into_iter().filter(|step| !step.applied).map(|step| step.name).collect();
        if !missing.is_empty() {
            let target = self.direct_target(options)?.ok_or_else(|| {
                StoreError::Refused(
                    "the tables are not up to date, and a pooler in transaction mode stands before the database: set \
                     database.direct_url, or run `sexton db migrate` with a URL past the pooler"
                        .to_owned(),
                )
            })?;
            // The steps take as long as they take, on a connection of SeaORM's own.
            on_driver(async {
                let steps = target.for_migration().await.map_err(StoreError::Unavailable)?;
                let applied = Migrator::up(&steps, None).await;
                let _ = steps.close().await;
                Ok::<(), StoreError>(applied?)
            })
            .await?;
        }
        Ok(missing)
    }

    /// Lists the steps that this program knows, and whether they are applied.
    ///
    /// # Errors
    /// If the database is unavailable, lacks the schema that is set, or has a step that this program does not know.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        if let Some(schema) = self.missing_schema().await? {
            let problem = format!("the database has no schema `{schema}`: `sexton db migrate` creates it");
            return Err(StoreError::Refused(problem));
        }
        let applied = self.applied_steps().await?.unwrap_or_default();
        let known: Vec<String> = Migrator::get_migration_files().iter().map(|step| step.name().to_owned()).collect();
        if let Some(unknown) = applied.iter().find(|step| !known.contains(step)) {
            return Err(StoreError::Newer(unknown.clone()));
        }
        Ok(known.into_iter().map(|name| MigrationStatus { applied: applied.contains(&name), name }).collect())
    }

    /// The steps that are applied; none if the database has no table of them. It creates nothing: SeaORM's own look would
    /// need the right to create that table.
    ///
    /// # Errors
    /// If the database is unavailable, or this role may not read the table.
    pub(super) async fn applied_steps(&self) -> Result<Option<Vec<String>>, StoreError> {
        let sql = "SELECT version FROM sexton_migration ORDER BY version";
        let rows = match self.db.query_all_raw(self.statement(sql, [])).await {
            Ok(rows) => rows,
            // What this role may not read may be there. SQLite has one code for all that it refuses, and no rights.
            Err(error) => match (StatementRefusal::of(&error), self.dialect) {
                (Some(StatementRefusal::Missing), _) | (Some(StatementRefusal::Other), Dialect::Sqlite) => {
                    return Ok(None);
                }
                _ => return Err(error.into()),
            },
        };
        let applied = rows.iter().map(|row| Ok(row.try_get("", "version")?)).collect::<Result<_, StoreError>>()?;
        Ok(Some(applied))
    }

    /// Whether this program knows the newest of the steps that are applied.
    pub fn knows_step(step: &str) -> bool {
        Migrator::get_migration_files().iter().any(|known| known.name() == step)
    }

    /// Excludes all other migrating processes. On a server, a transaction of its own holds the lock while the steps run
    /// on another connection; for an SQLite file, a lock file does.
    async fn lock_schema(&self, options: &ConnectOptions) -> Result<MigrationLock, StoreError> {
        let (sql, values) = match self.dialect {
            Dialect::Postgres => (POSTGRES_LOCK, vec![LOCK_KEY.into()]),
            Dialect::MySql => (MYSQL_LOCK, Vec::new()),
            Dialect::Sqlite => return lock_file(options).await,
        };
        let transaction = self.begin().await?;
        if self.dialect == Dialect::MySql {
            self.run(&transaction, MYSQL_SILENCE, []).await?;
        }
        let row = self.one(&transaction, sql, values).await?;
        if self.dialect == Dialect::MySql && row.try_get::<Option<i64>>("", "locked")? != Some(1) {
            return Err(StoreError::Unavailable(
                "another node has been migrating the database for a minute".to_owned(),
            ));
        }
        Ok(MigrationLock::Session(transaction))
    }
}

async fn lock_file(options: &ConnectOptions) -> Result<MigrationLock, StoreError> {
    let Some(database) = options.sqlite_file() else { return Ok(MigrationLock::Memory) };
    let mut path = database.into_os_string();
    path.push(".migrate-lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = crate::files::own_file().create(true).append(true).mode(0o600).open(&path)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| std::io::Error::from(errno))
    });
    match locked.await {
        Ok(Ok(file)) => Ok(MigrationLock::File(file)),
        Ok(Err(error)) => Err(StoreError::Unavailable(format!("cannot lock the database for the migration: {error}"))),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}
