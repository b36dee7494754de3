//! `missed`, `run_missed_between`, `overlap` … of a task: what happens with each instant of its schedule.

use std::time::Duration;

use chrono_tz::Tz;
use toml::{Table, Value};

use super::section::Section;
use crate::domain::{
    schedule::{
        Schedule,
        missed_policy::{Missed, Overlap, Policy, Window},
        recurrence::Recurrence,
    },
    text::duration,
};

const SETTINGS: [&str; 5] = ["missed", "missed_max", "missed_age", "run_missed_between", "overlap"];
const MISSED: [(&str, Missed); 3] = [("skip", Missed::Skip), ("last", Missed::Last), ("all", Missed::All)];
const OVERLAP: [(&str, Overlap); 3] = [("allow", Overlap::Allow), ("skip", Overlap::Skip), ("queue", Overlap::Queue)];

/// Reads the policy into the task's schedule. `zone` is the daemon's.
pub(super) fn read(section: &mut Section<'_>, zone: Tz, schedule: Option<Schedule>) -> Option<Schedule> {
    let zone = schedule.as_ref().and_then(own_zone).unwrap_or(zone);
    let default = Policy::default();
    let missed = section.choice("missed", &MISSED).unwrap_or(default.missed);
    let missed_max = section.integer("missed_max", 1..=1_000);
    if missed_max.is_some() && missed != Missed::All {
        section.refuse("missed_max", "this setting needs `missed = \"all\"`");
    }
    let missed_age = section.duration("missed_age", Duration::from_secs(60));
    section.renamed("window", "run_missed_between");
    let run_missed_between = section.text("run_missed_between").and_then(|text| {
        Window::parse(&text, zone).map_err(|problem| section.refuse("run_missed_between", problem)).ok()
    });
    let overlap = section.choice("overlap", &OVERLAP).unwrap_or(default.overlap);
    if schedule.is_none() {
        section.refuse_each(&SETTINGS, "this setting needs a `schedule`");
    }
    let missed_max = missed_max.unwrap_or(default.missed_max);
    let policy = Policy { missed, missed_max, missed_age, run_missed_between, overlap };
    schedule.map(|schedule| Schedule { policy, ..schedule })
}

/// The zone of the schedule, if it names one.
fn own_zone(schedule: &Schedule) -> Option<Tz> {
    schedule.recurrences.iter().find_map(Recurrence::zone)
}

/// The policy as TOML.
pub(super) fn show(policy: &Policy) -> Table {
    let word =
        |words: &[(&'static str, bool)]| words.iter().find(|(_, is_it)| *is_it).map(|(word, _)| Value::from(*word));
    let settings = [
        ("missed", word(&MISSED.map(|(word, missed)| (word, missed == policy.missed)))),
        ("missed_max", (policy.missed == Missed::All).then(|| Value::from(policy.missed_max as i64))),
        ("missed_age", policy.missed_age.map(|age| duration::text(age).into())),
        ("run_missed_between", policy.run_missed_between.map(|window| window.to_string().into())),
        ("overlap", word(&OVERLAP.map(|(word, overlap)| (word, overlap == policy.overlap)))),
    ];
    settings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
