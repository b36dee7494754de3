//! `period` and `outside_period` of a task: when its schedule may start it.

use super::{period, section::Section};
use crate::domain::{period::Periods, schedule::Outside};

/// Reads both. They need a schedule.
pub(super) fn read(section: &mut Section<'_>, periods: &Periods, has_schedule: bool) -> (Option<String>, Outside) {
    let period = period::named(section, "period", periods);
    section.renamed("outside", "outside_period");
    let outside_period = section.choice("outside_period", &[("skip", Outside::Skip), ("hold", Outside::Hold)]);
    if section.node("period").is_some() && !has_schedule {
        section.refuse("period", "this setting needs a `schedule`; for enqueued tasks, set the period of their queue");
    }
    if section.node("outside_period").is_some() && section.node("period").is_none() {
        section.refuse("outside_period", "this setting needs a `period`");
    }
    (period, outside_period.unwrap_or_default())
}
