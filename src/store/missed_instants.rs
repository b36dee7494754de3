//! A schedule that did not run is a problem: its instants were missed and will not be run.

use std::collections::HashMap;

use sexton_entities::states::ProblemKind;

use super::{
    Store, StoreError,
    connection::DatabaseTransaction,
    schedules::{Firing, INSTANT},
};
use crate::domain::{
    problem::{Sighting, one_each},
    schedule::reason::{Reason, sentence, shown},
};

/// The entries of an instant that was missed and does not run.
const MISSED: &str = "= 'skipped' AND o.reason_code IN ('missed', 'missed_max', 'missed_age', 'missed_window')";

impl Firing {
    /// Whether its instant was missed and does not run.
    pub fn is_missed(&self) -> bool {
        use Reason::{Missed, MissedAge, MissedMax, MissedWindow};
        matches!(self.reason, Some(Missed | MissedMax { .. } | MissedAge { .. } | MissedWindow { .. }))
    }
}

impl Store {
    /// Counts the missed instants that this transaction has entered.
    pub(super) async fn note_missed(
        &self,
        transaction: &DatabaseTransaction,
        entry: &str,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        if !firings.iter().any(Firing::is_missed) {
            return Ok(());
        }
        let sql = format!(
            "SELECT d.schedule, COUNT(*) OVER (PARTITION BY d.schedule) AS times {}",
            self.joined(&INSTANT, MISSED)
        );
        let rows = self.all(transaction, &sql, [self.firing_rows(firings), entry.into()]).await?;
        let mut times: HashMap<String, i64> = HashMap::new();
        for row in &rows {
            times.insert(row.try_get("", "schedule")?, row.try_get("", "times")?);
        }
        let mut latest: HashMap<&str, &Firing> = HashMap::new();
        for firing in firings.iter().filter(|firing| firing.is_missed() && times.contains_key(&firing.schedule)) {
            let known = latest.entry(&firing.schedule).or_insert(firing);
            if known.due_at < firing.due_at {
                *known = firing;
            }
        }
        let sightings = latest.into_values().map(|firing| {
            let why = sentence(firing.reason.as_ref(), firing.stands_for).unwrap_or_default();
            let what = format!("the run of {} did not start: {why}", shown(firing.due_at));
            Sighting {
                times: times.get(&firing.schedule).copied().unwrap_or(1),
                task: Some(firing.task.clone()),
                schedule: Some(firing.schedule.clone()),
                queue: Some(firing.queue.to_string()),
                next_at: firing.next_at,
                ..Sighting::now(ProblemKind::Schedule, firing.schedule.clone(), what)
            }
        });
        self.count_problems(transaction, &one_each(sightings)).await
    }
}
