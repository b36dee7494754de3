//! What the command line prints: tables and times for people, JSON for programs, nothing for the terminal itself.

mod documented;
mod explained;
mod terminal;

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::support::{Printed, sexton};

/// Calls the binary as a reader in Berlin would on a terminal of 80 columns.
fn call(file: &Path, arguments: &[&str]) -> Output {
    let mut command = sexton(file);
    command.env("COLUMNS", "80").env("TZ", "Europe/Berlin").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command.args(arguments).output().unwrap()
}

fn text(file: &Path, arguments: &[&str]) -> String {
    let output = call(file, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.text()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = call(file, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}
