//! `on_path` of a trigger: which files make an event, and when.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use glob::{MatchOptions, Pattern};

/// The names of events that are sent for files begin so; the name of the trigger follows.
pub const FILE_EVENTS: &str = "path.";

/// A `*` means what it means to a shell: no name with a dot at its beginning.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Which files make events of a trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct PathWatch {
    /// The files.
    pub paths: Vec<PathPattern>,
    /// When a file makes an event.
    pub moment: FileMoment,
    /// How long a file must stay the same until it is settled.
    pub settle: Duration,
    /// Whether all nodes see the same folder: then each file is one event in the cluster.
    pub is_shared: bool,
}

/// When a file makes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMoment {
    /// As soon as it is there.
    Created,
    /// As soon as it is there, and each time its content is another one.
    Changed,
    /// Once it has stayed the same for a time, and again after it has changed.
    Settled,
}

impl FileMoment {
    /// Every moment, with its word in the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("created", Self::Created), ("changed", Self::Changed), ("settled", Self::Settled)];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, moment)| *moment == self).map_or("settled", |(word, _)| word)
    }
}

/// A folder, and the names of files in it: `/srv/incoming/*.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPattern {
    folder: PathBuf,
    name: Pattern,
}

impl PathPattern {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a file of that name is meant. What is not UTF-8 in a name is one letter for each sequence of bad bytes.
    pub fn matches(&self, name: &OsStr) -> bool {
        self.name.matches_with(&name.to_string_lossy(), MATCHING)
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}`: the path must begin with `/`"));
        }
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
        if name.is_empty() {
            return Err(format!("`{text}`: the name of the files is missing; `{text}*` is all files of the folder"));
        }
        if let Some(found) = folder.chars().find(|letter| "*?[".contains(*letter)) {
            return Err(format!("`{text}`: `{found}` may stand behind the last `/` only: one path is one folder"));
        }
        if name == "." || name == ".." || name.contains("**") {
            return Err(format!("`{text}`: `{name}` is no name of files; folders in the folder are not watched"));
        }
        if let Some(found) = text.chars().find(|letter| letter.is_control()) {
            return Err(format!("`{}`: {found:?} is not allowed", text.escape_debug()));
        }
        let name = Pattern::new(name).map_err(|error| format!("`{text}`: {}", error.msg))?;
        Ok(Self { folder: if folder.is_empty() { "/".into() } else { folder.into() }, name })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder.join(self.name.as_str()).to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_pattern_means_the_files_that_a_shell_would_name() {
        let matches =
            |pattern: &str, name: &str| pattern.parse::<PathPattern>().expect(pattern).matches(OsStr::new(name));
        assert!(matches("/in/*.csv", "a.csv") && !matches("/in/*.csv", "a.csv.part") && !matches("/in/*.csv", "A.CSV"));
        assert!(!matches("/in/*", ".a.csv.x7Kq"), "what a program hides until it is whole");
        assert!(
            matches("/in/.*", ".a") && matches("/in/?[0-9].txt", "a7.txt") && matches("/in/a[[]1].csv", "a[1].csv")
        );
        let odd = "/in/*.csv".parse::<PathPattern>().expect("a pattern");
        assert!(odd.matches(OsStr::from_bytes(b"caf\xe9.csv")));
        assert_eq!((odd.folder(), odd.to_string().as_str()), (Path::new("/in"), "/in/*.csv"));
        assert_eq!("/flag".parse::<PathPattern>().expect("a pattern").folder(), Path::new("/"));
    }

    #[test]
    fn what_is_no_pattern_says_what_to_write() {
        let mistake = |text: &str| text.parse::<PathPattern>().expect_err(text);
        assert_eq!(mistake("in/*.csv"), "`in/*.csv`: the path must begin with `/`");
        assert_eq!(mistake("/in/"), "`/in/`: the name of the files is missing; `/in/*` is all files of the folder");
        assert_eq!(
            mistake("/in/*/a.csv"),
            "`/in/*/a.csv`: `*` may stand behind the last `/` only: one path is one folder"
        );
        assert!(mistake("/in/**").contains("folders in the folder are not watched"));
        assert!(mistake("/in/[a").starts_with("`/in/[a`: "));
    }
}
