//! What the daemon logs, and the format of a log line.

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// When a log file is rotated: renamed, and a new one begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// With the first line of each day, in UTC.
    #[default]
    Daily,
    /// Before the file grows beyond this number of bytes.
    Size(u64),
}

/// The names of the levels, from the least to the most verbose.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The directives of a log filter. A bare level applies to Sexton's events; of other crates, warnings and errors are
/// logged.
///
/// # Errors
/// If the filter is a single word that is not a level: as a directive it would silently mean something else.
pub fn directives(filter: &str) -> Result<String, String> {
    let word = filter.trim().to_lowercase();
    if LEVELS.contains(&word.as_str()) {
        return Ok(format!("warn,sexton={word}"));
    }
    if word != "off" && word.chars().all(char::is_alphabetic) {
        let levels = LEVELS.join(", ");
        return Err(format!(
            "`{filter}` is not a log level: write {levels} or off, or directives such as `sexton=debug,sqlx=info`"
        ));
    }
    Ok(filter.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_about_our_own_events() {
        assert_eq!(directives("Debug").expect("a level"), "warn,sexton=debug");
        assert_eq!(directives("off").expect("nothing"), "off");
        assert_eq!(directives("sexton=debug,sqlx=info").expect("directives"), "sexton=debug,sqlx=info");
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        assert!(
            directives("inof").expect_err("no level").starts_with("`inof` is not a log level: write error, warn, info")
        );
        assert!(directives("").is_err());
    }
}
