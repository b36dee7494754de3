//! Schedules that run after others: each name must be that of a schedule, and no schedule may follow itself.
//! Those of the database can only be told once all of them are read.

use std::collections::{BTreeMap, BTreeSet};

use super::{mistake::Findings, tree::TreeNode};
use crate::domain::{schedule::Schedule, text::suggest};

/// Checks the schedules of the files.
pub(super) fn check<'a>(root: &TreeNode, schedules: impl Iterator<Item = &'a Schedule>, findings: &mut Findings) {
    let followed = followed(schedules);
    // One with a mistake of its own is no schedule yet, and no reason for a second mistake.
    let is_written =
        |name: &str| root.find(&["schedule", name]).is_some() || root.find(&["task", name, "schedule"]).is_some();
    let mut reported = BTreeSet::new();
    for (name, others) in &followed {
        let mut refuse = |problem: String| {
            let of_table = root.find(&["schedule", name]).is_some();
            let path = if of_table { ["schedule", name, "after"] } else { ["task", name, "schedule"] };
            findings.add(root.location_of(&path), path.join("."), problem);
        };
        for other in others.iter().filter(|other| !followed.contains_key(*other) && !is_written(other)) {
            refuse(format!("there is no schedule `{other}`{}", suggest::hint(other, followed.keys().copied())));
        }
        if let Some(way) = way_back(name, &followed)
            && reported.insert(way.iter().copied().collect::<BTreeSet<&str>>())
        {
            refuse(after_itself(&way));
        }
    }
}

/// The schedules that would run after themselves, each with the reason.
pub(super) fn circles<'a>(schedules: impl Iterator<Item = &'a Schedule>) -> Vec<(String, String)> {
    let followed = followed(schedules);
    let followers = followed.iter().filter(|(_, others)| !others.is_empty());
    let ways = followers.filter_map(|(name, _)| Some((*name, way_back(name, &followed)?)));
    ways.map(|(name, way)| (name.to_owned(), after_itself(&way))).collect()
}

fn after_itself(way: &[&str]) -> String {
    format!("the schedule would run after itself: {}", way.join(" after "))
}

/// Each schedule with those that it follows.
fn followed<'a>(schedules: impl Iterator<Item = &'a Schedule>) -> BTreeMap<&'a str, Vec<&'a str>> {
    schedules
        .map(|schedule| {
            let names = schedule.follows().flat_map(|follows| follows.schedules.iter().map(String::as_str));
            (schedule.name.as_str(), names.collect())
        })
        .collect()
}

/// A way from a schedule along those that it follows, back to itself.
fn way_back<'a>(start: &'a str, followed: &BTreeMap<&'a str, Vec<&'a str>>) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        let last = way.last().copied().unwrap_or(start);
        for next in followed.get(last).into_iter().flatten() {
            let longer = || way.iter().copied().chain([*next]).collect::<Vec<&str>>();
            if *next == start {
                return Some(longer());
            }
            if seen.insert(*next) {
                ways.push(longer());
            }
        }
    }
    None
}
