//! `schedule = …` of a task: a crontab expression, a table, or a list of either.

use std::time::Duration;

use chrono_tz::Tz;

use super::{
    mistake::Mistakes,
    section::Section,
    tree::{Item, Node},
};
use crate::domain::{cron::CronExpr, recurrence::Recurrence};

/// Reads the recurrences; notes what is wrong with them.
pub(super) fn read(path: &str, node: &Node, zone: Tz, mistakes: &mut Mistakes) -> Vec<Recurrence> {
    match &node.item {
        Item::List(items) if items.is_empty() => {
            mistakes.add(&node.place, path, "the list is empty: leave it out for a task without a schedule");
            Vec::new()
        }
        Item::List(items) => items.iter().filter_map(|item| one(path, item, zone, mistakes)).collect(),
        _ => one(path, node, zone, mistakes).into_iter().collect(),
    }
}

fn one(path: &str, node: &Node, zone: Tz, mistakes: &mut Mistakes) -> Option<Recurrence> {
    match &node.item {
        Item::Text(text) => match text.parse::<CronExpr>() {
            Ok(expr) => Some(Recurrence::Cron { expr, zone }),
            Err(error) => {
                mistakes.add(&node.place, path, error.to_string());
                None
            }
        },
        Item::Table(_) => {
            let mut section = Section::new(path, node, mistakes);
            let recurrence = table(&mut section, zone);
            section.finish();
            recurrence
        }
        other => {
            let problem = format!(
                "expected a crontab expression, {{ cron = … }}, {{ every = … }} or a list, found {}",
                other.kind()
            );
            mistakes.add(&node.place, path, problem);
            None
        }
    }
}

fn table(section: &mut Section<'_>, zone: Tz) -> Option<Recurrence> {
    let expr = section.parsed::<CronExpr>("cron");
    let every = section.span("every", Duration::from_millis(100));
    let own_zone = section.zone("timezone");
    let (has_cron, has_every) = (section.node("cron").is_some(), section.node("every").is_some());
    match (has_cron, has_every) {
        (true, false) => Some(Recurrence::Cron { expr: expr?, zone: own_zone.unwrap_or(zone) }),
        (false, true) => {
            if own_zone.is_some() {
                section.refuse("timezone", "an interval has no zone: it follows real time");
            }
            every.map(Recurrence::Every)
        }
        _ => {
            section.refuse("", "expected either `cron` or `every`");
            None
        }
    }
}
