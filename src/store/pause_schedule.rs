//! Pauses of schedules, which may have an end.
//!
//! A pause takes effect at the next instant. From the end of a pause on, instants run also before a node has ended it. A
//! schedule that leaves the configuration while it is paused keeps its row, marked as removed, so that it is still paused
//! when it comes back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::Value;
use serde_json::json;
use sexton_entities::states::AuditTarget;

use super::{
    Store, StoreError,
    audit::Signature,
    connection::DatabaseTransaction,
    pause::{Pausable, PauseDetails},
    row_decoding::instant,
};

/// The condition that a pause of schedule `s` has an end. A node of the version before sets a pause without one, and leaves
/// the end of an earlier pause as it was.
pub(super) const HAS_END: &str = "s.paused_until >= s.paused_at";

/// What [`Store::end_pauses`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedPauses {
    /// The schedules that are resumed.
    pub schedules: Vec<String>,
    /// When the next pause ends.
    pub next_end: Option<DateTime<Utc>>,
}

impl Store {
    /// Pauses or resumes a schedule. Returns false if there is no schedule of that name.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub async fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, StoreError> {
        self.change_pause(name, paused, None).await
    }

    /// Pauses a schedule for a time, counted from now. A pause that it has gets this end. Returns false if there is no
    /// schedule of that name.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub async fn pause_schedule_for(&self, name: &str, time: Duration) -> Result<bool, StoreError> {
        self.change_pause(name, true, Some(time)).await
    }

    /// Ends the pauses whose time is over.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub async fn end_pauses(&self) -> Result<EndedPauses, StoreError> {
        let sql = format!(
            "SELECT s.name AS name, s.paused_until AS paused_until, s.paused_until <= {} AS is_over \
             FROM sexton_schedule s WHERE s.paused AND {HAS_END} ORDER BY s.name",
            self.dialect.now()
        );
        let mut pauses = EndedPauses::default();
        for row in self.all(&self.db, &sql, []).await? {
            let name: String = row.try_get("", "name")?;
            if !row.try_get::<bool>("", "is_over")? {
                // What is beyond the calendar has no end.
                let until = instant(&row, "paused_until").ok().flatten();
                pauses.next_end = [pauses.next_end, until].into_iter().flatten().min();
                continue;
            }
            let ended = self.end_pause(&name).await;
            if self.isolated().part(format_args!("the end of the pause of schedule {name}"), ended)? {
                pauses.schedules.push(name);
            }
        }
        Ok(pauses)
    }

    /// Ends a pause, unless another node has done so, or an operator has paused the schedule for longer.
    async fn end_pause(&self, name: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT s.name AS name FROM sexton_schedule s WHERE s.name = ? AND s.paused AND {HAS_END} \
             AND s.paused_until <= {} {}",
            self.dialect.now(),
            self.dialect.for_update()
        );
        self.with_retries(async || {
            let transaction = self.begin().await?;
            if self.all(&transaction, &sql, [name.into()]).await?.is_empty() {
                return Ok(false);
            }
            self.set_schedule_paused(&transaction, name, false, None).await?;
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
    }

    async fn change_pause(&self, name: &str, paused: bool, time: Option<Duration>) -> Result<bool, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let is_there = self.set_schedule_paused(&transaction, name, paused, time).await?;
            self.commit(transaction).await?;
            Ok(is_there)
        })
        .await
    }

    /// Sets whether a schedule is paused, and records who did it. Returns false if there is no such row.
    async fn set_schedule_paused(
        &self,
        transaction: &DatabaseTransaction,
        name: &str,
        paused: bool,
        time: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let row = Pausable { table: "sexton_schedule", key: "name", target: AuditTarget::Schedule, name: Some(name) };
        let Some((was_paused, details)) = self.pause_of(transaction, row, self.dialect.for_update()).await? else {
            return Ok(false);
        };
        let details = PauseDetails { paused_until: self.end_of_pause(transaction, name).await?, ..details };
        let had_end = details.paused_until.is_some();
        if was_paused == paused && time.is_none() && !had_end {
            return Ok(true);
        }
        let now = self.dialect.now();
        let (at, signature) = match paused {
            true => (now, self.signature()),
            false => ("NULL", Signature { by: None, host: None, reason: None }),
        };
        let end = self.dialect.now_plus_millis("?");
        // A pause that says when it ends excuses the runs until then, and no longer than it lasts.
        let (until, excused) = match time {
            Some(_) => (end.clone(), end),
            None => ("NULL".to_owned(), format!("CASE WHEN excused_until > {now} THEN {now} ELSE excused_until END")),
        };
        let sql = format!(
            "UPDATE sexton_schedule SET paused = ?, paused_at = {at}, paused_by = ?, paused_host = ?, \
             pause_reason = ?, paused_until = {until}, excused_until = {excused} WHERE name = ?"
        );
        let Signature { by, host, reason } = signature;
        let mut values: Vec<Value> = vec![paused.into(), by.into(), host.into(), reason.into()];
        if let Some(time) = time {
            let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            values.extend([millis.into(), millis.into()]);
        }
        values.push(name.into());
        self.run(transaction, &sql, values).await?;
        let mut before = json!({ "paused": was_paused });
        if was_paused {
            before = json!(details);
            before["paused"] = true.into();
        }
        let mut after = json!({ "paused": paused });
        if let Some(time) = time {
            after["for_s"] = time.as_secs().into();
        }
        self.record_deeds(transaction, &[row.deed(paused).from_to(before, after)]).await?;
        if !paused {
            let removed = "DELETE FROM sexton_schedule WHERE name = ? AND NOT paused AND removed_at IS NOT NULL";
            self.run(transaction, removed, [name.into()]).await?;
        }
        Ok(true)
    }

    /// The end of the pause that a schedule has.
    async fn end_of_pause(
        &self,
        transaction: &DatabaseTransaction,
        name: &str,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = format!(
            "SELECT s.paused_until AS paused_until FROM sexton_schedule s WHERE s.name = ? AND s.paused AND {HAS_END}"
        );
        let rows = self.all(transaction, &sql, [name.into()]).await?;
        Ok(rows.first().and_then(|row| instant(row, "paused_until").ok().flatten()))
    }

    /// Deletes a schedule of the configuration, or marks it as removed while it is paused. One of the same name in the
    /// database is in force again. `condition` is a further one.
    pub(super) async fn forget_schedule(
        &self,
        name: &str,
        condition: &str,
        values: &[Value],
    ) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let of_file = "name = ? AND origin = 'config'";
        let give_back = format!(
            "UPDATE sexton_schedule SET task = shadowed_task, shadowed_task = NULL, origin = 'database', spec = '', \
             last_at = {now}, next_at = NULL, excused_until = {now}, expected_by = NULL \
             WHERE {of_file} AND shadowed_task IS NOT NULL {condition}"
        );
        let delete = format!("DELETE FROM sexton_schedule WHERE {of_file} AND NOT paused {condition}");
        let mark = format!(
            "UPDATE sexton_schedule SET removed_at = {now}, next_at = NULL WHERE {of_file} AND paused {condition}"
        );
        let values = || std::iter::once(name.into()).chain(values.iter().cloned());
        self.with_retries(async || {
            self.run(&self.db, &give_back, values()).await?;
            self.run(&self.db, &delete, values()).await?;
            self.run(&self.db, &mark, values()).await.map(|_| ())
        })
        .await
    }
}
