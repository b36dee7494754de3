//! Schedules of the database that are in force: nodes enter their recurrences in words.

use super::{Store, StoreError, dialect::Kind, rows::Rows};
use crate::domain::schedule::ScheduleDefinition;

const WORDS: [(&str, Kind); 6] = [
    ("name", Kind::Text),
    ("task", Kind::Text),
    ("cron", Kind::Text),
    ("timezone", Kind::Text),
    ("settings", Kind::Text),
    ("spec", Kind::Text),
];

impl Store {
    /// Enters the recurrences of schedules of the database in words. One whose recurrences were changed by SQL starts now;
    /// a new one starts at its INSERT. A definition that has changed since it was read is left to the next look.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn sync_database_schedules(&self, known: &[(ScheduleDefinition, String)]) -> Result<(), StoreError> {
        if known.is_empty() {
            return Ok(());
        }
        let now = self.dialect.now();
        let since = |column: &str| format!("CASE WHEN t.spec = '' THEN t.{column} ELSE {now} END");
        let (last_at, excused_until) = (since("last_at"), since("excused_until"));
        let sets = [
            ("last_at", last_at.as_str()),
            ("excused_until", excused_until.as_str()),
            ("next_at", "NULL"),
            ("expected_by", "NULL"),
            // The others depend on what it was before: MariaDB and MySQL set the columns in this order.
            ("spec", "d.spec"),
        ];
        let is_same = |column: &str| self.dialect.same(&format!("t.{column}"), &format!("d.{column}"));
        let on = format!(
            "t.name = d.name AND t.origin = 'database' AND t.spec <> d.spec AND t.task = d.task AND {} AND {} AND {}",
            is_same("cron"),
            is_same("timezone"),
            is_same("settings"),
        );
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &self.dialect.rows("d", &WORDS), &on);
        let mut rows = Rows::new(self.dialect);
        for (definition, spec) in known {
            rows.push(|row| {
                row.set("name", definition.name.clone())
                    .set("task", definition.task.clone())
                    .set("cron", definition.cron.clone())
                    .set("timezone", definition.timezone.clone())
                    .set("settings", definition.settings.clone())
                    .set("spec", spec.clone());
            });
        }
        let rows = rows.into_value();
        self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
    }
}
