//! Reads the sentences that the version before wrote into the ledger. No other code may read a sentence.

use chrono::{DateTime, NaiveTime, Utc};

/// What a sentence says, as the columns of the ledger.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Typed {
    pub(super) reason_code: Option<&'static str>,
    pub(super) late_ms: Option<i64>,
    pub(super) coalesced_into: Option<DateTime<Utc>>,
    pub(super) held_until: Option<DateTime<Utc>>,
    pub(super) period: Option<String>,
    pub(super) blocked_by: Option<DateTime<Utc>>,
    pub(super) missed_max: Option<i64>,
    pub(super) missed_age_ms: Option<i64>,
    pub(super) window_from: Option<NaiveTime>,
    pub(super) window_to: Option<NaiveTime>,
    pub(super) window_at: Option<NaiveTime>,
    pub(super) window_timezone: Option<String>,
    pub(super) stands_for: i64,
    pub(super) stands_for_more: bool,
    /// The sentence itself, if it could not be read.
    pub(super) unread: Option<String>,
}

/// A lateness with a cause was above this, although its sentence dropped the milliseconds.
const GRACE_MS: i64 = 60_000;

impl Typed {
    /// Reads a sentence. One that cannot be read keeps its text and the code `other`.
    pub(super) fn read(sentence: &str) -> Self {
        let whole = || Self::reason(sentence);
        let read = match others(sentence) {
            Some((reason, count, is_more)) => Self::reason(reason)
                .map(|typed| Self { stands_for: count, stands_for_more: is_more, ..typed })
                .or_else(whole),
            None => whole(),
        };
        read.unwrap_or_else(|| Self { unread: Some(sentence.to_owned()), ..code("other") })
    }

    /// Reads a sentence without the instants that it stands for.
    fn reason(sentence: &str) -> Option<Self> {
        match sentence {
            "on time" => return Some(Self::default()),
            "the schedule is paused" => return Some(code("paused")),
            "missed: no node entered it in time, and missed runs are skipped" => return Some(code("missed")),
            _ => {}
        }
        let after = |start: &str| sentence.strip_prefix(start);
        if let Some(period) = after("outside period ") {
            Some(Self { period: Some(period.to_owned()), ..code("outside_period") })
        } else if let Some(rest) = after("held until ") {
            let (until, period) = rest.split_once(": outside period ")?;
            Some(Self { held_until: Some(instant(until)?), period: Some(period.to_owned()), ..code("held") })
        } else if let Some(into) = after("coalesced into the run of ") {
            Some(Self { coalesced_into: Some(instant(into)?), ..code("coalesced") })
        } else if let Some(rest) = after("queued: the run of ") {
            queued(rest)
        } else if let Some(rest) = after("the run of ") {
            let unfinished = instant(rest.strip_suffix(" is not finished")?)?;
            Some(Self { blocked_by: Some(unfinished), ..code("overlap") })
        } else if sentence.starts_with("late by ") {
            Some(Self { late_ms: Some(lateness(sentence)?), ..code("late") })
        } else if let Some(rest) = after("missed too old: by ") {
            let (by, limit) = rest.strip_suffix(" is allowed")?.split_once(", at most ")?;
            Some(Self { late_ms: Some(millis(by)?), missed_age_ms: Some(millis(limit)?), ..code("missed_age") })
        } else if let Some(rest) = after("missed, and only the latest ") {
            let max = rest.strip_suffix(" are made up for")?.parse().ok()?;
            Some(Self { missed_max: Some(max), ..code("missed_max") })
        } else {
            window(after("missed, and ")?)
        }
    }
}

fn code(code: &'static str) -> Typed {
    Typed { reason_code: Some(code), ..Typed::default() }
}

/// Splits `REASON; and more than 10000 before it`: the reason, the number, and whether there are more.
fn others(sentence: &str) -> Option<(&str, i64, bool)> {
    let (reason, count) = sentence.strip_suffix(" before it")?.rsplit_once("; and ")?;
    let (count, is_more) = count.strip_prefix("more than ").map_or((count, false), |count| (count, true));
    Some((reason, count.parse().ok().filter(|count| *count > 0)?, is_more))
}

/// Reads `T is not finished`, perhaps with `; late by …` behind it.
fn queued(rest: &str) -> Option<Typed> {
    let (unfinished, late) = rest.split_once(" is not finished")?;
    let late_ms = match late {
        "" => None,
        late => Some(lateness(late.strip_prefix("; ")?)?),
    };
    Some(Typed { blocked_by: Some(instant(unfinished)?), late_ms, ..code("queued") })
}

/// Reads `04:00 is outside the window 05:00-06:00 Europe/Berlin`.
fn window(rest: &str) -> Option<Typed> {
    let (at, rest) = rest.split_once(" is outside the window ")?;
    let (window, zone) = rest.split_once(' ')?;
    let (from, to) = window.split_once('-')?;
    let time = |text| NaiveTime::parse_from_str(text, "%H:%M").ok();
    let is_zone = !zone.is_empty() && zone.len() <= 64;
    is_zone.then_some(Typed {
        window_from: Some(time(from)?),
        window_to: Some(time(to)?),
        window_at: Some(time(at)?),
        window_timezone: Some(zone.to_owned()),
        ..code("missed_window")
    })
}

/// Reads `late by 3m: no node entered it in time`, in milliseconds.
fn lateness(sentence: &str) -> Option<i64> {
    let rest = sentence.strip_prefix("late by ")?;
    match rest.strip_suffix(": no node entered it in time") {
        Some(by) => Some(millis(by)?.max(GRACE_MS + 1)),
        None => millis(rest),
    }
}

/// Reads `1h 30m`, in milliseconds.
fn millis(text: &str) -> Option<i64> {
    i64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-21T10:00:00+00:00";

    fn at() -> Option<DateTime<Utc>> {
        instant(AT)
    }

    fn time(hour: u32, minute: u32) -> Option<NaiveTime> {
        NaiveTime::from_hms_opt(hour, minute, 0)
    }

    #[test]
    fn every_sentence_of_the_version_before_is_read() {
        let office = || Some("office hours".to_owned());
        let expected = [
            ("late by 30s".to_owned(), Typed { late_ms: Some(30_000), ..code("late") }),
            (
                "late by 1day 2h 3s: no node entered it in time".to_owned(),
                Typed { late_ms: Some(93_603_000), ..code("late") },
            ),
            ("late by 1m: no node entered it in time".to_owned(), Typed { late_ms: Some(60_001), ..code("late") }),
            ("missed: no node entered it in time, and missed runs are skipped".to_owned(), code("missed")),
            (
                "missed, and only the latest 24 are made up for".to_owned(),
                Typed { missed_max: Some(24), ..code("missed_max") },
            ),
            (
                "missed too old: by 4m, at most 2m 30s is allowed".to_owned(),
                Typed { late_ms: Some(240_000), missed_age_ms: Some(150_000), ..code("missed_age") },
            ),
            (
                "missed, and 04:07 is outside the window 22:00-00:00 Europe/Berlin".to_owned(),
                Typed {
                    window_from: time(22, 0),
                    window_to: time(0, 0),
                    window_at: time(4, 7),
                    window_timezone: Some("Europe/Berlin".to_owned()),
                    ..code("missed_window")
                },
            ),
            (format!("the run of {AT} is not finished"), Typed { blocked_by: at(), ..code("overlap") }),
            (format!("queued: the run of {AT} is not finished"), Typed { blocked_by: at(), ..code("queued") }),
            (
                format!("queued: the run of {AT} is not finished; late by 3m: no node entered it in time"),
                Typed { blocked_by: at(), late_ms: Some(180_000), ..code("queued") },
            ),
            (format!("coalesced into the run of {AT}"), Typed { coalesced_into: at(), ..code("coalesced") }),
            (
                format!("held until {AT}: outside period office hours"),
                Typed { held_until: at(), period: office(), ..code("held") },
            ),
            ("outside period office hours".to_owned(), Typed { period: office(), ..code("outside_period") }),
            ("the schedule is paused".to_owned(), code("paused")),
        ];
        for (sentence, typed) in expected {
            assert_eq!(Typed::read(&sentence), typed, "{sentence}");
            let many = Typed::read(&format!("{sentence}; and more than 10000 before it"));
            assert_eq!(many, Typed { stands_for: 10_000, stands_for_more: true, ..typed }, "{sentence}");
        }
        assert_eq!(Typed::read("on time; and 7 before it"), Typed { stands_for: 7, ..Typed::default() });
        let fraction = Typed::read("coalesced into the run of 2026-11-21T10:00:00.250+00:00").coalesced_into;
        assert_eq!(fraction.map(|at| at.timestamp_subsec_millis()), Some(250));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_text() {
        for sentence in [
            "",
            "by hand",
            "; and 7 before it",
            "late by a while",
            "late by 30s; and some before it",
            "the run of yesterday is not finished",
            "queued: the run of 2026-11-21T10:00:00+00:00 is not finished, and late",
            "held until noon: outside period office",
            "held until 2026-11-21T10:00:00+00:00",
            "coalesced into the run of X; and 7 before it",
            "missed, and 4 is outside the window 5-6 Europe/Berlin",
            "missed, and 04:00 is outside the window 05:00-06:00 ",
            "missed, and only the latest few are made up for",
            "missed too old: by 4m",
        ] {
            let typed = Typed::read(sentence);
            assert_eq!(typed, Typed { unread: Some(sentence.to_owned()), ..code("other") }, "{sentence}");
        }
    }

    #[test]
    fn a_period_may_have_any_name() {
        let name = "days; and nights before it";
        assert_eq!(Typed::read(&format!("outside period {name}")).period.as_deref(), Some(name));
    }
}
