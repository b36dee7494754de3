//! Rules of `sexton doctor`: facts about an installation become findings, each with its reason and what to do.

pub mod clock;
pub mod cluster;
pub mod directory;
pub mod limits;
pub mod mysql;
pub mod postgres;
pub mod rights;
pub mod server;
pub mod service;
pub mod sqlite;
pub mod tables;
pub mod transactions;

use std::fmt;

use serde::Serialize;

/// How much a finding matters. The order is that of the worst one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// All is well.
    Ok,
    /// Good to know.
    Note,
    /// It hurts under load, after a crash, or at the next change.
    Warning,
    /// Something does not work, or loses data.
    Error,
}

impl Gravity {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 4] = [Self::Error, Self::Warning, Self::Note, Self::Ok];

    /// The word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a look is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The configuration.
    Configuration,
    /// The database: that it answers, its version and settings.
    Database,
    /// What the role may do.
    Rights,
    /// The tables: their schema, sizes, dead rows and indexes.
    Tables,
    /// Transactions that last long.
    Transactions,
    /// The clock and time zones.
    Clock,
    /// Directories and their file systems.
    Directories,
    /// The unit of systemd.
    Systemd,
    /// Limits of processes.
    Limits,
    /// The channels of notices.
    Notices,
    /// Nodes, their daemons and open problems.
    Nodes,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Database => "database",
            Self::Rights => "rights",
            Self::Tables => "tables",
            Self::Transactions => "transactions",
            Self::Clock => "clock",
            Self::Directories => "directories",
            Self::Systemd => "systemd",
            Self::Limits => "limits",
            Self::Notices => "notices",
            Self::Nodes => "nodes",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// How much it matters.
    pub severity: Gravity,
    /// What it is about.
    pub area: Area,
    /// What was found, in a sentence.
    pub found: String,
    /// Why it matters; none if all is well.
    pub why: Option<String>,
    /// What to do: a command or a setting; none if there is nothing to do.
    pub remedy: Option<String>,
}

impl Diagnosis {
    /// All is well.
    pub fn ok(area: Area, found: impl Into<String>) -> Self {
        Self { severity: Gravity::Ok, area, found: found.into(), why: None, remedy: None }
    }

    /// Good to know.
    pub fn note(area: Area, found: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Gravity::Note, area, found, why, remedy)
    }

    /// It will hurt.
    pub fn warning(area: Area, found: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Gravity::Warning, area, found, why, remedy)
    }

    /// It does not work, or loses data.
    pub fn error(area: Area, found: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Gravity::Error, area, found, why, remedy)
    }

    /// A finding that says why it matters and what to do.
    pub fn new(
        severity: Gravity,
        area: Area,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity, area, found: found.into(), why: Some(why.into()), remedy: Some(remedy.into()) }
    }
}

/// A look that was not possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What it was about.
    pub area: Area,
    /// What was to be looked at.
    pub what: String,
    /// Why it was not possible.
    pub reason: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorReport {
    /// The findings.
    pub findings: Vec<Diagnosis>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

impl DoctorReport {
    /// Puts the worst findings first. Those of one severity are in the order of their areas.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.area));
        self.unseen.sort_by_key(|unseen| unseen.area);
    }

    /// The worst severity.
    pub fn worst(&self) -> Gravity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Gravity::Ok)
    }

    /// The number of findings of a severity.
    pub fn count(&self, severity: Gravity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_findings_come_first() {
        let mut report = DoctorReport::default();
        assert_eq!(report.worst(), Gravity::Ok);
        report.findings = vec![
            Diagnosis::ok(Area::Database, "fine"),
            Diagnosis::warning(Area::Nodes, "b", "", ""),
            Diagnosis::error(Area::Limits, "c", "", ""),
            Diagnosis::warning(Area::Database, "a", "", ""),
        ];
        report.sort();
        let order: Vec<&str> = report.findings.iter().map(|finding| finding.found.as_str()).collect();
        assert_eq!(order, ["c", "a", "b", "fine"]);
        assert_eq!((report.worst(), report.count(Gravity::Warning)), (Gravity::Error, 2));
    }

    #[test]
    fn words_in_tables_are_those_in_json() {
        for gravity in Gravity::WORST_FIRST {
            assert_eq!(serde_json::to_value(gravity).expect("JSON"), gravity.as_str());
        }
        assert_eq!(serde_json::to_value(Area::Systemd).expect("JSON"), Area::Systemd.to_string());
    }
}
