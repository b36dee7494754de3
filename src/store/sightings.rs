//! Sightings: occurrences of problems are counted.
//!
//! One statement counts all occurrences of a batch, in the transaction that records them. The unique key makes several
//! nodes open one problem. A problem that comes back later, or after it was closed by hand, begins its next episode in the
//! same row.

use std::sync::atomic::Ordering;

use sea_orm::TransactionTrait as _;
use sexton_entities::states::Outcome;

use super::{Store, StoreError, audit::fitting, connection::DatabaseTransaction, dialect::Kind, rows::Rows};
use crate::domain::problem::{SETTLING, Sighting};

/// The columns that a sighting writes.
const COLUMNS: [(&str, Kind); 18] = [
    ("problem_key", Kind::Text),
    ("kind", Kind::Text),
    ("name", Kind::Text),
    ("outcome", Kind::Text),
    ("fingerprint", Kind::Text),
    ("what", Kind::Text),
    ("times", Kind::Integer),
    ("discarded", Kind::Integer),
    ("opened_at", Kind::Instant),
    ("seen_at", Kind::Instant),
    ("task", Kind::Text),
    ("schedule", Kind::Text),
    ("queue", Kind::Text),
    ("node", Kind::Text),
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("exit_code", Kind::Integer),
    ("next_at", Kind::Instant),
];
/// What the last occurrence replaces.
const REPLACED: [&str; 9] = ["what", "task", "schedule", "queue", "node", "task_id", "fence", "exit_code", "next_at"];

impl Store {
    /// Counts occurrences of problems, and opens those that are new.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn note_problems(&self, sightings: &[Sighting]) -> Result<(), StoreError> {
        if sightings.is_empty() {
            return Ok(());
        }
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.count_problems(&transaction, sightings).await?;
            self.commit(transaction).await
        })
        .await
    }

    /// The same, in the transaction that records what has happened. Each problem may be among the sightings once. What the
    /// database refuses to count is reported, and costs neither the record nor the other problems.
    pub(super) async fn count_problems(
        &self,
        transaction: &DatabaseTransaction,
        sightings: &[Sighting],
    ) -> Result<(), StoreError> {
        self.problems_noted.fetch_add(sightings.len() as u64, Ordering::Relaxed);
        if sightings.len() > 1 {
            match self.count_within(transaction, sightings).await {
                Err(error) if !error.is_outage() => {}
                result => return result,
            }
        }
        for sighting in sightings {
            let counted = self.count_within(transaction, std::slice::from_ref(sighting)).await;
            let what = format!("occurrences of the problem of {} {} cannot be counted", sighting.kind, sighting.name);
            self.isolated().part(what.as_str(), counted)?;
        }
        Ok(())
    }

    /// Counts them, or undoes its part of the transaction.
    async fn count_within(&self, transaction: &DatabaseTransaction, sightings: &[Sighting]) -> Result<(), StoreError> {
        let part = transaction.begin().await?;
        match self.upsert_problems(&part, sightings).await {
            Ok(()) => Ok(part.commit().await?),
            // The whole transaction is over.
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                part.rollback().await?;
                Err(error)
            }
        }
    }

    async fn upsert_problems(
        &self,
        transaction: &DatabaseTransaction,
        sightings: &[Sighting],
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = names
            .iter()
            .map(|name| match *name {
                "opened_at" | "seen_at" => format!("COALESCE(d.{name}, {})", self.dialect.now()),
                name => format!("d.{name}"),
            })
            .collect();
        let sets = self.counting();
        let sql = self.dialect.upsert(
            ("sexton_problem", "problem_key"),
            &names.join(", "),
            &format!("SELECT {} FROM {}", values.join(", "), self.dialect.rows("d", &COLUMNS)),
            &sets,
        );
        let mut rows = Rows::new(self.dialect);
        for sighting in sightings {
            rows.push(|row| {
                row.set("problem_key", sighting.key())
                    .set("kind", sighting.kind.as_str())
                    .set("name", fitting(Some(&sighting.name), 255))
                    .set("outcome", sighting.outcome.map(Outcome::as_str))
                    .set("fingerprint", sighting.fingerprint.clone())
                    .set("what", sighting.what.clone())
                    .set("times", sighting.times)
                    .set("discarded", sighting.discarded)
                    .at("opened_at", sighting.first_at)
                    .at("seen_at", sighting.last_at)
                    .set("task", fitting(sighting.task.as_deref(), 150))
                    .set("schedule", fitting(sighting.schedule.as_deref(), 150))
                    .set("queue", fitting(sighting.queue.as_deref(), 100))
                    .set("node", fitting(sighting.node.as_deref(), 100))
                    .set("task_id", sighting.task_id)
                    .set("fence", sighting.fence)
                    .set("exit_code", sighting.exit_code)
                    .at("next_at", sighting.next_at);
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// How a known problem takes in further occurrences. MySQL evaluates the assignments one after the other, so that
    /// those which depend on the old state come first.
    fn counting(&self) -> Vec<(&'static str, String)> {
        let new = |column: &str| match column {
            "opened_at" | "seen_at" => format!("COALESCE({}, {})", self.dialect.proposed(column), self.dialect.now()),
            column => self.dialect.proposed(column),
        };
        let old = |column: &str| format!("sexton_problem.{column}");
        let settled = self.dialect.now_plus_millis(&format!("-{}", SETTLING.as_millis()));
        // A close by hand needs no notice of its end, and forgets when the last one was.
        let by_hand = format!("{} AND {} IS NULL", old("end_noticed"), old("noticed_at"));
        let is_back = format!("({} = 'closed' AND ({by_hand} OR {} < {settled}))", old("state"), old("closed_at"));
        let episode = |fresh: String, same: String| format!("CASE WHEN {is_back} THEN {fresh} ELSE {same} END");
        // A state is seen again and again while it lasts, by each node: only its beginnings count.
        let lasts = format!("{} IN ('queue', 'disk') AND {} <> 'closed'", old("kind"), old("state"));
        let sum = |column| {
            let more = format!("CASE WHEN {lasts} THEN {0} ELSE {0} + {1} END", old(column), new(column));
            episode(new(column), more)
        };
        let mut sets = vec![
            ("times", sum("times")),
            ("discarded", sum("discarded")),
            ("episode", episode(format!("{} + 1", old("episode")), old("episode"))),
            ("notices", episode("0".to_owned(), old("notices"))),
            ("opened_at", episode(new("opened_at"), old("opened_at"))),
            ("noticed_at", episode("NULL".to_owned(), old("noticed_at"))),
        ];
        sets.extend(REPLACED.map(|column| (column, new(column))));
        let seen = format!("CASE WHEN {0} > {1} THEN {0} ELSE {1} END", new("seen_at"), old("seen_at"));
        let muted = format!("CASE WHEN {} > {} THEN 'muted' ELSE 'open' END", old("muted_until"), self.dialect.now());
        let state = format!("CASE WHEN {0} = 'closed' THEN {muted} ELSE {0} END", old("state"));
        sets.extend([
            ("seen_at", seen),
            ("end_noticed", "false".to_owned()),
            ("state", state),
            ("closed_at", "NULL".to_owned()),
        ]);
        sets
    }
}
