//! Errors in crontab expressions: the field, the column, what was found and what is allowed.

/// Why an expression is invalid, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The number of fields is not five, six or seven.
    #[error(
        "a crontab expression has five fields (minute hour day-of-month month day-of-week), six with seconds before \
         them, seven with a year behind them; `{source_text}` has {found}{hint}"
    )]
    FieldCount {
        /// The whole expression.
        source_text: String,
        /// Number of its fields.
        found: usize,
        /// A suggestion, `; did you mean …?`, or empty.
        hint: String,
    },
    /// A field is invalid.
    #[error("{field} (column {column}): {problem}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// First character of the invalid part, counted from 1.
        column: usize,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// There is no such `@` name.
    #[error(
        "`{name}` is not a known schedule name{hint}: use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, \
         @annually or @reboot"
    )]
    UnknownAlias {
        /// The unknown name.
        name: String,
        /// A suggestion, `; did you mean …?`, or empty.
        hint: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone `{name}` (column {column}){hint}")]
    UnknownZone {
        /// The unknown name.
        name: String,
        /// First character of the name, counted from 1.
        column: usize,
        /// A suggestion, `; did you mean …?`, or empty.
        hint: String,
    },
    /// No date matches, as on the 30th of February.
    #[error("`{0}` never runs: no date within eight years matches")]
    Never(String),
}
