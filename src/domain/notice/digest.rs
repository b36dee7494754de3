//! Digests: what a channel gathers, and tells at once.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sexton_entities::{
    problem,
    states::{NoticeAbout, ProblemKind, ProblemState},
};

use crate::domain::{
    cron::CronExpr,
    schedule::zone::{Dst, next_after},
};

/// When a channel tells what it has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// At each full hour.
    Hourly,
    /// At this time of each day.
    Daily(NaiveTime),
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").ok();
        let digest = match (words.next(), words.next()) {
            (Some("hourly"), None) => Some(Self::Hourly),
            (Some("daily"), Some(at)) => time(at).map(Self::Daily),
            _ => None,
        };
        digest
            .filter(|_| words.next().is_none())
            .ok_or_else(|| format!("`{text}` is not a digest: write \"daily 08:00\" or \"hourly\""))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily(at) => write!(f, "daily {}", at.format("%H:%M")),
        }
    }
}

impl Digest {
    /// The last instant of a digest up to `now`, on the wall clocks of that zone. A time that a clock change skips is made up
    /// for; one that it repeats counts once.
    pub fn last_at(self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let (text, longest) = match self {
            Self::Hourly => ("0 * * * *".to_owned(), TimeDelta::hours(2)),
            Self::Daily(at) => (format!("{} {} * * *", at.minute(), at.hour()), TimeDelta::hours(50)),
        };
        let expr = CronExpr::parse(&text, "digest").ok()?;
        let instants = std::iter::successors(Some(now - longest), |at| next_after(&expr, zone, Dst::Cron, *at));
        instants.skip(1).take_while(|at| *at <= now).last()
    }
}

/// Maximum number of characters of what happened.
const MAX_WHAT: usize = 300;

/// What became of a problem since the last digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemProgress {
    /// It began.
    New,
    /// It lasts.
    Lasting,
    /// It is over.
    Over,
}

/// One problem of a digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedProblem {
    /// What became of it.
    pub progress: ProblemProgress,
    /// Its number.
    pub problem: i64,
    /// What kind of thing it is of.
    pub kind: ProblemKind,
    /// The name of that thing.
    pub name: String,
    /// What happened last.
    pub what: String,
    /// How often it occurred.
    pub times: i64,
    /// When it began.
    pub opened_at: DateTime<Utc>,
    /// When it was over.
    pub closed_at: Option<DateTime<Utc>>,
}

impl ListedProblem {
    /// A problem with what became of it.
    pub fn new(progress: ProblemProgress, of: &problem::Model) -> Self {
        Self {
            progress,
            problem: of.id,
            kind: of.kind,
            name: of.name.clone(),
            what: of.what.chars().take(MAX_WHAT).collect(),
            times: of.times,
            opened_at: of.opened_at,
            closed_at: of.closed_at.filter(|_| of.state == ProblemState::Closed),
        }
    }
}

/// What became of a problem, by what was gathered about it, the earliest first; none if a later digest tells it.
pub fn progress(of: &problem::Model, gathered: &[NoticeAbout]) -> Option<ProblemProgress> {
    match gathered.last()? {
        NoticeAbout::Recovered => Some(ProblemProgress::Over),
        // It was over before it was told of.
        NoticeAbout::Opened if of.state == ProblemState::Closed && of.end_noticed => Some(ProblemProgress::Over),
        _ if gathered.contains(&NoticeAbout::Opened) => Some(ProblemProgress::New),
        _ if of.state == ProblemState::Closed => None,
        _ => Some(ProblemProgress::Lasting),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, problem},
        *,
    };

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn digests_are_read_and_shown() {
        for text in ["hourly", "daily 08:00", "daily 23:59"] {
            assert_eq!(text.parse::<Digest>().map(|digest| digest.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "daily", "daily 24:00", "daily 8", "hourly 08:00", "daily 08:00 09:00", "weekly"] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_due_on_the_wall_clock_of_its_zone() {
        let eight: Digest = "daily 08:00".parse().expect("a digest");
        let last = |now: &str, zone| eight.last_at(instant(now), zone);
        let berlin = Tz::Europe__Berlin;
        assert_eq!(last("2026-11-22T07:00:00Z", berlin), Some(instant("2026-11-22T07:00:00Z")));
        assert_eq!(last("2026-11-22T06:59:59Z", berlin), Some(instant("2026-11-21T07:00:00Z")));
        assert_eq!(last("2026-07-22T06:30:00Z", berlin), Some(instant("2026-07-22T06:00:00Z")), "in summer");
        let hourly = Digest::Hourly.last_at(instant("2026-11-22T07:59:00Z"), Tz::Asia__Kolkata);
        assert_eq!(hourly, Some(instant("2026-11-22T07:30:00Z")));
        // At half past two the clock goes from two to three.
        let skipped: Digest = "daily 02:30".parse().expect("a digest");
        let after = skipped.last_at(instant("2026-03-29T01:00:00Z"), berlin);
        assert_eq!(after, Some(instant("2026-03-29T01:00:00Z")), "made up for");
        // It goes from three to two: the first half past two counts.
        let repeated = skipped.last_at(instant("2026-10-25T01:45:00Z"), berlin);
        assert_eq!(repeated, Some(instant("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn each_problem_is_new_or_lasts_or_is_over() {
        use NoticeAbout::{Opened, Recovered, Reminder};
        let open = problem();
        let closed = problem::Model { state: ProblemState::Closed, closed_at: Some(at(9)), ..problem() };
        assert_eq!(progress(&open, &[Opened, Reminder]), Some(ProblemProgress::New));
        assert_eq!(progress(&open, &[Reminder, Reminder]), Some(ProblemProgress::Lasting));
        assert_eq!(progress(&closed, &[Opened, Recovered]), Some(ProblemProgress::Over));
        assert_eq!(progress(&open, &[Opened, Recovered, Opened]), Some(ProblemProgress::New), "it came back");
        assert_eq!(progress(&closed, &[Reminder]), None, "its end is settled later");
        assert_eq!(progress(&problem::Model { end_noticed: true, ..closed }, &[Opened]), Some(ProblemProgress::Over));
        assert_eq!(progress(&open, &[]), None);
    }
}
