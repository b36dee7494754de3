//! `period` and `outside` of a task: when its schedule counts.

use super::{period, section::Section};
use crate::domain::{period::Periods, schedule::Outside};

/// Reads both; they belong to a task that has a schedule.
pub(super) fn read(section: &mut Section<'_>, periods: &Periods) -> (Option<String>, Outside) {
    let period = period::named(section, "period", periods);
    let outside = section.choice("outside", &[("skip", Outside::Skip), ("hold", Outside::Hold)]);
    if section.node("period").is_some() && section.node("schedule").is_none() {
        section.refuse("period", "it belongs to a `schedule`; a period of what is enqueued is that of its queue");
    }
    if section.node("outside").is_some() && section.node("period").is_none() {
        section.refuse("outside", "it belongs to a `period`");
    }
    (period, outside.unwrap_or_default())
}
