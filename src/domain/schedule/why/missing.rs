//! Instants of which the ledger has no entry: the best cause that the tables know, or that they know none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sexton_entities::states::Fate;

use super::{Background, Became, InstantRecord, shown};
use crate::domain::{
    schedule::{
        PeriodPlace, Schedule,
        policy::{GRACE, coalesced},
    },
    text::duration,
};

impl Background<'_> {
    /// What became of an instant that nobody has entered.
    pub(super) fn without_entry(
        &self,
        at: DateTime<Utc>,
        expected: Option<bool>,
        known: &InstantRecord,
    ) -> (Became, String) {
        if expected == Some(false) {
            return (Became::NotExpected, self.around(at));
        }
        let Some(seen) = &self.seen else {
            return (Became::NotKnown, "no node has seen this schedule yet".to_owned());
        };
        let paused = if seen.paused { ", and the schedule is paused" } else { "" };
        if at > self.now {
            let wait = duration::text(Duration::from_secs((at - self.now).num_seconds().unsigned_abs()));
            let place = match self.schedule {
                Some(_) => self.place(at),
                None => ", and the configuration here does not have the schedule".to_owned(),
            };
            return (Became::Ahead, format!("{wait} ahead{place}{paused}"));
        }
        if at < seen.created_at {
            return (Became::NotRun, format!("it is newer, and was first seen at {}", shown(seen.created_at)));
        }
        if let Some(sum) = known.sum() {
            let place = self.schedule.map(|schedule| schedule.place(at, self.period));
            if place == Some(PeriodPlace::Skipped) {
                // The entry that stands for it may be that of one inside.
                let outside = self.place(at).trim_start_matches(", and it is skipped: ").to_owned();
                return (Became::Skipped, format!("{outside}; it is summed up in the entry of {}", shown(sum.due_at)));
            }
            let became = match sum.fate {
                Fate::Coalesced => Became::Coalesced,
                Fate::Skipped => Became::Skipped,
                Fate::Fired | Fate::Late => Became::NotRun,
            };
            let reason = sum.reason.as_deref().unwrap_or_default();
            return (
                became,
                format!("it is one of those that are summed up in the entry of {}: {reason}", shown(sum.due_at)),
            );
        }
        if at > seen.last_at && self.now - at <= GRACE {
            return (Became::Due, format!("and no node has entered it yet{}{paused}", self.place(at)));
        }
        if at > seen.last_at {
            let (became, cause) = self.nobody(at, &seen.spec);
            return (became, format!("nobody has entered it yet, {cause}{}{paused}", self.place(at)));
        }
        if self.now.signed_duration_since(at).to_std().is_ok_and(|age| age > self.keep) {
            let keep = duration::text(self.keep);
            return (Became::NotKnown, format!("its entry would be older than history is kept ({keep})"));
        }
        match known.next {
            // The schedule is further than its last entry: that happens in no other way.
            None => {
                let edited = format!("the schedule was edited, and began anew at {}", shown(seen.last_at));
                (Became::NotRun, format!("{edited}: nothing runs in retrospect"))
            }
            Some(_) => (
                Became::NotKnown,
                "nothing is on record of it; the schedule may have been written otherwise then".to_owned(),
            ),
        }
    }

    /// Why nobody has entered an instant that is long due.
    fn nobody(&self, at: DateTime<Utc>, spec: &str) -> (Became, String) {
        let mut up = self.nodes.iter().filter(|node| node.lease_expires_at > self.now);
        let Some(first) = up.clone().min_by_key(|node| node.started_at) else {
            return (Became::NotRun, "so no node was there that has this schedule; no daemon is running".to_owned());
        };
        let written = self.schedule.map(Schedule::spec).filter(|written| written != spec);
        if let Some(written) = written {
            let differ =
                format!("the daemons have the schedule as `{spec}`, and the configuration here as `{written}`");
            return (Became::NotRun, format!("because {differ}"));
        }
        if self.is_cron_off {
            return (Became::NotRun, "because the daemon module cron is disabled in the configuration here".to_owned());
        }
        let started = shown(first.started_at);
        if up.all(|node| node.started_at > at) {
            return (Became::NotRun, format!("and {} is the first daemon that is up, since {started}", first.id));
        }
        (Became::NotKnown, format!("though {} is up since {started}: it may not have this schedule", first.id))
    }

    /// What the period makes of an instant that has not been entered.
    fn place(&self, at: DateTime<Utc>) -> String {
        let Some(schedule) = self.schedule else { return String::new() };
        let name = schedule.period.as_deref().unwrap_or_default();
        match schedule.place(at, self.period) {
            PeriodPlace::Inside => String::new(),
            PeriodPlace::Skipped => format!(", and it is skipped: outside period {name}{}", self.gap(at)),
            PeriodPlace::Coalesced(into) => {
                format!(", and it is {}: outside period {name}{}", coalesced(into), self.gap(at))
            }
            PeriodPlace::Held(begin) => {
                format!(", and it is held until {}: outside period {name}{}", shown(begin), self.gap(at))
            }
        }
    }

    fn around(&self, at: DateTime<Utc>) -> String {
        match self.neighbours(at) {
            (Some(before), _, Some(after)) => {
                format!("its instants around it are {} and {}", shown(before), shown(after))
            }
            (None, _, Some(after)) => format!("its first instant is {}", shown(after)),
            (Some(before), _, None) => format!("its last instant is {}", shown(before)),
            (None, _, None) => match self.schedule.filter(|schedule| schedule.is_at_start()) {
                Some(_) => "it comes at each start of a daemon".to_owned(),
                None => "it has no instants at all".to_owned(),
            },
        }
    }
}
