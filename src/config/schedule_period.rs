//! `period` and `outside_period` of a task: when its schedule counts.

use super::{period, section::Section};
use crate::domain::{period::Periods, schedule::Outside};

/// Reads both; they belong to a task that has a schedule.
pub(super) fn read(section: &mut Section<'_>, periods: &Periods) -> (Option<String>, Outside) {
    let period = period::named(section, "period", periods);
    section.renamed("outside", "outside_period");
    let outside_period = section.choice("outside_period", &[("skip", Outside::Skip), ("hold", Outside::Hold)]);
    if section.node("period").is_some() && section.node("schedule").is_none() {
        section.refuse("period", "it belongs to a `schedule`; a period of what is enqueued is that of its queue");
    }
    if section.node("outside_period").is_some() && section.node("period").is_none() {
        section.refuse("outside_period", "it belongs to a `period`");
    }
    (period, outside_period.unwrap_or_default())
}
