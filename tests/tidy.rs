//! The rules of the house, executed: layers, sizes, words, and documents that name what exists.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Rust file: where it is, what it says.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// What is not tests: everything up to the inline test module.
    fn production(&self) -> &str {
        self.text.split("\n#[cfg(test)]").next().unwrap()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder with an ending, as paths from the root.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path: path.to_string_lossy().into_owned(),
    };
    paths.map(read).collect()
}

fn everything() -> Vec<Source> {
    sources(&["src", "entities/src", "migration/src", "tests", "examples", "benches"])
}

/// The rooms of `src`, by level: a room may use those below it. Rooms of one level do not know each other, but
/// for the client, which stands in the store's door.
const LEVELS: [(&str, u8); 13] = [
    ("clock", 1),
    ("domain", 1),
    ("files", 1),
    ("config", 2),
    ("store", 2),
    ("shepherd", 2),
    ("telemetry", 2),
    ("client", 3),
    ("handler", 3),
    ("service", 3),
    ("daemon", 4),
    ("cli", 5),
    ("sexton", 6),
];

fn level(room: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == room).map(|(_, level)| *level)
}

#[test]
fn imports_run_downwards_only() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        let room = source.path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        let Some(own) = level(&room) else {
            assert!(
                ["lib", "main"].contains(&room.as_str()),
                "{}: which room is this? LEVELS does not know it",
                source.path
            );
            continue;
        };
        for (other, theirs) in LEVELS.iter().filter(|(name, _)| *name != room) {
            let text = source.production();
            // `use crate::{a, b::c}` is read as well as `crate::a`.
            let in_group = text.match_indices("use crate::{").any(|(start, _)| {
                let group = &text[start..start + text[start..].find(';').unwrap()];
                group.lines().any(|line| {
                    line.trim_start().starts_with(&format!("{other}::")) || line.trim() == format!("{other},")
                })
            });
            let uses = in_group || text.contains(&format!("crate::{other}::"));
            let one_level = *theirs == own && !(room == "store" && *other == "clock");
            let is_allowed = *theirs < own || (one_level && room == "domain");
            if uses && !is_allowed {
                faults.push(format!("{} (level {own}) uses {other} (level {theirs})", source.path));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn rules_are_pure() {
    for source in sources(&["src/domain"]) {
        for banned in
            ["async ", ".await", "std::fs", "std::net", "tokio", "actix", "sea_orm::", "machine_time", "fastrand"]
        {
            assert!(!source.production().contains(banned), "{}: `{banned}` has no place among the rules", source.path);
        }
    }
}

#[test]
fn queries_stand_in_the_store_alone() {
    for source in sources(&["src"]).iter().filter(|source| !source.path.starts_with("src/store")) {
        let text = source.production();
        for banned in ["Statement::", "execute_raw", "execute_unprepared", "query_all", "EntityTrait"] {
            assert!(!text.contains(banned), "{}: `{banned}` belongs into the store", source.path);
        }
        assert!(!text.contains("DbBackend"), "{}: only the store knows which database it is", source.path);
    }
    let knowing: Vec<String> = sources(&["src/store"])
        .into_iter()
        .filter(|source| {
            source.production().contains("Dialect::Postgres") || source.production().contains("Self::Postgres")
        })
        .map(|source| source.path)
        .collect();
    let known = ["claim", "connect", "dialect", "finish", "future", "migrate", "tasks", "wakeup"];
    for path in knowing {
        assert!(
            known.iter().any(|name| path.ends_with(&format!("/{name}.rs"))),
            "{path} tells the databases apart: can dialect.rs?"
        );
    }
}

#[test]
fn values_reach_sql_as_parameters_only() {
    for source in sources(&["src/store"]) {
        let text = source.production();
        for banned in ["'{", "IN ({"] {
            assert!(!text.contains(banned), "{}: `{banned}…}}` puts a value into SQL text: bind it", source.path);
        }
        // Statements without parameters, which are constant: pragmas and the trigger. `connection` passes on what it gets.
        let is_allowed =
            ["connection", "migrate", "wakeup"].iter().any(|name| source.path.ends_with(&format!("/{name}.rs")));
        assert!(
            is_allowed || !text.contains("execute_unprepared"),
            "{}: execute_unprepared binds nothing",
            source.path
        );
    }
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
fn actors_stand_in_the_daemon_alone() {
    for source in sources(&["src"]).iter().filter(|source| !source.path.starts_with("src/daemon")) {
        let text = source.production().replace("actix_rt::System::new", "");
        assert!(!text.contains("actix"), "{}: actors belong into the daemon", source.path);
    }
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, String)> =
        everything().into_iter().map(|source| (source.production().lines().count(), source.path)).collect();
    lengths.sort();
    let (longest, path) = lengths.last().unwrap();
    assert!(*longest <= 400, "{path} has {longest} lines: it is more than one thing");
    let median = lengths[lengths.len() / 2].0;
    assert!(median <= 150, "half of the files have more than {median} lines");
}

#[test]
fn every_file_says_what_it_is() {
    for source in everything() {
        assert!(source.text.starts_with("//! "), "{} does not begin with a sentence about itself", source.path);
    }
    for source in sources(&["src", "entities/src", "migration/src"]) {
        let name = Path::new(&source.path).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["util", "utils", "helper", "helpers", "common", "misc", "imp"].contains(&name.as_str()),
            "{}",
            source.path
        );
    }
}

#[test]
fn one_word_for_one_thing() {
    // Whole words, in names and in prose.
    let banned = ["job", "jobs", "util", "utils", "helper", "helpers", "daemonize", "reap"];
    for source in sources(&["src", "entities/src", "migration/src"]) {
        // Libraries are called what they are called.
        let libraries = ["tokio_util", "hyper_util", "http_body_util", "subscriber::util::"];
        let text = libraries.iter().fold(source.text.clone(), |text, library| text.replace(library, ""));
        for (number, line) in text.lines().enumerate() {
            for word in line.split(|c: char| !c.is_alphanumeric()) {
                let word = word.to_lowercase();
                assert!(
                    !banned.contains(&word.as_str()),
                    "{}:{}: `{word}` is not a word of this house",
                    source.path,
                    number + 1
                );
            }
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    for source in everything().iter().filter(|source| source.path != "tests/tidy.rs") {
        for banned in ["todo!(", "unimplemented!(", "FIXME", "TODO", "#[ignore"] {
            assert!(!source.text.contains(banned), "{}: `{banned}`", source.path);
        }
    }
}

#[test]
fn documents_name_what_exists() {
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        // Paths in backticks, and links beside the document.
        for path in text.split('`').skip(1).step_by(2).filter(|path| is_path(path)) {
            assert!(root().join(path).exists(), "{}: `{path}` does not exist", document.display());
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let beside = root().join(&document).parent().unwrap().join(target);
                assert!(beside.exists(), "{}: the link to {target} leads nowhere", document.display());
            }
        }
    }
}

fn is_path(text: &str) -> bool {
    let folders = ["src/", "docs/", "tests/", "config/", "entities/", "migration/", "examples/", "benches/"];
    folders.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '*', '<', '{', '…'])
}
