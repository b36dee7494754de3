//! Schedules that run after others: each run of one that they follow is an instant of theirs.

use chrono::{DateTime, Utc};

use super::entry::CronEntry;
use crate::{
    domain::{
        period::Periods,
        schedule::missed_policy::{Decision, runs},
    },
    store::Firing,
};

/// The instants, and those of the schedules that follow them, at the same times.
pub(super) fn with_followers<'a>(
    mut firings: Vec<Firing>,
    entries: impl Iterator<Item = &'a CronEntry>,
    periods: &Periods,
    now: DateTime<Utc>,
) -> Vec<Firing> {
    let followers: Vec<&CronEntry> = entries.filter(|entry| entry.schedule.follows().next().is_some()).collect();
    let mut index = 0;
    while let Some(firing) = firings.get(index).filter(|_| !followers.is_empty()) {
        index += 1;
        let (leader, due_at) = (firing.schedule.clone(), firing.due_at);
        if !runs(firing.fate) {
            continue;
        }
        for entry in &followers {
            let follows = entry.schedule.follows().find(|follows| follows.schedules.contains(&leader));
            let is_there = firings.iter().any(|known| known.schedule == entry.schedule.name && known.due_at == due_at);
            if let Some(follows) = follows.filter(|_| !is_there) {
                let decision = entry.schedule.within(Decision::on_time(due_at), entry.period(periods));
                let next_at = entry.schedule.next_after(now);
                firings.push(Firing { follows: Some(follows.clone()), ..entry.firing(decision, next_at, now) });
            }
        }
    }
    firings
}
