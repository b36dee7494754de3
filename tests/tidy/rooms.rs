//! The rooms of `src` and of `client/src` and their levels: imports run downwards.

use std::collections::BTreeSet;

use crate::{
    references::Modules,
    source::{Source, production},
};

/// The rooms by level. A room may use the rooms of lower levels, and itself; rooms of one level do not know each other.
const LEVELS: [(&str, u8); 19] = [
    ("clock", 1),
    ("domain", 1),
    ("files", 1),
    ("principal", 1),
    ("config", 2),
    ("http_client", 2),
    ("import", 2),
    ("mail_client", 2),
    ("shepherd", 2),
    ("store", 2),
    ("telemetry", 2),
    ("typed_task", 2),
    ("client", 3),
    ("handler", 3),
    ("notice", 3),
    ("service", 3),
    ("daemon", 4),
    ("cli", 5),
    ("sexton", 6),
];
/// The crates that have rooms. Below the daemon's rooms are those of the client.
const CRATES_WITH_ROOMS: [&str; 2] = ["src", "client/src"];
/// The files that put the crate together.
const ROOTS: [&str; 2] = ["lib", "main"];
/// What the rules of `domain` must not touch: they neither wait nor read nor write.
const IMPURE: [&str; 9] =
    ["async ", ".await", "std::fs", "std::net", "tokio", "actix", "sea_orm::", "machine_time", "fastrand"];

fn level(room: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == room).map(|(_, level)| *level)
}

#[test]
fn every_room_has_a_level_and_every_level_a_room() {
    let sources = production(&CRATES_WITH_ROOMS);
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).filter(|room| !ROOTS.contains(room)).collect();
    let known: BTreeSet<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
    assert_eq!(rooms, known);
}

#[test]
fn imports_run_downwards_only() {
    for folder in CRATES_WITH_ROOMS {
        let faults = upward_imports(&production(&[folder]));
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

fn upward_imports(sources: &[Source]) -> Vec<String> {
    let modules = Modules::new(sources);
    let mut faults = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let Some(own) = level(source.room()) else { continue };
        for (used, item) in modules.references(index) {
            let other = sources[used].room();
            let is_allowed = other == source.room() || level(other).is_some_and(|theirs| theirs < own);
            if !is_allowed {
                faults.push(format!("{} (level {own}) uses {item} of {other} (level {:?})", source.path, level(other)));
            }
        }
    }
    faults
}

#[test]
fn an_upward_import_is_found() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let found = upward_imports(&[
        source("src/domain/a.rs", "fn f() { crate::store::open() }"),
        source("src/store/mod.rs", "use crate::{config::C, domain::a};\npub fn open() { a::f() }"),
        source("src/config/mod.rs", "pub struct C;"),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn rules_are_pure() {
    for source in production(&["src/domain", "src/import", "client/src/domain"]) {
        let code = source.code();
        let found = IMPURE.iter().find(|word| code.contains(**word));
        assert!(found.is_none(), "{}: a rule does not use `{}`", source.path, found.unwrap_or(&""));
    }
}

#[test]
fn actors_are_in_the_daemon_only() {
    for source in production(&CRATES_WITH_ROOMS).iter().filter(|source| source.room() != "daemon") {
        let code = source.code().replace("actix_rt::System::new", "");
        assert!(!code.contains("actix"), "{}: actors belong in src/daemon", source.path);
    }
}
