//! The status of a period at an instant: inside or outside, until when, and the ranges before and after.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{AHEAD, LARGEST_PIECE, LOOK_BACK, Period, spans::Span, times::TimeRange, wall_clock};

/// Whether an instant is inside a period, and until when that stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodStatus {
    /// The instant is inside.
    pub inside: bool,
    /// The next change. `None` if it never changes again.
    pub until: Option<DateTime<Utc>>,
}

/// The stretch between two ranges of a period, around an instant outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The excluded period or calendar without which the instant would be inside.
    pub excluded: Option<String>,
    /// When the period last ended. `None` if it never began before.
    pub ended: Option<Edge>,
    /// When the period next begins. `None` if it never does.
    pub begins: Option<Edge>,
}

/// An instant at which a period begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The part of the period that begins or ends.
    pub by: By,
}

/// A part of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A range of its own, in the notation of the configuration.
    Range(String),
    /// An included period or calendar.
    Included(String),
    /// An excluded period or calendar. Its end is the beginning here, and the reverse.
    Excluded(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Begin,
    End,
}

impl Period {
    /// Whether an instant is inside, and until when that stays so.
    pub fn status(&self, at: DateTime<Utc>) -> PeriodStatus {
        PeriodStatus { inside: self.is_inside(at), until: self.next_change(at) }
    }

    /// `outside period office until 2026-11-23 08:00:00Z`. `None` if the instant is inside.
    pub fn outside_in_words(&self, at: DateTime<Utc>) -> Option<String> {
        let status = self.status(at);
        let until = status.until.map(|until| format!("until {}", until.format("%Y-%m-%d %H:%M:%SZ")));
        let until = until.unwrap_or_else(|| "for good".to_owned());
        (!status.inside).then(|| format!("outside period {} {until}", self.name))
    }

    /// The stretch around an instant outside. `None` if the instant is inside.
    pub fn gap(&self, at: DateTime<Utc>) -> Option<Gap> {
        if self.is_inside(at) {
            return None;
        }
        let edge = |at: DateTime<Utc>, side| self.edge(at, side);
        Some(Gap {
            excluded: self.is_included(at).then(|| self.excluded_at(at)).flatten(),
            ended: self.last_end(at).map(|at| edge(at, Side::End)),
            begins: self.next_inside(at).map(|at| edge(at, Side::Begin)),
        })
    }

    /// The ranges around an instant outside, in words. `None` if the instant is inside.
    pub fn gap_in_words(&self, at: DateTime<Utc>) -> Option<String> {
        let gap = self.gap(at)?;
        let shown = |at: DateTime<Utc>| at.with_timezone(&self.zone).to_rfc3339_opts(SecondsFormat::AutoSi, false);
        let ended = gap.ended.map(|edge| match edge.by {
            By::Range(range) => format!("`{range}` ended at {}", shown(edge.at)),
            By::Included(other) => format!("{other} ended at {}", shown(edge.at)),
            By::Excluded(other) => format!("{other}, which is excluded, began at {}", shown(edge.at)),
        });
        let begins = gap.begins.map(|edge| match edge.by {
            By::Range(range) => format!("`{range}` begins at {}", shown(edge.at)),
            By::Included(other) => format!("{other} begins at {}", shown(edge.at)),
            By::Excluded(other) => format!("{other}, which is excluded, ends at {}", shown(edge.at)),
        });
        let excluded = gap.excluded.map(|other| format!("{other} is excluded; ")).unwrap_or_default();
        let ended = ended.unwrap_or_else(|| "no range precedes it".to_owned());
        let begins = begins.unwrap_or_else(|| "no range follows".to_owned());
        Some(format!("{excluded}{ended}, and {begins}"))
    }

    /// The last end of the period before `at`, which is outside.
    fn last_end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut end, mut length) = (at, TimeDelta::days(2));
        let earliest = at.checked_sub_signed(AHEAD)?;
        while end > earliest {
            let start = (end - length).max(earliest);
            if let Some(span) = self.spans(Span { start, end }).as_slice().last() {
                return Some(span.end);
            }
            end = start;
            length = (length * 2).min(LARGEST_PIECE);
        }
        None
    }

    /// Whether an instant would be inside without any exclusion.
    fn is_included(&self, at: DateTime<Utc>) -> bool {
        let moment = moment(at);
        self.own(moment).contains(at)
            || self.includes.iter().any(|other| other.is_inside(at))
            || self.include_ics.iter().any(|calendar| calendar.spans.contains(at))
    }

    fn excluded_at(&self, at: DateTime<Utc>) -> Option<String> {
        let period =
            self.excludes.iter().find(|other| other.is_inside(at)).map(|other| format!("period {}", other.name));
        let calendar = || self.exclude_ics.iter().find(|calendar| calendar.spans.contains(at));
        period.or_else(|| calendar().map(|calendar| format!("calendar {}", calendar.file)))
    }

    /// The part of the period that begins or ends at an instant.
    fn edge(&self, at: DateTime<Utc>, side: Side) -> Edge {
        // The last instant before: periods have a resolution of a second.
        let before = at - TimeDelta::seconds(1);
        let (without, with) = match side {
            Side::Begin => (before, at),
            Side::End => (at, before),
        };
        let period = || self.includes.iter().find(|other| other.is_inside(with) && !other.is_inside(without));
        let calendar = || {
            let changes = |spans: &super::Spans| spans.contains(with) && !spans.contains(without);
            self.include_ics.iter().find(|calendar| changes(&calendar.spans))
        };
        let included = || {
            let period = period().map(|other| format!("period {}", other.name));
            period.or_else(|| calendar().map(|calendar| format!("calendar {}", calendar.file)))
        };
        let own = self.range_at(at, side).map(By::Range);
        let by = own.or_else(|| included().map(By::Included));
        let by = by.or_else(|| self.excluded_at(without).map(By::Excluded));
        Edge { at, by: by.unwrap_or_else(|| By::Included(format!("period {}", self.name))) }
    }

    /// The period's own range that begins or ends at an instant.
    fn range_at(&self, at: DateTime<Utc>, side: Side) -> Option<String> {
        let today = wall_clock::date(self.zone, at);
        let first = today.checked_sub_days(LOOK_BACK).unwrap_or(today);
        let mut days = first.iter_days().take_while(|day| *day <= today);
        days.find_map(|day| {
            let edge = |time: &TimeRange| match side {
                Side::Begin => wall_clock::time_of(self.zone, day, time.begin),
                Side::End => wall_clock::time_of(self.zone, day, time.end),
            };
            let found = |time: &&TimeRange| edge(time) == at;
            self.counting(day).find_map(|rule| Some(format!("{} {}", rule.days.text, rule.times.iter().find(found)?)))
        })
    }
}

fn moment(at: DateTime<Utc>) -> Span {
    Span { start: at, end: at + TimeDelta::seconds(1) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono_tz::Tz;

    use super::*;
    use crate::domain::period::{PeriodDraft, resolve, tests::period};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn draft(name: &str, ranges: &[(&str, &str)]) -> PeriodDraft {
        let period = Period { name: name.to_owned(), ..period(Tz::Europe__Berlin, ranges) };
        PeriodDraft { period, includes: Vec::new(), excludes: Vec::new() }
    }

    /// Office hours without a holiday, and with a Saturday night.
    fn office() -> std::sync::Arc<Period> {
        let mut office = draft("office", &[("monday - friday", "09:00-12:00,13:00-17:00")]);
        office.excludes = vec!["holidays".to_owned()];
        office.includes = vec!["night".to_owned()];
        let holidays = draft("holidays", &[("2026-12-25", "00:00-24:00")]);
        let night = draft("night", &[("saturday", "22:00-23:00")]);
        let drafts: BTreeMap<String, PeriodDraft> =
            [office, holidays, night].map(|draft| (draft.period.name.clone(), draft)).into();
        resolve(&drafts).0.get("office").expect("the period").clone()
    }

    fn told(instant: &str) -> Option<String> {
        office().gap_in_words(at(instant))
    }

    #[test]
    fn the_ranges_around_an_instant_are_named() {
        assert_eq!(told("2026-11-23T10:00:00Z"), None);
        let lunch = "`monday - friday 09:00-12:00` ended at 2026-11-23T12:00:00+01:00, and `monday - friday 13:00-17:00` begins at \
                     2026-11-23T13:00:00+01:00";
        assert_eq!(told("2026-11-23T11:30:00Z").as_deref(), Some(lunch));
        let weekend = told("2026-11-21T10:00:00Z").expect("outside");
        assert!(weekend.starts_with("`monday - friday 13:00-17:00` ended at 2026-11-20T17:00:00+01:00"), "{weekend}");
        assert!(weekend.ends_with("and period night begins at 2026-11-21T22:00:00+01:00"), "{weekend}");
        let sunday = told("2026-11-22T10:00:00Z").expect("outside");
        assert!(sunday.starts_with("period night ended at 2026-11-21T23:00:00+01:00"), "{sunday}");
    }

    #[test]
    fn an_exclusion_is_named() {
        let holiday = told("2026-12-25T10:00:00Z").expect("outside");
        assert!(
            holiday.starts_with("period holidays is excluded; `monday - friday 13:00-17:00` ended at 2026-12-24"),
            "{holiday}"
        );
        let mut always = draft("always", &[("monday - sunday", "00:00-24:00")]);
        always.excludes = vec!["holidays".to_owned()];
        let drafts = [always, draft("holidays", &[("2026-12-25", "00:00-24:00")])];
        let drafts = drafts.map(|draft| (draft.period.name.clone(), draft)).into();
        let always = resolve(&drafts).0.get("always").expect("the period").clone();
        let expected = "period holidays is excluded; `monday - sunday 00:00-24:00` ended at 2026-12-25T00:00:00+01:00, and \
                        `monday - sunday 00:00-24:00` begins at 2026-12-26T00:00:00+01:00";
        assert_eq!(always.gap_in_words(at("2026-12-25T10:00:00Z")).as_deref(), Some(expected));
    }

    #[test]
    fn a_period_without_a_range_before_or_after_says_so() {
        let once = draft("once", &[("2026-11-20", "09:00-17:00")]).period;
        let after = once.gap_in_words(at("2026-11-23T10:00:00Z")).expect("outside");
        assert_eq!(after, "`2026-11-20 09:00-17:00` ended at 2026-11-20T17:00:00+01:00, and no range follows");
        assert_eq!(once.outside_in_words(at("2026-11-23T10:00:00Z")).as_deref(), Some("outside period once for good"));
        let before = once.gap_in_words(at("2026-11-19T10:00:00Z")).expect("outside");
        assert!(before.starts_with("no range precedes it, and `2026-11-20"), "{before}");
        let outside = "outside period once until 2026-11-20 08:00:00Z";
        assert_eq!(once.outside_in_words(at("2026-11-19T10:00:00Z")).as_deref(), Some(outside));
        assert_eq!(once.outside_in_words(at("2026-11-20T10:00:00Z")), None);
    }
}
