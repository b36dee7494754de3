//! A folder without a configuration: nothing is created by looking, and the first configuration is written on request.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::Printed;

/// The binary in that directory, without a configuration of the test's own.
fn call(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
    command.current_dir(folder).args(arguments).env_remove("SEXTON_CONFIG");
    command.output().unwrap()
}

#[test]
fn without_a_configuration_no_command_creates_anything() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "summary",
        "history",
        "stop",
        "start",
        "reload",
        "run --once",
        "task list",
        "task add x",
        "schedule list",
        "queue list",
        "node list",
        "plan",
        "config check",
        "config show",
        "db migrate",
        "period list",
    ] {
        let output = call(folder.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(78), "{line}: {}", output.errors());
        let says = "no configuration: none of sexton.toml, config/sexton.toml, /etc/sexton/sexton.toml exists: name a \
                    file with --config, or write one with `sexton init`";
        assert!(output.errors().contains(says), "{line}: {}", output.errors());
        assert_eq!(output.text(), "", "{line}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{line}");
    }
    // Service managers know the exit codes of `status`: 4 means unknown.
    let status = call(folder.path(), &["status"]);
    assert_eq!(status.status.code(), Some(4));
    assert!(status.text().contains("no configuration: none of"), "{}", status.text());
}

#[test]
fn environment_variables_are_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
    command.current_dir(folder.path()).env_remove("SEXTON_CONFIG").env("SEXTON__DAEMON__WORKERS", "3");
    let output = command.args(["config", "check"]).output().unwrap();
    assert_eq!(output.text(), "no mistakes in the environment variables: 0 tasks, 1 queue\n", "{}", output.errors());
}

#[test]
fn the_first_configuration_is_sound_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let output = call(folder.path(), &["init"]);
    let next = "add your tasks to it, then `sexton config check` and `sexton run`";
    let place = fs::canonicalize(folder.path()).unwrap().join("var");
    let place = format!(
        "the paths in it are relative to the directory in which Sexton is started: from here, all its files are in {}",
        place.display()
    );
    assert_eq!(output.text(), format!("sexton.toml is written: {next}\n{place}\n"), "{}", output.errors());
    assert_eq!(call(folder.path(), &["config", "check"]).text(), "no mistakes in sexton.toml: 0 tasks, 1 queue\n");
    assert!(call(folder.path(), &["run", "--once"]).status.success());
    let file = folder.path().join("sexton.toml");
    // What stands behind the comments is sound, too.
    let text = fs::read_to_string(&file).unwrap();
    let is_setting = |line: &str| line.starts_with('[') || line.split(' ').nth(1) == Some("=");
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) && !setting.starts_with("url") => setting.to_owned(),
        _ => line.to_owned(),
    };
    fs::write(&file, text.lines().map(uncommented).collect::<Vec<_>>().join("\n")).unwrap();
    let checked = call(folder.path(), &["config", "check"]);
    // Two programs that are not there, and a queue that is not used yet.
    assert_eq!(checked.text(), "no mistakes in sexton.toml: 2 tasks, 2 queues; 3 warnings\n", "{}", checked.errors());
    let again = call(folder.path(), &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.errors().contains("sexton.toml exists already and stays as it is"), "{}", again.errors());
    assert!(call(folder.path(), &["init", "other.toml", "--json"]).json()["file"] == "other.toml");
}

#[test]
fn the_first_configuration_has_the_zone_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    for (zone, written) in [("Europe/Berlin", "Europe/Berlin"), ("Etc/UTC", "UTC"), ("no zone", "UTC")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
        let file = folder.path().join(written.replace('/', "-"));
        let _ = fs::remove_file(&file);
        let output = command.arg("init").arg(&file).env("TZ", zone).output().unwrap();
        assert!(output.status.success(), "{zone}: {}", output.errors());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("timezone = \"{written}\" "))), "{zone}: {text}");
    }
}
