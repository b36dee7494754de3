//! Schedules in the database: their definitions, and how they are added, edited and removed. What a schedule starts is a
//! task definition of the configuration; nodes check the rest by its rules.

use sea_orm::{QueryResult, Value};
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget};

use super::{StoreError, TaskStore, connection::DatabaseTransaction, deeds::Deed, dialect::Kind, rows::Rows};
use crate::domain::schedule_definition::ScheduleDefinition;

const DEFINITION: [(&str, Kind); 6] = [
    ("name", Kind::Text),
    ("task", Kind::Text),
    ("cron", Kind::Text),
    ("timezone", Kind::Text),
    ("payload", Kind::Text),
    ("settings", Kind::Text),
];
/// The rows that have a definition of the database: also those of which a file defines a schedule of the same name.
pub const IN_DATABASE: &str = "s.removed_at IS NULL AND (s.origin = 'database' OR s.shadowed_task IS NOT NULL)";
/// Its columns.
const COLUMNS: &str = "s.name AS name, COALESCE(s.shadowed_task, s.task) AS task, s.cron AS cron, s.timezone AS timezone, \
     s.payload AS payload, s.settings AS settings";

/// What became of a change of a schedule in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// It was done.
    Done,
    /// The schedule is as it was to be.
    Unchanged,
    /// There is a schedule of that name in the database already.
    AlreadyThere,
    /// There is no schedule of that name.
    NotThere,
    /// A configuration file defines a schedule of that name: it is changed there.
    OfConfiguration,
}

/// A row that may have a definition of the database.
struct KnownSchedule {
    definition: ScheduleDefinition,
    is_of_database: bool,
    is_shadowed: bool,
    is_removed: bool,
}

impl TaskStore {
    /// The schedules of the database, by name. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn database_schedules(&self) -> Result<Vec<ScheduleDefinition>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sexton_schedule s WHERE {IN_DATABASE} ORDER BY s.name");
        let mut found = Vec::new();
        for row in self.all(&self.db, &sql, []).await? {
            let name: String = row.try_get("", "name")?;
            let what = format!("the definition of schedule {name}");
            found.extend(self.isolated().part(what.as_str(), definition(&row).map(Some))?);
        }
        Ok(found)
    }

    /// Adds a schedule. A name that is taken stays as it is.
    ///
    /// # Errors
    /// If the schedule is invalid, or the database is unavailable or refuses a statement.
    pub async fn add_schedule(&self, new: &ScheduleDefinition) -> Result<ScheduleChange, StoreError> {
        self.change_schedule(new, async |transaction, known| match known {
            Some(known) if known.is_removed => {
                // A schedule of the file that was paused when it left: the name is free.
                self.write_definition(transaction, new).await?;
                Ok((AuditAction::Add, ScheduleChange::Done))
            }
            Some(known) if known.is_of_database || known.is_shadowed => {
                Ok((AuditAction::Add, ScheduleChange::AlreadyThere))
            }
            Some(_) => Ok((AuditAction::Add, ScheduleChange::OfConfiguration)),
            None => {
                let sql = self.dialect.insert_new(
                    "sexton_schedule (name, task, cron, timezone, payload, settings, origin, spec)",
                    &format!(
                        "SELECT d.name, d.task, d.cron, d.timezone, d.payload, d.settings, 'database', '' FROM {}",
                        self.dialect.rows("d", &DEFINITION)
                    ),
                );
                let is_new = self.run(transaction, &sql, [self.definition_row(new)]).await? > 0;
                Ok((AuditAction::Add, if is_new { ScheduleChange::Done } else { ScheduleChange::AlreadyThere }))
            }
        })
        .await
    }

    /// Replaces the definition of a schedule in the database. It starts now: earlier instants do not fire.
    ///
    /// # Errors
    /// If the schedule is invalid, or the database is unavailable or refuses a statement.
    pub async fn edit_schedule(&self, new: &ScheduleDefinition) -> Result<ScheduleChange, StoreError> {
        self.change_schedule(new, async |transaction, known| {
            let result = match known {
                None => ScheduleChange::NotThere,
                Some(known) if known.is_removed => ScheduleChange::NotThere,
                Some(known) if !known.is_of_database && !known.is_shadowed => ScheduleChange::OfConfiguration,
                Some(known) if known.is_of_database && known.definition == *new => ScheduleChange::Unchanged,
                Some(_) => {
                    self.write_definition(transaction, new).await?;
                    ScheduleChange::Done
                }
            };
            Ok((AuditAction::Edit, result))
        })
        .await
    }

    /// Removes a schedule from the database. Its record stays; a schedule of the same name in a file stays in force.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn remove_schedule(&self, name: &str) -> Result<ScheduleChange, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let known = self.lock_definition(&transaction, name).await?;
            let (sql, known) = match known {
                Some(known) if known.is_shadowed => (
                    "UPDATE sexton_schedule SET shadowed_task = NULL, cron = NULL, timezone = NULL, payload = NULL, \
                     settings = NULL WHERE name = ?",
                    known,
                ),
                Some(known) if known.is_of_database && !known.is_removed => {
                    ("DELETE FROM sexton_schedule WHERE name = ?", known)
                }
                Some(known) if !known.is_removed => return Ok(ScheduleChange::OfConfiguration),
                _ => return Ok(ScheduleChange::NotThere),
            };
            self.run(&transaction, sql, [name.into()]).await?;
            let deed = Deed::new(AuditAction::Remove, AuditTarget::Schedule, name);
            self.record_deeds(&transaction, &[deed.from_to(json!(known.definition), None)]).await?;
            self.commit(transaction).await?;
            Ok(ScheduleChange::Done)
        })
        .await
    }

    /// Checks and changes a schedule, and records who did it, in one transaction.
    async fn change_schedule(
        &self,
        new: &ScheduleDefinition,
        change: impl AsyncFn(
            &DatabaseTransaction,
            Option<&KnownSchedule>,
        ) -> Result<(AuditAction, ScheduleChange), StoreError>,
    ) -> Result<ScheduleChange, StoreError> {
        new.check().map_err(|invalid| StoreError::Refused(invalid.to_string()))?;
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let known = self.lock_definition(&transaction, &new.name).await?;
            let (action, result) = change(&transaction, known.as_ref()).await?;
            if result == ScheduleChange::Done {
                let before = known.filter(|known| !known.is_removed).map(|known| json!(known.definition));
                let deed = Deed::new(action, AuditTarget::Schedule, new.name.as_str()).from_to(before, json!(new));
                self.record_deeds(&transaction, &[deed]).await?;
                self.commit(transaction).await?;
            }
            Ok(result)
        })
        .await
    }

    /// Writes the definition of a row that is there. It is in force from now on.
    async fn write_definition(
        &self,
        transaction: &DatabaseTransaction,
        new: &ScheduleDefinition,
    ) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let sets = [
            ("task", "d.task"),
            ("cron", "d.cron"),
            ("timezone", "d.timezone"),
            ("payload", "d.payload"),
            ("settings", "d.settings"),
            ("origin", "'database'"),
            ("shadowed_task", "NULL"),
            ("removed_at", "NULL"),
            // A node enters it in words.
            ("spec", "''"),
            ("last_at", now),
            ("next_at", "NULL"),
            ("excused_until", now),
            ("expected_by", "NULL"),
        ];
        let rows = self.dialect.rows("d", &DEFINITION);
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &rows, "t.name = d.name");
        self.run(transaction, &sql, [self.definition_row(new)]).await.map(|_| ())
    }

    async fn lock_definition(
        &self,
        transaction: &DatabaseTransaction,
        name: &str,
    ) -> Result<Option<KnownSchedule>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, CASE WHEN s.origin = 'database' THEN 1 ELSE 0 END AS of_database, \
             CASE WHEN s.shadowed_task IS NOT NULL THEN 1 ELSE 0 END AS shadowed, \
             CASE WHEN s.removed_at IS NOT NULL THEN 1 ELSE 0 END AS removed \
             FROM sexton_schedule s WHERE s.name = ? {}",
            self.dialect.for_update()
        );
        let rows = self.all(transaction, &sql, [Value::from(name)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let flag = |column: &str| {
            let number = row.try_get::<i32>("", column).map(i64::from);
            number.or_else(|_| row.try_get::<i64>("", column)).map(|number| number == 1)
        };
        Ok(Some(KnownSchedule {
            definition: definition(row)?,
            is_of_database: flag("of_database")?,
            is_shadowed: flag("shadowed")?,
            is_removed: flag("removed")?,
        }))
    }

    fn definition_row(&self, new: &ScheduleDefinition) -> Value {
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("name", new.name.clone())
                .set("task", new.task.clone())
                .set("cron", new.cron.clone())
                .set("timezone", new.timezone.clone())
                .set("payload", new.payload.clone())
                .set("settings", new.settings.clone());
        });
        rows.into_value()
    }
}

fn definition(row: &QueryResult) -> Result<ScheduleDefinition, StoreError> {
    Ok(ScheduleDefinition {
        name: row.try_get("", "name")?,
        task: row.try_get("", "task")?,
        cron: row.try_get("", "cron")?,
        timezone: row.try_get("", "timezone")?,
        payload: row.try_get("", "payload")?,
        settings: row.try_get("", "settings")?,
    })
}
