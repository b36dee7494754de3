//! The settings `rate` and `burst` of queues and tasks.

use toml::{Table, Value};

use super::section::Section;
use crate::domain::task::rate::{Rate, RateLimit};

pub(super) fn read(section: &mut Section<'_>) -> Option<RateLimit> {
    let rate = match section.whole_number("rate") {
        Some(count) => {
            section.refuse("rate", format!("a number has no time: write \"{count}/1m\" for {count} in each minute"));
            None
        }
        None => section.parsed::<Rate>("rate"),
    };
    let burst = section.integer("burst", 1..=1_000_000);
    if rate.is_none() && burst.is_some() && section.node("rate").is_none() {
        section.refuse("burst", "this setting needs a `rate`");
    }
    rate.map(|rate| RateLimit::new(rate, burst))
}

pub(super) fn show(limit: Option<RateLimit>) -> Table {
    let Some(limit) = limit else { return Table::new() };
    let entries = [("rate", Value::from(limit.rate().to_string())), ("burst", i64::from(limit.burst()).into())];
    entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}
