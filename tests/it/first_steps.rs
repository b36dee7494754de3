//! The first steps of the README, as a newcomer copies them into a shell.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::support::{Printed, document::blocks};

/// Runs a script of the README in that folder. Its first failure ends it.
fn bash(folder: &Path, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_sexton")).parent().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &format!("PATH=$PROGRAM:$PATH\n{script}")])
        .env("PROGRAM", program)
        .env_remove("SEXTON_CONFIG")
        .current_dir(folder);
    command.output().unwrap()
}

#[test]
fn the_first_schedule_runs() {
    let folder = tempfile::tempdir().unwrap();
    let script = blocks("README.md", "sh").into_iter().find(|block| block.starts_with("sexton init")).unwrap();
    let output = bash(folder.path(), &script);
    // Whatever came of it, no daemon stays behind.
    let stopped = bash(folder.path(), "sexton stop");
    assert!(output.status.success(), "{}{}", output.text(), output.errors());
    assert_eq!(output.errors(), "");
    assert!(stopped.status.success(), "{}", stopped.errors());
    let text = output.text();
    for word in ["no mistakes in sexton.toml", "hello, it is ", "succeeded"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_crontab_becomes_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let script = blocks("README.md", "sh").into_iter().find(|block| block.contains("crontab -l")).unwrap();
    // A crontab of its own, so that the account of the test needs none.
    let crontab = "crontab() { echo '30 2 * * * true --all'; }\nsexton init\n";
    let output =
        bash(folder.path(), &format!("{crontab}{script}\nsexton config check\nsexton schedule next true-all -n 1"));
    assert!(output.status.success(), "{}{}", output.text(), output.errors());
    assert!(output.text().contains("1 task"), "{}", output.text());
}

#[test]
fn the_files_of_the_container_image_are_there_and_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(root.join("config/container/Containerfile")).unwrap();
    let copied = file.lines().filter_map(|line| line.strip_prefix("COPY config/")).map(|rest| rest.split(' ').next());
    let mut tried = 0;
    for source in copied.flatten().map(|source| root.join("config").join(source)) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
        let output = command.args(["config", "check", "--config"]).arg(&source).output().unwrap();
        assert!(output.status.success(), "{}: {}", source.display(), output.errors());
        assert_eq!(output.errors(), "", "{}", source.display());
        tried += 1;
    }
    assert_eq!(tried, 1);
}
