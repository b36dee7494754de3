//! The words of code, comments and documents, and what a doc comment must say.

use std::{fs, path::PathBuf};

use crate::source::{CRATES, everything, files, production, root, sources};

/// Words that have another name in this house, or say nothing. In names and in prose, as whole words.
const BANNED: [&str; 8] = ["job", "jobs", "util", "utils", "helper", "helpers", "daemonize", "reap"];
/// Libraries are called what they are called.
const LIBRARIES: [&str; 4] = ["tokio_util", "hyper_util", "http_body_util", "subscriber::util::"];
/// Phrases of an earlier, stilted prose. Plain English has better ones.
const STILTED: [&str; 9] =
    ["anew", "whoever", "newly come", "is none", "is told", "are told", "in good order", "stood over", "is spoken"];

/// A text with one space between its words, in lower case, and the line on which each word begins. `joint` is a letter
/// that words may have.
fn flattened(text: &str, joint: Option<char>) -> (String, Vec<(usize, usize)>) {
    let (mut flat, mut lines) = (String::from(" "), Vec::new());
    let is_letter = |c: char| c.is_alphanumeric() || Some(c) == joint;
    for (number, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !is_letter(c)).filter(|word| !word.is_empty()) {
            lines.push((flat.len(), number + 1));
            flat.push_str(&word.to_lowercase());
            flat.push(' ');
        }
    }
    (flat, lines)
}

/// The places of some phrases in a text, as `PATH:LINE: phrase`. A phrase may go over the end of a line. A single word
/// is found in names as well (`start_anew`); several words are not, because `is_none` is no prose.
fn places(path: &str, text: &str, phrases: &[&str]) -> Vec<String> {
    let (words, names) = (flattened(text, None), flattened(text, Some('_')));
    let mut found = Vec::new();
    for phrase in phrases {
        let (flat, lines) = if phrase.contains(' ') { &names } else { &words };
        for (at, _) in flat.match_indices(&format!(" {phrase} ")) {
            let word = lines.partition_point(|(start, _)| *start <= at + 1);
            let line = lines.get(word.saturating_sub(1)).map_or(1, |(_, line)| *line);
            found.push(format!("{path}:{line}: {phrase}"));
        }
    }
    found
}

#[test]
fn one_word_for_one_thing() {
    let mut found = Vec::new();
    for source in sources(&CRATES) {
        let text = LIBRARIES.iter().fold(source.text.clone(), |text, library| text.replace(library, ""));
        found.extend(places(&source.path, &text, &BANNED));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_prose_is_plain() {
    let mut paths: Vec<PathBuf> = CRATES.iter().flat_map(|folder| files(folder, ".rs")).collect();
    paths.extend(files("docs", ".md"));
    paths.extend(files("config", ""));
    paths.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    let mut found = Vec::new();
    for path in paths {
        // A variable that earlier versions set keeps its name.
        let text = fs::read_to_string(root().join(&path)).unwrap().replace("SEXTON_STARTED_ANEW", "");
        found.extend(places(&path.to_string_lossy(), &text, &STILTED));
    }
    assert!(found.is_empty(), "{} places: {found:#?}", found.len());
}

#[test]
fn phrases_are_found_over_the_end_of_a_line() {
    let found = places("a.rs", "/// It is\n/// told, and `is_told` is not.\n", &["is told", "told"]);
    assert_eq!(found, ["a.rs:1: is told", "a.rs:2: told", "a.rs:2: told"]);
}

#[test]
fn every_file_begins_with_a_sentence_about_itself() {
    for source in everything() {
        assert!(source.text.starts_with("//! "), "{} does not begin with `//! `", source.path);
    }
}

#[test]
fn every_fallible_public_function_documents_its_errors() {
    let mut missing = Vec::new();
    let mut count = 0;
    for source in production(&["src"]) {
        for (line, name, docs) in fallible(source.production()) {
            count += 1;
            if !docs.contains("# Errors") {
                missing.push(format!("{}:{line}: {name}", source.path));
            }
        }
    }
    assert!(missing.is_empty(), "{} of {count} functions have no `# Errors`: {missing:#?}", missing.len());
}

/// The `pub fn … -> Result` of a file: the line, the name and the doc comment of each.
fn fallible(text: &str) -> Vec<(usize, String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = public_function(line) else { continue };
        let rest = lines[index..].join("\n");
        let signature = rest.split(['{', ';']).next().unwrap_or_default();
        let result = signature.rsplit_once("->").map_or("", |(_, result)| result.trim());
        if result.split(['<', ' ', '\n']).next().is_some_and(|outer| outer.ends_with("Result")) {
            let before = lines[..index].iter().rev().take_while(|line| is_attached(line));
            found.push((index + 1, name, before.copied().collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// The name, if the line begins a public function.
fn public_function(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = ["const ", "async "].iter().fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    let name = rest.strip_prefix("fn ")?;
    Some(name.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_owned())
}

/// Whether a line belongs to the item below it: a doc comment or an attribute.
fn is_attached(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("///") || line.starts_with("#[") || line.starts_with(")]")
}

#[test]
fn signatures_over_several_lines_are_read() {
    let text = "/// A.\n///\n/// # Errors\n/// Never.\n#[must_use]\npub async fn a<T>(\n    x: impl Fn() -> T,\n) -> io::Result<T> {\n}\n\
                \n/// B.\npub fn b() -> Result<(), String>\nwhere\n    X: Y,\n{\n}\n/// C.\npub fn c() -> Vec<Result<(), ()>> {\n}\n";
    let found: Vec<(String, bool)> =
        fallible(text).into_iter().map(|(_, name, docs)| (name, docs.contains("# Errors"))).collect();
    assert_eq!(found, [("a".to_owned(), true), ("b".to_owned(), false)]);
}
