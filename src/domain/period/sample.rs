//! Periods for tests.

use chrono_tz::Tz;

use super::{Draft, Period, Periods, Rule, read_times, resolve};

/// One period in UTC, with these times on these days.
pub(crate) fn sample(name: &str, days: &str, times: &str) -> Periods {
    let rule = Rule { days: days.parse().expect("days"), times: read_times(times).expect("times") };
    let period = Period {
        name: name.to_owned(),
        zone: Tz::UTC,
        rules: vec![rule],
        precedence: true,
        prefer_includes: true,
        includes: Vec::new(),
        excludes: Vec::new(),
        include_ics: Vec::new(),
        exclude_ics: Vec::new(),
    };
    let draft = Draft { period, includes: Vec::new(), excludes: Vec::new() };
    resolve(&[(name.to_owned(), draft)].into()).0
}
