//! Schedules that are ahead of the time: a clock was ahead once, and entered instants that have not come.

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;

use super::{Store, StoreError, row_decoding::instant};
use crate::domain::schedule::AHEAD;

impl Store {
    /// Moves schedules that are more than [`AHEAD`] of `now` back to their newest instant in the ledger that is not in the future, or to
    /// now. Without this they would be silent until that time. Returns these schedules, each with that instant.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn return_from_future(&self, now: DateTime<Utc>) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        let instant_parameter = self.dialect.instant_parameter();
        let ahead = format!(
            "SELECT s.name AS name, (SELECT MAX(o.due_at) FROM sexton_occurrence o WHERE o.schedule = s.name \
             AND o.due_at <= {instant_parameter}) AS newest FROM sexton_schedule s WHERE s.last_at > {instant_parameter} \
             ORDER BY s.name"
        );
        let update = format!(
            "UPDATE sexton_schedule SET last_at = {instant_parameter}, next_at = NULL \
             WHERE name = ? AND last_at > {instant_parameter}"
        );
        let limit = self.dialect.instant(now + AHEAD);
        let schedule = |row: &QueryResult| {
            let newest = instant(row, "newest").ok().flatten().unwrap_or(now);
            Ok::<_, StoreError>((row.try_get::<String>("", "name")?, newest))
        };
        let found = self.all(&self.db, &ahead, [self.dialect.instant(now).into(), limit.clone().into()]).await?;
        let mut returned = Vec::new();
        for (name, at) in found.iter().map(schedule).collect::<Result<Vec<_>, _>>()? {
            let values = [self.dialect.instant(at).into(), name.clone().into(), limit.clone().into()];
            // Another node may have been first.
            if self.with_retries(async || self.run(&self.db, &update, values.clone()).await).await? > 0 {
                returned.push((name, at));
            }
        }
        Ok(returned)
    }
}
