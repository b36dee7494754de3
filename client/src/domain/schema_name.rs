//! The name of a PostgreSQL schema: what may stand in `database.schema`.

use std::{fmt, str::FromStr};

/// Maximum number of bytes: the channel for wake-ups, whose name is made of this one, stays within PostgreSQL's 63.
const MAX_LENGTH: usize = 40;

/// Why a schema is refused for another database.
pub const POSTGRES_ONLY: &str = "a schema is for PostgreSQL only: on MySQL and MariaDB name another database in the URL, on \
                                 SQLite another file";

/// The name of a PostgreSQL schema. It reads the same with quotes and without, so it may stand in SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SchemaName {
    type Err = String;

    /// Accepts lower-case letters, digits and underscores, not beginning with a digit or with `pg_`.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !begins || !text.chars().all(is_plain) || text.len() > MAX_LENGTH {
            return Err(format!(
                "`{text}` is not the name of a schema: write lower-case letters, digits and underscores, beginning with a \
                 letter, at most {MAX_LENGTH}"
            ));
        }
        if text.starts_with("pg_") || text == "information_schema" {
            return Err(format!("`{text}` belongs to PostgreSQL itself: choose another schema"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_no_quotes() {
        for good in ["sexton", "public", "_a1", "user"] {
            assert_eq!(good.parse::<SchemaName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "1a", "Tasks", "a-b", "a\"b", "a b", "ä", "pg_temp", "information_schema", &"a".repeat(41)] {
            assert!(bad.parse::<SchemaName>().is_err(), "{bad}");
        }
    }
}
