//! What an operator switches: maintenance of the cluster, single definitions. And what payloads have to fit.

mod disabled;
mod maintenance;
mod read_only;
mod schemas;

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::support::{Printed, sexton};

fn call(file: &Path, arguments: &[&str]) -> Output {
    sexton(file).args(arguments).output().unwrap()
}

fn done(file: &Path, arguments: &[&str]) -> String {
    let output = call(file, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.text()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = call(file, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}

fn refused(file: &Path, arguments: &[&str]) -> String {
    let output = call(file, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", output.text());
    output.errors()
}
