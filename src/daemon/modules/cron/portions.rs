//! How the instants that are due are cut into transactions.

use std::collections::HashMap;

use chrono::TimeDelta;

use crate::store::{Firing, Store, StoreError};

/// Maximum number of instants in one transaction.
pub(super) const BATCH: usize = 1_000;
/// A clock that differs by more from that of the database is corrected elsewhere.
const MOST_EARLY: TimeDelta = TimeDelta::seconds(1);

/// The instants of each schedule: they are accepted or refused together, because a later one moves the schedule beyond the
/// earlier ones.
pub(super) fn by_schedule(firings: &[Firing]) -> Vec<Vec<&Firing>> {
    let mut due: Vec<Vec<&Firing>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for firing in firings {
        let place = *places.entry(&firing.schedule).or_insert(due.len());
        match due.get_mut(place) {
            Some(known) => known.push(firing),
            None => due.push(vec![firing]),
        }
    }
    due
}

/// Cuts the instants into portions of about [`BATCH`].
pub(super) fn portions<'a, 'f>(due: &'a [Vec<&'f Firing>]) -> Vec<&'a [Vec<&'f Firing>]> {
    let mut portions = Vec::new();
    let (mut start, mut count) = (0, 0);
    for (index, schedule) in due.iter().enumerate() {
        if count > 0 && count + schedule.len() > BATCH {
            portions.push(&due[start..index]);
            (start, count) = (index, 0);
        }
        count += schedule.len();
    }
    portions.push(&due[start..]);
    portions
}

/// The name by which a refused schedule is reported.
pub(super) fn refused_schedule(name: &str) -> String {
    format!("the database refuses the tasks of schedule {name}")
}

/// Waits until the instants have come by the clock of the database: that of this machine runs a little faster or slower
/// between two corrections.
pub(super) async fn until_due(store: &Store, firings: &[Firing]) -> Result<(), StoreError> {
    let Some(latest) = firings.iter().map(|firing| firing.due_at).max() else { return Ok(()) };
    let early = latest - store.now().await?;
    if early > TimeDelta::zero() && early <= MOST_EARLY {
        tokio::time::sleep(early.to_std().unwrap_or_default()).await;
    }
    Ok(())
}
