//! The findings for people.

use super::super::output::{Printer, print_line};
use crate::domain::{
    doctor::{Diagnosis, DoctorReport, Gravity},
    text::{clean, plural::counted, wrap::wrapped},
};

/// The width of the columns before the sentences.
const INDENT: usize = 23;
/// Sentences are at least this wide.
const MIN_WIDTH: usize = 30;

pub(super) fn print(output: Printer, report: &DoctorReport) {
    for finding in &report.findings {
        print_finding(output, finding);
    }
    for unseen in &report.unseen {
        let text = format!("Could not look at {}: {}", unseen.what, unseen.reason);
        print_text(output, "?", &unseen.area.to_string(), &text);
    }
    print_line!("");
    let counts: Vec<String> = Gravity::WORST_FIRST
        .into_iter()
        .filter(|severity| *severity != Gravity::Ok && report.count(*severity) > 0)
        .map(|severity| counted(report.count(severity), severity.as_str()))
        .collect();
    let counts = if counts.is_empty() { "nothing wrong".to_owned() } else { counts.join(", ") };
    let well = match report.count(Gravity::Ok) {
        0 => String::new(),
        count => format!("; {} found nothing wrong", counted(count, "look")),
    };
    let unseen = match report.unseen.len() {
        0 => String::new(),
        count => format!("; {} not possible", counted(count, "look")),
    };
    print_line!("{counts}{well}{unseen}");
}

fn print_finding(output: Printer, finding: &Diagnosis) {
    print_text(output, finding.severity.as_str(), &finding.area.to_string(), &finding.found);
    for (label, text) in [("why", &finding.why), ("do", &finding.remedy)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            print_text(output, "", label, text);
        }
    }
}

/// Two short columns, and a text in as many lines as it needs. In a file a text has one line.
fn print_text(output: Printer, severity: &str, label: &str, text: &str) {
    let text = clean::one_line(text);
    let lines = match output.width() {
        Some(width) => wrapped(&text, width.saturating_sub(INDENT).max(MIN_WIDTH)),
        None => vec![text],
    };
    let (mut severity, mut label) = (severity, label);
    for line in lines {
        print_line!("{severity:<8} {label:<13} {line}");
        (severity, label) = ("", "");
    }
}
