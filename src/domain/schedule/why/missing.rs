//! Instants without an entry in the ledger: the most likely cause that the tables show, or that they show none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sexton_entities::{occurrence, schedule, states::Fate};

use super::{Background, Became, InstantRecord, shown};
use crate::domain::{
    schedule::{
        AHEAD, PeriodPlace, Schedule,
        reason::{self, GRACE, Reason, StandsFor},
    },
    text::duration,
};

impl Background<'_> {
    /// What happened to an instant that no node has entered.
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
        let paused = match (seen.paused, seen.paused_until) {
            (true, Some(until)) if until <= at => String::new(),
            (true, Some(until)) => format!(", and the schedule is paused until {}", shown(until)),
            (true, None) => ", and the schedule is paused".to_owned(),
            (false, _) => String::new(),
        };
        if at > self.now {
            return (Became::Ahead, format!("{}{}{paused}", self.ahead(at), self.silence(seen)));
        }
        if at < seen.created_at {
            return (Became::NotRun, format!("the schedule is newer: it was first seen at {}", shown(seen.created_at)));
        }
        if let Some(standing) = known.standing() {
            return self.stood_for(at, standing);
        }
        if let Some(since) = self.all_paused_since.filter(|since| at > seen.last_at && *since <= at) {
            let paused =
                format!("everything is paused since {}: no schedule fires until `sexton resume`", shown(since));
            return (Became::Due, format!("and {paused}"));
        }
        if let Some(since) = self.maintenance_since.filter(|since| at > seen.last_at && *since <= at) {
            return (
                Became::Due,
                format!("and maintenance is on since {}: no schedule fires until it is over", shown(since)),
            );
        }
        if self.is_silent && at > seen.last_at {
            return (
                Became::Due,
                "and its task is disabled (`enabled = false`): it does not fire until that is changed".to_owned(),
            );
        }
        if at > seen.last_at && self.now - at <= GRACE {
            return (Became::Due, format!("and no node has entered it yet{}{paused}", self.place(at)));
        }
        if at > seen.last_at {
            let (became, cause) = self.not_entered(at, &seen.spec);
            return (became, format!("no node has entered it yet{cause}{}{paused}", self.place(at)));
        }
        self.not_on_record(at, seen, known)
    }

    /// An instant in the future.
    fn ahead(&self, at: DateTime<Utc>) -> String {
        let wait = duration::text(Duration::from_secs((at - self.now).num_seconds().unsigned_abs()));
        let place = match self.schedule {
            Some(_) => self.place(at),
            None => ", and the configuration here does not have the schedule".to_owned(),
        };
        format!("{wait} ahead{place}")
    }

    /// Why a schedule that is ahead of the time enters nothing, as the end of a sentence.
    fn silence(&self, seen: &schedule::Model) -> String {
        if seen.last_at <= self.now + GRACE {
            return String::new();
        }
        let until = shown(seen.last_at);
        let ahead = "but the schedule is ahead of the time, because a clock was";
        match seen.last_at > self.now + AHEAD {
            true => format!(", {ahead} (until {until}): module cron moves it back when it starts"),
            false => format!(", {ahead}: it is silent until {until}, so that nothing runs twice"),
        }
    }

    /// An instant that the entry of a later one accounts for.
    fn stood_for(&self, at: DateTime<Utc>, standing: &occurrence::Model) -> (Became, String) {
        let later = shown(standing.due_at);
        // That entry may be of an instant inside the period.
        if self.schedule.is_some_and(|schedule| schedule.place(at, self.period) == PeriodPlace::Skipped) {
            return (Became::Skipped, format!("{}; the entry of {later} stands for it", self.outside(at)));
        }
        let became = match standing.fate {
            Fate::Coalesced => Became::Coalesced,
            Fate::Skipped => Became::Skipped,
            Fate::Fired | Fate::Late => Became::NotRun,
        };
        let words = reason::sentence(Reason::of(standing).as_ref(), StandsFor::of(standing)).unwrap_or_default();
        (became, format!("the entry of {later} stands for it: {words}"))
    }

    /// Why an instant that is long due has no entry yet.
    fn not_entered(&self, at: DateTime<Utc>, spec: &str) -> (Became, String) {
        let mut up = self.nodes.iter().filter(|node| node.lease_expires_at > self.now);
        let Some(first) = up.clone().min_by_key(|node| node.started_at) else {
            return (Became::NotRun, ": no daemon with this schedule was running, and none is running now".to_owned());
        };
        let written = self.schedule.map(Schedule::spec).filter(|written| written != spec);
        if let Some(written) = written {
            let differ = format!(": the daemons have the schedule as `{spec}`, the configuration here as `{written}`");
            return (Became::NotRun, differ);
        }
        if self.is_cron_off {
            return (Became::NotRun, ": the configuration here disables the daemon module cron".to_owned());
        }
        let started = shown(first.started_at);
        if up.all(|node| node.started_at > at) {
            return (Became::NotRun, format!(": the first daemon that is up, {}, started at {started}", first.id));
        }
        let since = format!(", although {} has been up since {started}: it may not have this schedule", first.id);
        (Became::NotKnown, since)
    }

    /// An instant that the schedule has passed without an entry.
    fn not_on_record(&self, at: DateTime<Utc>, seen: &schedule::Model, known: &InstantRecord) -> (Became, String) {
        if self.now.signed_duration_since(at).to_std().is_ok_and(|age| age > self.keep) {
            let keep = duration::text(self.keep);
            return (Became::NotKnown, format!("its entry would be older than history is kept ({keep})"));
        }
        if seen.last_at > self.now + GRACE {
            return (Became::NotRun, self.silence(seen).trim_start_matches(", but ").to_owned());
        }
        if known.next.is_none() {
            // Only an edit moves a schedule beyond its last entry.
            let edited = format!("the schedule was edited and restarted at {}", shown(seen.last_at));
            return (Became::NotRun, format!("{edited}: instants before that do not run"));
        }
        (Became::NotKnown, "there is no record of it; the schedule may have been different then".to_owned())
    }

    /// What the period does with an instant that has no entry, as the end of a sentence.
    fn place(&self, at: DateTime<Utc>) -> String {
        let Some(schedule) = self.schedule else { return String::new() };
        match schedule.place(at, self.period) {
            PeriodPlace::Inside => String::new(),
            PeriodPlace::Skipped => format!(", and it is skipped: {}", self.outside(at)),
            PeriodPlace::Coalesced(into) => {
                format!(", and it is {}: {}", Reason::Coalesced { into }, self.outside(at))
            }
            PeriodPlace::Held(until) => {
                format!(", and it is {}{}", Reason::Held { until, period: self.period_name() }, self.gap(at))
            }
        }
    }

    /// That an instant is outside the period, with the ranges around it.
    fn outside(&self, at: DateTime<Utc>) -> String {
        format!("{}{}", Reason::OutsidePeriod { period: self.period_name() }, self.gap(at))
    }

    fn period_name(&self) -> String {
        self.schedule.and_then(|schedule| schedule.period.clone()).unwrap_or_default()
    }

    fn around(&self, at: DateTime<Utc>) -> String {
        match self.neighbours(at) {
            (Some(before), _, Some(after)) => {
                format!("the nearest instants are {} and {}", shown(before), shown(after))
            }
            (None, _, Some(after)) => format!("the first instant is {}", shown(after)),
            (Some(before), _, None) => format!("the last instant is {}", shown(before)),
            (None, _, None) => match self.schedule.filter(|schedule| schedule.is_at_start()) {
                Some(_) => "it runs at each start of a daemon".to_owned(),
                None if self.schedule.is_some_and(|schedule| schedule.follows().next().is_some()) => {
                    "it runs after other schedules, and has no instants of its own".to_owned()
                }
                None => "it has no instants at all".to_owned(),
            },
        }
    }
}
