//! Checks for a monitoring system, by the Monitoring Plugins guidelines: the worst state counts, and the answer is one
//! line with performance data.

pub mod metric;
pub mod range;

use std::fmt::{self, Write as _};

use serde::Serialize;

use self::metric::{Metric, MetricLimits, Thresholds};
use super::text::clean;

/// Maximum length of the sentences, in characters.
const MAX_TEXT: usize = 900;
/// Maximum length of one sentence, in characters.
const MAX_SENTENCE: usize = 300;
/// Maximum number of sentences that are shown.
const MAX_SENTENCES: usize = 8;

/// How bad it is. The order is that of the worst state: what is unknown is better than what is known to be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// All is well.
    Ok,
    /// It is not known.
    Unknown,
    /// Something needs attention.
    Warning,
    /// Something does not work.
    Critical,
}

impl Severity {
    /// The exit code of a plugin.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub state: Severity,
    /// What was found, in a sentence.
    pub text: String,
}

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredValue {
    /// What was measured.
    pub metric: Metric,
    /// The value, in the unit of the metric.
    pub value: f64,
    /// What is not well.
    pub limits: MetricLimits,
}

impl MeasuredValue {
    /// How bad the value is.
    pub fn severity(&self) -> Severity {
        let alerts = |range: Option<range::Range>| range.is_some_and(|range| range.alerts(self.value));
        match (alerts(self.limits.critical), alerts(self.limits.warning)) {
            (true, _) => Severity::Critical,
            (false, true) => Severity::Warning,
            (false, false) => Severity::Ok,
        }
    }

    /// `oldest_waiting=12s;300;3600;0`.
    fn performance_data(&self) -> String {
        let word = |range: Option<range::Range>| range.map(|range| range.to_string()).unwrap_or_default();
        let bound = |bound: Option<f64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let (low, high) = self.metric.bounds();
        let mut words = vec![word(self.limits.warning), word(self.limits.critical), bound(low), bound(high)];
        while words.last().is_some_and(String::is_empty) {
            words.pop();
        }
        words.insert(0, format!("{}={}{}", self.metric, rounded(self.value), self.metric.unit()));
        words.join(";")
    }
}

/// A value to three decimals. A zero has no sign.
pub fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0 + 0.0
}

/// What a check has found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The limits that count.
    pub thresholds: Thresholds,
    /// What was looked at, in the order in which it was.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub measures: Vec<MeasuredValue>,
    /// What could not be looked at, with the reason.
    pub unchecked: Vec<String>,
}

impl CheckReport {
    /// Nothing found yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, ..Self::default() }
    }

    /// Adds a finding.
    pub fn find(&mut self, state: Severity, text: impl Into<String>) {
        self.findings.push(Finding { state, text: text.into() });
    }

    /// Adds a value, and what it says. Returns how bad it is.
    pub fn measure(&mut self, metric: Metric, value: f64, text: impl Into<String>) -> Severity {
        let state = self.value(metric, value);
        self.find(state, text);
        state
    }

    /// Adds a value that is only mentioned if it is not well. Returns how bad it is.
    pub fn quietly(&mut self, metric: Metric, value: f64, text: impl Into<String>) -> Severity {
        let state = self.value(metric, value);
        if state > Severity::Ok {
            self.find(state, text);
        }
        state
    }

    fn value(&mut self, metric: Metric, value: f64) -> Severity {
        let measure = MeasuredValue { metric, value, limits: self.thresholds.of(metric) };
        self.measures.push(measure);
        measure.severity()
    }

    /// The worst state.
    pub fn state(&self) -> Severity {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(Severity::Unknown)
    }

    /// The sentences: what is not well, the worst first; or, if all is well, what was found.
    pub fn text(&self) -> String {
        let is_well = self.state() == Severity::Ok;
        let mut shown: Vec<&Finding> =
            self.findings.iter().filter(|finding| is_well || finding.state != Severity::Ok).collect();
        shown.sort_by_key(|finding| std::cmp::Reverse(finding.state));
        let more = shown.len().saturating_sub(MAX_SENTENCES);
        let mut sentences: Vec<String> =
            shown.iter().take(MAX_SENTENCES).map(|finding| clean::shortened(&finding.text, MAX_SENTENCE)).collect();
        if more > 0 {
            sentences.push(format!("and {more} more"));
        }
        if sentences.is_empty() {
            sentences.push("nothing could be checked".to_owned());
        }
        if !self.unchecked.is_empty() {
            sentences.push(format!("not checked: {}", self.unchecked.join(", ")));
        }
        clean::shortened(&plain(&sentences.join("; ")), MAX_TEXT)
    }

    /// The line that a plugin prints.
    pub fn line(&self) -> String {
        let mut line = format!("SEXTON {} - {}", self.state(), self.text());
        if !self.measures.is_empty() {
            let data: Vec<String> = self.measures.iter().map(MeasuredValue::performance_data).collect();
            let _ = write!(line, " | {}", data.join(" "));
        }
        line
    }
}

/// A text on one line, in which nothing looks like the beginning of performance data.
pub fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    clean::one_line(&lines.join("; ")).replace('|', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_state_counts_and_comes_first() {
        let mut report = CheckReport::default();
        assert_eq!((report.state(), report.text().as_str()), (Severity::Unknown, "nothing could be checked"));
        report.measure(Metric::Nodes, 2.0, "2 nodes");
        assert_eq!(report.line(), "SEXTON OK - 2 nodes | nodes=2;;1:;0");
        report.find(Severity::Unknown, "no idea");
        assert_eq!(report.state(), Severity::Unknown);
        report.measure(Metric::Problems, 3.0, "3 open problems");
        assert_eq!(report.state(), Severity::Warning);
        report.measure(Metric::DiskFree, 2.345_67, "2.3 % of the disk is free");
        report.unchecked.push("spool (Permission denied)".to_owned());
        assert_eq!(
            report.line(),
            "SEXTON CRITICAL - 2.3 % of the disk is free; 3 open problems; no idea; not checked: spool (Permission denied) \
             | nodes=2;;1:;0 problems=3;0;;0 disk_free=2.346%;10:;3:;0;100"
        );
    }

    #[test]
    fn each_state_has_the_exit_code_of_the_guidelines() {
        let all = [Severity::Ok, Severity::Warning, Severity::Critical, Severity::Unknown];
        assert_eq!(all.map(Severity::exit_code), [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_in_a_name_breaks_the_line_or_begins_performance_data() {
        let mut report = CheckReport::default();
        report.find(Severity::Critical, "task a|b=1\nOK\u{1b}[2J\u{0} fails");
        report.measure(Metric::ClockDifference, -0.000_01, "x");
        let line = report.line();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(line.matches('|').count(), 1);
        assert!(line.ends_with(" | clock_difference=0s;-2:2;-60:60"), "{line}");
    }

    #[test]
    fn a_line_has_a_limited_length() {
        let mut report = CheckReport::default();
        for number in 0..50 {
            report.find(Severity::Warning, format!("{number} {}", "x".repeat(40)));
        }
        assert!(report.text().ends_with("and 42 more"), "{}", report.text());
        report.find(Severity::Critical, "y".repeat(5_000));
        assert!(report.line().chars().count() < MAX_TEXT + 30, "{}", report.line());
    }
}
