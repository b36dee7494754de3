//! `[period.NAME]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono_tz::Tz;

use super::{
    mistake::{Findings, SourcePlace},
    section::Section,
    tree::{TreeNode, TreeValue},
};
use crate::domain::period::{Calendar, Period, PeriodDraft, Periods, Rule, read_calendar, read_times, resolve};

/// A period as it was read, and where it names others.
pub(super) struct Reading {
    draft: PeriodDraft,
    includes: Option<SourcePlace>,
    excludes: Option<SourcePlace>,
}

pub(super) fn read(name: &str, section: &mut Section<'_>, zone: Tz) -> Reading {
    let path = format!("period.{name}");
    let zone = section.zone("timezone").unwrap_or(zone);
    let ranges = section.node("ranges");
    let period = Period {
        name: name.to_owned(),
        zone,
        rules: ranges.map(|node| rules(&path, node, section.findings)).unwrap_or_default(),
        precedence: section.flag("precedence").unwrap_or(true),
        prefer_includes: section.flag("prefer_includes").unwrap_or(true),
        includes: Vec::new(),
        excludes: Vec::new(),
        include_ics: calendars(section, "include_ics", zone),
        exclude_ics: calendars(section, "exclude_ics", zone),
    };
    let places = ["includes", "excludes"].map(|key| section.node(key).map(|node| node.place.clone()));
    let [includes, excludes] = places;
    let draft = PeriodDraft {
        period,
        includes: section.texts("includes").unwrap_or_default(),
        excludes: section.texts("excludes").unwrap_or_default(),
    };
    let says_when = ["ranges", "includes", "include_ics"].iter().any(|key| section.node(key).is_some());
    if !says_when {
        section.refuse("", "it never holds: say when in `ranges`, `includes` or `include_ics`");
    }
    Reading { draft, includes, excludes }
}

/// Joins the periods; names that lead nowhere or in a circle are mistakes.
pub(super) fn join(read: BTreeMap<String, Reading>, findings: &mut Findings) -> Periods {
    let drafts = read.iter().map(|(name, reading)| (name.clone(), reading.draft.clone())).collect();
    let (periods, faults) = resolve(&drafts);
    for fault in faults {
        let reading = read.get(&fault.period);
        let place = reading.and_then(|reading| match fault.setting {
            "includes" => reading.includes.as_ref(),
            _ => reading.excludes.as_ref(),
        });
        let nowhere = SourcePlace { source: "the configuration".to_owned(), line: None };
        findings.add(place.unwrap_or(&nowhere), format!("period.{}.{}", fault.period, fault.setting), fault.problem);
    }
    periods
}

/// That a setting names a period that there is.
pub(super) fn named(section: &mut Section<'_>, key: &'static str, periods: &Periods) -> Option<String> {
    let name = section.text(key)?;
    if periods.get(&name).is_none() {
        section.refuse(key, periods.unknown(&name));
    }
    Some(name)
}

fn rules(path: &str, node: &TreeNode, findings: &mut Findings) -> Vec<Rule> {
    let TreeValue::Table(entries) = &node.item else {
        let problem = format!("expected a table such as {{ monday = \"09:00-17:00\" }}, found {}", node.item.kind());
        findings.add(&node.place, format!("{path}.ranges"), problem);
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (written, times) in entries {
        let setting = format!("{path}.ranges.\"{written}\"");
        let days = written.parse().map_err(|misread| findings.add(&times.place, &setting, format!("{misread}")));
        let read = match &times.item {
            TreeValue::Text(text) => read_times(text).map_err(|misread| format!("\"{text}\": {misread}")),
            other => Err(format!("expected times such as \"09:00-17:00\", found {}", other.kind())),
        };
        let read = read.map_err(|problem| findings.add(&times.place, &setting, problem));
        if let (Ok(days), Ok(times)) = (days, read) {
            rules.push(Rule { days, times });
        }
    }
    rules
}

/// Reads calendars: one file, or a list of them, named as seen from the file of the configuration.
fn calendars(section: &mut Section<'_>, key: &'static str, zone: Tz) -> Vec<Calendar> {
    let Some(node) = section.node(key) else { return Vec::new() };
    let files = match &node.item {
        TreeValue::Text(file) => vec![file.clone()],
        TreeValue::List(_) => section.texts(key).unwrap_or_default(),
        other => {
            section.refuse(key, format!("expected the name of an ICS file, or a list of them, found {}", other.kind()));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for file in files {
        let path = beside(&node.place, &file);
        let read = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
        match read.and_then(|bytes| read_calendar(&String::from_utf8_lossy(&bytes), zone)) {
            Ok(spans) => found.push(Calendar { file: path.display().to_string(), spans }),
            Err(problem) => section.refuse(key, format!("{}: {problem}", path.display())),
        }
    }
    found
}

/// A file as it is named in the place.
fn beside(place: &SourcePlace, file: &str) -> PathBuf {
    // A variable of the environment has no folder: there, names are seen from where the program was started.
    let folder = place.line.and_then(|_| Path::new(&place.source).parent());
    let path = folder.unwrap_or(Path::new("")).join(file);
    std::path::absolute(&path).unwrap_or(path)
}
