//! Why an expression was refused: the field, the place, what was found, what is allowed.

/// Why an expression was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five, six or seven fields.
    #[error(
        "a crontab expression has five fields (minute hour day-of-month month day-of-week), six with seconds before \
         them, seven with a year behind as well; `{source_text}` has {found}{hint}"
    )]
    FieldCount {
        /// The whole expression.
        source_text: String,
        /// How many fields it has.
        found: usize,
        /// What may have been meant.
        hint: String,
    },
    /// A field that cannot be read.
    #[error("{field} (column {column}): {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// Where the offending part begins, counted in characters from 1.
        column: usize,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// An `@` name that does not exist.
    #[error(
        "`{name}` is not a known schedule name{hint}: use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, \
         @annually or @reboot"
    )]
    UnknownAlias {
        /// The name.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A time zone that does not exist.
    #[error("there is no time zone `{name}` (column {column}){hint}")]
    UnknownZone {
        /// The name.
        name: String,
        /// Where it begins, counted in characters from 1.
        column: usize,
        /// What may have been meant.
        hint: String,
    },
    /// An expression such as the 30th of February.
    #[error("`{0}` never comes: no such date exists within eight years")]
    Never(String),
}
