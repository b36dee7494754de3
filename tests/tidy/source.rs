//! The files of the repository, and how their text is read.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// The crates of the workspace.
pub(crate) const CRATES: [&str; 4] = ["src", "client/src", "entities/src", "migration/src"];

/// A Rust file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The text without its inline test module.
    pub(crate) fn production(&self) -> &str {
        let inline = self.text.match_indices("\n#[cfg(test)]\nmod ").find(|(start, found)| {
            let rest = &self.text[start + found.len()..];
            rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').starts_with(" {")
        });
        inline.map_or(&self.text, |(start, _)| &self.text[..start])
    }

    /// The production text with spaces in place of comments and of what is in quotes.
    pub(crate) fn code(&self) -> String {
        code(self.production())
    }

    /// The path below the folder `src` of its crate: of the daemon, or of the client.
    pub(crate) fn below_src(&self) -> &str {
        self.path.trim_start_matches("client/").trim_start_matches("src/")
    }

    /// The first folder or file below `src`.
    pub(crate) fn room(&self) -> &str {
        self.below_src().split(['/', '.']).next().unwrap_or_default()
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with an ending, as paths from the root.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
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

pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path: path.to_string_lossy().into_owned(),
    };
    paths.map(read).collect()
}

/// The production files of some crates: without the files that are modules of tests.
pub(crate) fn production(folders: &[&str]) -> Vec<Source> {
    let all = sources(folders);
    let tests: HashSet<String> = all.iter().flat_map(test_modules).collect();
    all.into_iter().filter(|source| !tests.contains(&source.path)).collect()
}

/// Every Rust file, tests and examples included.
pub(crate) fn everything() -> Vec<Source> {
    sources(&["src", "client/src", "entities/src", "migration/src", "tests", "examples", "benches", "fuzz"])
}

/// The files that a file declares as modules for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("/mod.rs") {
        Some(folder) => folder,
        None => source.path.trim_end_matches(".rs"),
    };
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1);
    let names = declared.filter_map(|rest| rest.lines().next()?.strip_suffix(';'));
    names.map(|name| format!("{folder}/{name}.rs")).collect()
}

/// Puts spaces in place of comments and of what is in quotes. Line breaks stay.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest, 1, "\""),
            'r' if raw_string(rest).is_some() && !ends_with_word(&code) => raw_string(rest).unwrap(),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn ends_with_word(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The length of a string that begins `start` bytes before its text.
fn quoted(text: &str, start: usize, end: &str) -> usize {
    let mut at = start;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(end) {
            return at + end.len();
        }
        let skipped = if rest.starts_with('\\') { 2 } else { 1 };
        at += rest.chars().take(skipped).map(char::len_utf8).sum::<usize>();
    }
    text.len()
}

/// The length of a raw string, if the text begins with one.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = 1 + hashes;
    text[start..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start + 1..].find(&end).map_or(text.len(), |found| start + 1 + found + end.len()))
}

/// The length of a character in quotes; zero for a lifetime.
fn character(text: &str) -> usize {
    let mut letters = text[1..].chars();
    match letters.next() {
        Some('\\') => quoted(text, 1, "'"),
        Some(letter) if letters.next() == Some('\'') => 2 + letter.len_utf8(),
        _ => 0,
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "let a = \"x // y\\\"\"; // use b\nlet c: &'a str = r#\"use \"d\"\"#; /* e */ let f = '\"';";
    let words: Vec<String> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words.join(" "), "let a = ; let c: &'a str = ; let f = ;");
}

#[test]
fn an_inline_test_module_is_no_production() {
    let source = |text: &str| Source { path: "a.rs".to_owned(), text: text.to_owned() };
    let both = source("one\n#[cfg(test)]\nmod samples;\ntwo\n#[cfg(test)]\nmod tests {\nthree");
    assert_eq!(both.production(), "one\n#[cfg(test)]\nmod samples;\ntwo");
    assert_eq!(test_modules(&both), ["a/samples.rs"]);
}
