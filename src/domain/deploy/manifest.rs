//! The text that is signed: a version of the configuration with everything that belongs to it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The form of the text. A node takes no other one.
const FORMAT: &str = "sexton-config-1";
/// Maximum number of bytes of the text. A statement with it passes the limit that MariaDB has by default.
pub const MAX_BYTES: usize = 8 * 1_024 * 1_024;
/// Maximum number of files of a version.
const MAX_FILES: usize = 200;
/// Maximum number of bytes of a note.
const MAX_NOTE: usize = 2_000;
/// Maximum number of bytes of the name of a file or a cluster.
const MAX_NAME: usize = 100;
/// The highest number: JSON programs read it exactly.
const MAX_NUMBER: i64 = 1 << 53;

/// One version of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    /// The cluster for which it was signed.
    pub cluster: String,
    /// Its number. A node takes only higher ones.
    pub number: i64,
    /// When it was signed, by the clock of its author.
    pub at: DateTime<Utc>,
    /// What its author says of it.
    pub note: Option<String>,
    /// Its files.
    pub files: Vec<DeployedFile>,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedFile {
    /// Its name, without a directory.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Manifest {
    /// A new version.
    pub fn new(cluster: &str, number: i64, at: DateTime<Utc>, note: Option<String>, files: Vec<DeployedFile>) -> Self {
        Self { format: FORMAT.to_owned(), cluster: cluster.to_owned(), number, at, note, files }
    }

    /// The text that is signed.
    ///
    /// # Errors
    /// If nodes would not take it, in words.
    pub fn to_text(&self) -> Result<String, String> {
        self.check()?;
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())? + "\n";
        match text.len() > MAX_BYTES {
            true => Err(format!("the version has {} bytes, and {MAX_BYTES} are allowed", text.len())),
            false => Ok(text),
        }
    }

    /// Reads a text whose signature was checked.
    ///
    /// # Errors
    /// If it is not such a text, in words.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| format!("it is no version: {error}"))?;
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err("it has a form that this version of Sexton does not know".to_owned());
        }
        if !(1..=MAX_NUMBER).contains(&self.number) {
            return Err(format!("the number {} is out of range, expected 1 to {MAX_NUMBER}", self.number));
        }
        if self.note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
            return Err(format!("the note has more than {MAX_NOTE} bytes"));
        }
        if !is_cluster_name(&self.cluster) {
            return Err("the name of its cluster is not valid".to_owned());
        }
        check_files(&self.files)
    }
}

/// Whether this can be the name of a cluster.
pub fn is_cluster_name(name: &str) -> bool {
    is_plain(name)
}

/// Letters, digits, dot, hyphen and underscore, which stand for themselves wherever they are shown.
fn is_plain(name: &str) -> bool {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && name.chars().all(is_known)
}

/// Checks the number of files and their names.
///
/// # Errors
/// What is wrong with them, in words.
pub fn check_files(files: &[DeployedFile]) -> Result<(), String> {
    if files.is_empty() || files.len() > MAX_FILES {
        return Err(format!("it has {} files, expected 1 to {MAX_FILES}", files.len()));
    }
    let mut names = BTreeSet::new();
    for DeployedFile { name, .. } in files {
        if !is_plain(name) || !name.ends_with(".toml") {
            return Err(format!(
                "the file name `{}` is not usable: up to {MAX_NAME} letters, digits, `.`, `-` and `_`, with `.toml` at the end",
                name.escape_debug()
            ));
        }
        if !names.insert(name) {
            return Err(format!("two files have the name {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> DeployedFile {
        DeployedFile { name: name.to_owned(), text: "[task.a]\nkind = \"noop\"\n".to_owned() }
    }

    #[test]
    fn a_version_is_read_as_it_was_written() {
        let version =
            Manifest::new("shop", 7, DateTime::UNIX_EPOCH, Some("why \u{1b}".to_owned()), vec![file("a.toml")]);
        let text = version.to_text().unwrap();
        assert!(!text.contains('\u{1b}'), "control characters are written as escapes");
        assert_eq!(Manifest::of_text(&text), Ok(version));
        for wrong in [
            text.replace("sexton-config-1", "sexton-config-2"),
            text.replace("\"number\": 7", "\"number\": 0"),
            text.replace("\"number\": 7", "\"number\": 7, \"number\": 8"),
            text.replace("\"number\": 7", "\"number\": 7, \"more\": 8"),
            text.replace("\"shop\"", "\"\""),
            format!("{text}x"),
        ] {
            assert!(Manifest::of_text(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_files_have_no_directories() {
        for wrong in ["../a.toml", "a/b.toml", ".a.toml", "a.conf", "", "a\n.toml"] {
            assert!(check_files(&[file(wrong)]).is_err(), "{wrong}");
        }
        assert!(check_files(&[]).is_err() && check_files(&[file("a.toml"), file("a.toml")]).is_err());
        assert!(check_files(&[file("a.toml"), file("B_1-2.toml")]).is_ok());
    }
}
