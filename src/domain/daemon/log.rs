//! What is logged, and how, as people write it.

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line, for programs.
    Json,
}

/// When a log file is put aside and a fresh one begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// With the first line of each day, in UTC.
    #[default]
    Daily,
    /// Before it grows beyond so many bytes.
    Size(u64),
}

/// The words that stand for a level.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What a filter means, as directives. A level is about our own events, and of others only what goes wrong is shown.
///
/// # Errors
/// If it is a word that is no level: as a directive it would silently mean something else.
pub fn directives(filter: &str) -> Result<String, String> {
    let word = filter.trim().to_lowercase();
    if LEVELS.contains(&word.as_str()) {
        return Ok(format!("warn,sexton={word}"));
    }
    if word != "off" && word.chars().all(char::is_alphabetic) {
        let levels = LEVELS.join(", ");
        return Err(format!(
            "`{filter}` is no level: write {levels} or off, or directives such as `sexton=debug,sqlx=info`"
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
        assert!(directives("inof").expect_err("no level").starts_with("`inof` is no level: write error, warn, info"));
        assert!(directives("").is_err());
    }
}
