//! A real bash completes commands, options and names by the script that `sexton completions bash` prints.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::Printed;

const CONFIG: &str = r#"
[database]
url = "sqlite://never/created.db"
[queue.reports]
workers = 1
[period.office]
ranges = { "monday - friday" = "09:00-17:00" }
[task.report]
command = ["true"]
schedule = "@daily"
queue = "reports"
[task.restore]
command = ["true"]
[module.listener]
command = ["true"]
"#;

/// What bash offers for a line of which the last word is being written.
fn offered(folder: &Path, line: &[&str]) -> Vec<String> {
    let output = bash(folder, line);
    assert_eq!(output.errors(), "", "{line:?}");
    output.text().lines().map(str::to_owned).collect()
}

fn bash(folder: &Path, line: &[&str]) -> Output {
    let script = r#"
        PATH=$PROGRAM:$PATH
        source <(sexton completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
        _clap_complete_sexton sexton "${COMP_WORDS[COMP_CWORD]}" ""
        [ "${#COMPREPLY[@]}" = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let program = Path::new(env!("CARGO_BIN_EXE_sexton")).parent().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "bash"])
        .args(line)
        .env("PROGRAM", program)
        .env_remove("SEXTON_CONFIG")
        .current_dir(folder);
    command.output().unwrap()
}

#[test]
fn bash_completes_commands_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("sexton.toml"), CONFIG).unwrap();
    assert_eq!(offered(at, &["sexton", "sched"]), ["schedule"]);
    assert_eq!(offered(at, &["sexton", "schedule", "wh"]), ["why"]);
    assert_eq!(offered(at, &["sexton", "task", "add", "re"]), ["report", "restore"]);
    assert_eq!(offered(at, &["sexton", "task", "add", "report", "--qu"]), ["--queue"]);
    assert_eq!(offered(at, &["sexton", "task", "add", "report", "--queue", ""]), ["default", "reports"]);
    assert_eq!(offered(at, &["sexton", "task", "move", "--queue", "reports", "--to", "d"]), ["default"]);
    assert_eq!(offered(at, &["sexton", "task", "cancel", "--schedule", ""]), ["report"]);
    assert_eq!(offered(at, &["sexton", "task", "list", "--state", "r"]), ["running", "retryable"]);
    assert_eq!(offered(at, &["sexton", "schedule", "pause", "r"]), ["report"]);
    assert_eq!(offered(at, &["sexton", "queue", "resume", "re"]), ["reports"]);
    assert_eq!(offered(at, &["sexton", "period", "check", "o"]), ["office"]);
    assert_eq!(offered(at, &["sexton", "module", "restart", "l"]), ["listener"]);
    assert_eq!(offered(at, &["sexton", "debug", "cr"]), ["cron"]);
    assert_eq!(offered(at, &["sexton", "history", "--name", "rep"]), ["report"]);
    assert_eq!(offered(at, &["sexton", "history", "--outcome", "succ"]), ["succeeded"]);
    // A name of one kind is offered for no other.
    assert_eq!(offered(at, &["sexton", "schedule", "pause", "rest"]), [""; 0]);
    // It reads the configuration, and nothing else: no database and no directory is made.
    let names: Vec<_> = fs::read_dir(at).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["sexton.toml"]);
}

#[test]
fn the_configuration_on_the_line_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("other.toml"), CONFIG).unwrap();
    assert_eq!(offered(at, &["sexton", "--config", "other.toml", "task", "add", "rep"]), ["report"]);
    assert_eq!(offered(at, &["sexton", "--config=other.toml", "task", "add", "rep"]), ["report"]);
    assert_eq!(offered(at, &["sexton", "--config", "oth"]), ["other.toml"]);
}

#[test]
fn mistakes_do_not_disturb_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Without a configuration there are no names.
    assert_eq!(offered(at, &["sexton", "task", "add", "re"]), [""; 0]);
    // With a mistake there are those that can be read.
    fs::write(at.join("sexton.toml"), format!("[daemon]\nworker = 3\n{CONFIG}")).unwrap();
    assert_eq!(offered(at, &["sexton", "task", "add", "rep"]), ["report"]);
    // What is no name could disturb the terminal, or mean something to the shell.
    let odd = "[task.\"re\\u001b[31m\"]\ncommand = [\"true\"]\n[task.\"re$(x)\"]\ncommand = [\"true\"]\n";
    fs::write(at.join("sexton.toml"), format!("{CONFIG}{odd}")).unwrap();
    assert_eq!(offered(at, &["sexton", "task", "add", "re"]), ["report", "restore"]);
    fs::write(at.join("sexton.toml"), "[task").unwrap();
    assert_eq!(offered(at, &["sexton", "task", "add", "re"]), [""; 0]);
    assert_eq!(offered(at, &["sexton", "nosuch", "thing", ""]).first().map(String::as_str), Some("run"));
}

#[test]
fn each_shell_has_a_script() {
    for (shell, word) in [("bash", "complete -o"), ("zsh", "#compdef sexton"), ("fish", "complete --keep-order")] {
        let output = Command::new(env!("CARGO_BIN_EXE_sexton")).args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && output.text().contains(word), "{shell}: {}", output.text());
    }
}
