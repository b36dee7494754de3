//! `[period.NAME]`.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::{
    beside::beside,
    mistake::{Findings, SourceLocation},
    section::Section,
    tree::{TreeNode, TreeValue},
};
use crate::domain::period::{Calendar, Period, PeriodDraft, Periods, Rule, read_calendar, read_times, resolve};

/// A period as it was read, and the locations of its references to other periods.
pub(super) struct ReadPeriod {
    draft: PeriodDraft,
    includes: Option<SourceLocation>,
    excludes: Option<SourceLocation>,
}

pub(super) fn read(name: &str, section: &mut Section<'_>, zone: Tz) -> ReadPeriod {
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
    let locations = ["includes", "excludes"].map(|key| section.node(key).map(|node| node.location.clone()));
    let [includes, excludes] = locations;
    let draft = PeriodDraft {
        period,
        includes: section.texts("includes").unwrap_or_default(),
        excludes: section.texts("excludes").unwrap_or_default(),
    };
    let has_times = ["ranges", "includes", "include_ics"].iter().any(|key| section.node(key).is_some());
    if !has_times {
        section.refuse("", "the period is always empty: set `ranges`, `includes` or `include_ics`");
    }
    ReadPeriod { draft, includes, excludes }
}

/// Resolves the references between the periods. Unknown names and circles are mistakes.
pub(super) fn join(read: BTreeMap<String, ReadPeriod>, findings: &mut Findings) -> Periods {
    let drafts = read.iter().map(|(name, reading)| (name.clone(), reading.draft.clone())).collect();
    let (periods, faults) = resolve(&drafts);
    for fault in faults {
        let reading = read.get(&fault.period);
        let location = reading.and_then(|reading| match fault.setting {
            "includes" => reading.includes.as_ref(),
            _ => reading.excludes.as_ref(),
        });
        let nowhere = SourceLocation { source: "the configuration".into(), line: None };
        findings.add(location.unwrap_or(&nowhere), format!("period.{}.{}", fault.period, fault.setting), fault.problem);
    }
    periods
}

/// A setting that names a period. An unknown name is a mistake.
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
        findings.add(&node.location, format!("{path}.ranges"), problem);
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (written, times) in entries {
        let setting = format!("{path}.ranges.\"{written}\"");
        let days = written.parse().map_err(|misread| findings.add(&times.location, &setting, format!("{misread}")));
        let read = match &times.item {
            TreeValue::Text(text) => read_times(text).map_err(|misread| format!("\"{text}\": {misread}")),
            other => Err(format!("expected times such as \"09:00-17:00\", found {}", other.kind())),
        };
        let read = read.map_err(|problem| findings.add(&times.location, &setting, problem));
        if let (Ok(days), Ok(times)) = (days, read) {
            rules.push(Rule { days, times });
        }
    }
    rules
}

/// Reads calendars: one file or a list of files. Their paths are relative to the configuration file.
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
        let path = match beside(&node.location, &file) {
            Ok(path) => path,
            Err(problem) => {
                section.refuse(key, problem);
                continue;
            }
        };
        let read = std::fs::read(&path).map_err(|error| format!("cannot read the file: {error}"));
        match read.and_then(|bytes| read_calendar(&String::from_utf8_lossy(&bytes), zone)) {
            Ok(spans) => found.push(Calendar { file: path.display().to_string(), spans }),
            Err(problem) => section.refuse(key, format!("{}: {problem}", path.display())),
        }
    }
    found
}
