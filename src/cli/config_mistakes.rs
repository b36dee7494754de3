//! The mistakes in a configuration, for people and for programs.

use serde_json::{Value, json};

use super::{
    exit_code::BAD_CONFIG,
    output::{Printer, print_error},
    session::Session,
};
use crate::{
    config::{ConfigWarning, Mistake, Mistakes, SourceLocation},
    domain::text::plural::counted,
};

/// Prints mistakes, and returns the exit code.
pub(super) fn refuse(
    session: &Session,
    output: Printer,
    mistakes: &Mistakes,
    warnings: &[ConfigWarning],
) -> anyhow::Result<u8> {
    if output.is_json() {
        output.value(&mistakes.0.iter().map(mistake).chain(warnings.iter().map(warning)).collect::<Vec<_>>())?;
    } else {
        print_error!("{mistakes}");
        if let Some(file) = session.file() {
            print_error!("sexton: {} in {}", counted(mistakes.0.len(), "mistake"), file.display());
        }
    }
    Ok(BAD_CONFIG)
}

fn mistake(mistake: &Mistake) -> Value {
    object(&mistake.location, &mistake.setting, &mistake.problem, "mistake")
}

pub(super) fn warning(warning: &ConfigWarning) -> Value {
    object(&warning.location, &warning.setting, &warning.text, "warning")
}

fn object(location: &SourceLocation, setting: &str, problem: &str, severity: &str) -> Value {
    json!({ "file": location.source, "line": location.line, "setting": setting, "problem": problem,
            "severity": severity })
}
