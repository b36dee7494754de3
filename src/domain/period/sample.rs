//! Periods for tests.

use chrono_tz::Tz;

use super::{Period, PeriodDraft, Periods, resolve, tests::period};

/// One period in UTC with one definition.
pub(crate) fn sample(name: &str, days: &str, times: &str) -> Periods {
    let period = Period { name: name.to_owned(), ..period(Tz::UTC, &[(days, times)]) };
    let draft = PeriodDraft { period, includes: Vec::new(), excludes: Vec::new() };
    resolve(&[(name.to_owned(), draft)].into()).0
}
