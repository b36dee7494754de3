//! `expect` of a task: by when a run of its schedule must have succeeded.

use std::time::Duration;

use toml::Value;

use super::{
    section::Section,
    toml_values::{length, table},
    tree::TreeValue,
};
use crate::domain::schedule::expectation::{Expectation, GRACE};

/// The shortest time that can be expected: nodes look every few seconds.
const LEAST: Duration = Duration::from_secs(1);

/// The longest time that can be expected, ten years.
const MOST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Reads `expect = true`, `expect = { every = "26h" }` or `expect = { grace = "30m" }`. It needs a schedule.
pub(super) fn read(section: &mut Section<'_>, has_schedule: bool) -> Option<Expectation> {
    let expectation = match &section.node("expect")?.item {
        TreeValue::Flag(true) => Some(Expectation::EachInstant(GRACE)),
        TreeValue::Flag(false) => return None,
        TreeValue::Table(_) => section.table("expect", of_table).flatten(),
        other => {
            let problem =
                format!("expected true, {{ every = \"26h\" }} or {{ grace = \"30m\" }}, found {}", other.kind());
            section.refuse("expect", problem);
            None
        }
    };
    if !has_schedule {
        section.refuse("expect", "this setting needs a `schedule`");
    }
    expectation
}

fn of_table(section: &mut Section<'_>) -> Option<Expectation> {
    let mut time = |key| {
        let time = section.duration(key, LEAST)?;
        if time > MOST {
            section.refuse(key, "it is too long: the maximum is 10 years");
        }
        Some(time)
    };
    let every = time("every").map(Expectation::Every);
    let grace = time("grace").map(Expectation::EachInstant);
    match (section.node("every").is_some(), section.node("grace").is_some()) {
        (true, true) => section.refuse("grace", "only one of every and grace can be set"),
        (false, false) => section.refuse("", "expected `every` or `grace`, or `expect = true`"),
        _ => {}
    }
    every.or(grace)
}

/// The setting as TOML.
pub(super) fn show(expectation: Expectation) -> Value {
    match expectation {
        Expectation::Every(time) => table([("every", length(time))]).into(),
        Expectation::EachInstant(grace) => table([("grace", length(grace))]).into(),
    }
}
