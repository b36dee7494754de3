//! The rules of the house, executed: levels, circles, sizes, names, words, and documents that name what exists.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/databases.rs"]
mod databases;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/public.rs"]
mod public;
#[path = "tidy/references.rs"]
mod references;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use crate::source::{CRATES, everything, production};

/// The longest file, without its inline test module.
const MAX_LINES: usize = 400;
/// Half of the production files are not longer than this.
const MAX_MEDIAN: usize = 120;
/// What stands for something that is yet to be done.
const UNDONE: [&str; 5] = ["todo!(", "unimplemented!(", "FIXME", "TODO", "#[ignore"];

#[test]
fn files_are_short() {
    let lines = |source: &source::Source| (source.production().lines().count(), source.path.clone());
    let longest = everything().iter().map(lines).max().unwrap();
    assert!(longest.0 <= MAX_LINES, "{} has {} lines: it is more than one thing", longest.1, longest.0);
    let mut lengths: Vec<usize> = production(&CRATES).iter().map(|source| lines(source).0).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MAX_MEDIAN, "half of the production files have more than {median} lines");
}

#[test]
fn the_fork_is_the_only_unsafe_call() {
    let unsafe_block = ["unsafe", " {"].concat();
    let with: Vec<(String, usize)> = everything()
        .iter()
        .map(|source| (source.path.clone(), source.text.matches(&unsafe_block).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(with, [("src/shepherd/fork.rs".to_owned(), 1)]);
}

#[test]
fn the_light_crate_has_no_daemon() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "-p", "sexton-client", "-e", "normal", "--prefix", "none", "--offline", "--locked"])
        .current_dir(source::root())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&tree.stdout);
    assert!(text.contains("sea-orm "), "{text}{}", String::from_utf8_lossy(&tree.stderr));
    for banned in ["sexton v", "actix", "saffron", "lettre", "clap", "hyper", "sexton-migration", "tracing-subscriber"]
    {
        let found = text.lines().find(|line| line.starts_with(banned));
        assert!(found.is_none(), "{}", found.unwrap_or_default());
    }
}

#[test]
fn nothing_is_left_undone() {
    for source in everything().iter().filter(|source| source.path != "tests/tidy.rs") {
        let found = UNDONE.iter().find(|word| source.text.contains(**word));
        assert!(found.is_none(), "{}: `{}`", source.path, found.unwrap_or(&""));
    }
}
