//! Differences between the SQL of the databases. MySQL and MariaDB share one dialect.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use sea_orm::{DbBackend, Value};

use super::connection::Target;

/// The SQL dialect of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    MySql,
    Sqlite,
}

/// The type of a column of [`Dialect::rows`].
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Integer,
    Text,
    Instant,
    /// A time of day.
    Time,
    Boolean,
}

impl Dialect {
    pub fn of(target: &Target) -> Self {
        match target {
            Target::Postgres { .. } => Self::Postgres,
            Target::MySql(_) => Self::MySql,
            Target::Sqlite(..) => Self::Sqlite,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    pub fn backend(self) -> DbBackend {
        match self {
            Self::Postgres => DbBackend::Postgres,
            Self::MySql => DbBackend::MySql,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }

    /// Whether the database is a server, which may be on another machine.
    pub fn has_server(self) -> bool {
        self != Self::Sqlite
    }

    /// The database's own time.
    pub fn now(self) -> &'static str {
        match self {
            Self::Postgres => "now()",
            Self::MySql => "utc_timestamp(6)",
            Self::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')",
        }
    }

    /// The database's own time plus `millis`, an expression in milliseconds that may be negative.
    pub fn now_plus_millis(self, millis: &str) -> String {
        match self {
            Self::Postgres => format!("now() + ({millis}) * interval '1 millisecond'"),
            Self::MySql => format!("utc_timestamp(6) + INTERVAL ({millis}) * 1000 MICROSECOND"),
            Self::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', (({millis}) / 1000.0) || ' seconds')")
            }
        }
    }

    /// The fence of the next claim of a task: one more than before, or the database's time in microseconds if that is
    /// greater. So a fence never returns, although a failover may lose the claim that had it. The highest number stays as
    /// it is: no task is claimed with it.
    pub fn next_fence(self) -> &'static str {
        match self {
            Self::Postgres => {
                "GREATEST(CASE WHEN fence < 9223372036854775807 THEN fence + 1 ELSE fence END, \
                 CAST(date_part('epoch', clock_timestamp()) * 1000000 AS bigint))"
            }
            Self::MySql => {
                "GREATEST(CASE WHEN fence < 9223372036854775807 THEN fence + 1 ELSE fence END, \
                 TIMESTAMPDIFF(MICROSECOND, '1970-01-01', utc_timestamp(6)))"
            }
            Self::Sqlite => {
                "max(CASE WHEN fence < 9223372036854775807 THEN fence + 1 ELSE fence END, \
                 CAST(strftime('%s', 'now') AS integer) * 1000000 \
                 + CAST(substr(strftime('%f', 'now'), 4) AS integer) * 1000)"
            }
        }
    }

    /// Whether two columns have the same instant. SQLite keeps instants as text, and what an application has written
    /// may be in another form; it is compared by milliseconds, as SQLite knows no smaller unit.
    pub fn same_instant(self, one: &str, other: &str) -> String {
        match self {
            Self::Sqlite => {
                format!(
                    "({one} = {other} OR strftime('%Y-%m-%d %H:%M:%f', {one}) = strftime('%Y-%m-%d %H:%M:%f', {other}))"
                )
            }
            Self::Postgres | Self::MySql => format!("{one} = {other}"),
        }
    }

    /// Whether two values are the same, where NULL is the same as NULL.
    pub fn same(self, one: &str, other: &str) -> String {
        match self {
            Self::Postgres => format!("{one} IS NOT DISTINCT FROM {other}"),
            Self::MySql => format!("{one} <=> {other}"),
            Self::Sqlite => format!("{one} IS {other}"),
        }
    }

    /// An instant as text in one fixed form, inside the JSON of [`Dialect::rows`] or as a parameter.
    pub fn instant(self, at: DateTime<Utc>) -> String {
        let (between, zone) = match self {
            Self::MySql => (' ', ""),
            Self::Postgres | Self::Sqlite => ('T', "+00:00"),
        };
        let (date, time) = (at.date_naive(), at.time());
        if !(0..10_000).contains(&date.year()) || time.nanosecond() >= 1_000_000_000 {
            // Far years have a sign, and a leap second is the sixtieth one.
            return format!("{}{between}{}{zone}", date.format("%Y-%m-%d"), time.format("%H:%M:%S%.6f"));
        }
        // The same without reading a format: each finished attempt has five of them.
        format!(
            "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}.{:06}{zone}",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond() / 1_000
        )
    }

    /// An instant that compares with [`Dialect::now`] as `column` does, and that can be read: `infinity` is far ahead.
    pub fn readable_instant(self, column: &str) -> String {
        match self {
            Self::Postgres => format!(
                "LEAST(GREATEST({column}, timestamptz '0001-01-01 00:00:00+00'), \
                 timestamptz '9999-12-31 23:59:59.999999+00')"
            ),
            Self::MySql => {
                format!("CASE WHEN {column} < '1000-01-01' THEN CAST('1000-01-01' AS datetime(6)) ELSE {column} END")
            }
            Self::Sqlite => format!(
                "CASE WHEN strftime('%s', {column}) IS NULL THEN '9999-12-31T23:59:59.999999+00:00' ELSE {column} END"
            ),
        }
    }

    /// The condition that a column with the name of a task is among names, which are one parameter (see
    /// `Store::known`). It is evaluated row by row, so that the claim still reads its index in order: as a join, the
    /// planner could begin with the names.
    pub fn is_known(self, column: &str) -> String {
        match self {
            // No name of a task contains a comma.
            Self::MySql => format!("FIND_IN_SET({column}, ?) > 0"),
            Self::Postgres => {
                format!("{column} = ANY(ARRAY(SELECT k.name FROM {}))", self.rows("k", &[("name", Kind::Text)]))
            }
            Self::Sqlite => format!("{column} IN (SELECT k.name FROM {})", self.rows("k", &[("name", Kind::Text)])),
        }
    }

    /// The columns `payload`, unless it has more bytes than a parameter says, and `payload_bytes`.
    pub fn payload_within(self) -> String {
        let (bytes, max) = match self {
            Self::Postgres => ("octet_length(CAST(payload AS text))", "CAST(? AS bigint)"),
            Self::MySql => ("LENGTH(payload)", "?"),
            Self::Sqlite => ("length(CAST(payload AS blob))", "?"),
        };
        let bytes_column = match self {
            Self::Postgres => format!("CAST({bytes} AS bigint)"),
            Self::MySql | Self::Sqlite => bytes.to_owned(),
        };
        format!("CASE WHEN {bytes} <= {max} THEN payload END AS payload, {bytes_column} AS payload_bytes")
    }

    /// Converts the text of a JSON column of [`Dialect::rows`] to the type of a JSON column of a table.
    pub fn json(self, text: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({text} AS jsonb)"),
            _ => text.to_owned(),
        }
    }

    /// A table `alias` made from one parameter, a JSON array of objects. The statement has the same text for any number
    /// of rows, so it is prepared once.
    pub fn rows(self, alias: &str, columns: &[(&str, Kind)]) -> String {
        let list = |each: &dyn Fn(&str, Kind) -> String| {
            columns.iter().map(|(name, kind)| each(name, *kind)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Postgres => {
                let word = |kind| match kind {
                    Kind::Integer => "bigint",
                    Kind::Text => "text",
                    Kind::Instant => "timestamptz",
                    Kind::Time => "time",
                    Kind::Boolean => "boolean",
                };
                let columns = list(&|name, kind| format!("{name} {}", word(kind)));
                format!("json_to_recordset(CAST(CAST(? AS text) AS json)) AS {alias}({columns})")
            }
            Self::MySql => {
                let word = |kind| match kind {
                    Kind::Integer | Kind::Boolean => "bigint",
                    Kind::Text => "longtext CHARACTER SET utf8mb4",
                    Kind::Instant => "datetime(6)",
                    Kind::Time => "time",
                };
                let columns = list(&|name, kind| format!("{name} {} PATH '$.{name}'", word(kind)));
                format!("JSON_TABLE(?, '$[*]' COLUMNS ({columns})) AS {alias}")
            }
            Self::Sqlite => {
                let columns = list(&|name, _| format!("json_extract(value, '$.{name}') AS {name}"));
                // Each column asks for its row again: as text, the row would be written and read once for each.
                format!("(SELECT {columns} FROM jsonb_each(?)) AS {alias}")
            }
        }
    }

    /// As [`Dialect::rows`], for a SELECT that locks what it joins with them. MySQL (9.7) refuses to lock a table
    /// function, and locks none inside a subquery.
    pub fn rows_beside_locks(self, alias: &str, columns: &[(&str, Kind)]) -> String {
        match self {
            Self::MySql => format!("(SELECT * FROM {}) AS {alias}", self.rows("x", columns)),
            Self::Postgres | Self::Sqlite => self.rows(alias, columns),
        }
    }

    /// `UPDATE table SET sets` for the rows that `on` joins with `rows`. Columns are written `t.x`.
    pub fn update_joined(self, table: &str, sets: &[(&str, &str)], rows: &str, on: &str) -> String {
        let plain = sets.iter().map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>().join(", ");
        match self {
            Self::MySql => {
                let sets = sets.iter().map(|(column, value)| format!("t.{column} = {value}")).collect::<Vec<_>>();
                format!("UPDATE {table} t JOIN {rows} ON {on} SET {}", sets.join(", "))
            }
            Self::Postgres | Self::Sqlite => format!("UPDATE {table} AS t SET {plain} FROM {rows} WHERE {on}"),
        }
    }

    /// The parameters of [`Dialect::update_joined`] in the order of its text. `sets` are those of the new values.
    pub fn joined_values<const N: usize>(self, sets: [Value; N], rows: Value) -> Vec<Value> {
        let mut values = Vec::from(sets);
        values.insert(if self == Self::MySql { 0 } else { N }, rows);
        values
    }

    /// Deletes the rows of `table` (as `t`, with the primary key `key`) that `on` joins with `rows`. PostgreSQL would
    /// evaluate a plain `id = ANY(…)` row by row while it has no statistics of the table.
    pub fn delete_joined(self, table: &str, key: &str, rows: &str, on: &str) -> String {
        match self {
            Self::Postgres => format!("DELETE FROM {table} t USING {rows} WHERE {on}"),
            Self::MySql => format!("DELETE t FROM {table} t JOIN {rows} ON {on}"),
            Self::Sqlite => {
                format!("DELETE FROM {table} WHERE {key} IN (SELECT t.{key} FROM {rows} JOIN {table} t ON {on})")
            }
        }
    }

    /// `INSERT INTO head` of a select, leaving out the rows whose unique key is taken.
    pub fn insert_new(self, head: &str, select: &str) -> String {
        match self {
            Self::MySql => format!("INSERT IGNORE INTO {head} {select}"),
            // Without a WHERE, SQLite would take ON for a join's.
            Self::Postgres | Self::Sqlite => format!("INSERT INTO {head} {select} WHERE true ON CONFLICT DO NOTHING"),
        }
    }

    /// `INSERT INTO table (columns)` of a select from rows `d`; where the unique key is taken, `sets` change that row. They
    /// write the new values as [`Dialect::proposed`].
    pub fn upsert(self, (table, key): (&str, &str), columns: &str, select: &str, sets: &[(&str, String)]) -> String {
        let sets = sets.iter().map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO {table} ({columns}) {select}");
        match self {
            Self::MySql => format!("{insert} ON DUPLICATE KEY UPDATE {sets}"),
            // Without a WHERE, SQLite would take ON for a join's.
            Self::Postgres | Self::Sqlite => format!("{insert} WHERE true ON CONFLICT ({key}) DO UPDATE SET {sets}"),
        }
    }

    /// The value of a column that [`Dialect::upsert`] would insert.
    pub fn proposed(self, column: &str) -> String {
        match self {
            Self::MySql => format!("d.{column}"),
            Self::Postgres | Self::Sqlite => format!("excluded.{column}"),
        }
    }

    /// Makes a SELECT lock its rows. On SQLite the transaction locks the whole file.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            _ => "FOR UPDATE",
        }
    }

    /// A text parameter as a column of a SELECT, where PostgreSQL needs its type.
    pub fn text_parameter(self) -> &'static str {
        match self {
            Self::Postgres => "CAST(? AS text)",
            _ => "?",
        }
    }

    /// A parameter in the form of [`Dialect::instant`], as an instant.
    pub fn instant_parameter(self) -> &'static str {
        match self {
            Self::Postgres => "CAST(CAST(? AS text) AS timestamptz)",
            Self::MySql | Self::Sqlite => "?",
        }
    }

    /// Quotes a column whose name is a reserved word in one of the databases.
    pub fn quoted(self, column: &str) -> String {
        match self {
            Self::MySql => format!("`{column}`"),
            _ => format!("\"{column}\""),
        }
    }

    /// Numbers the parameters for PostgreSQL.
    pub fn numbered(self, sql: &str) -> String {
        if self != Self::Postgres {
            return sql.to_owned();
        }
        let mut numbered = String::with_capacity(sql.len() + 8);
        let mut count = 0;
        for part in sql.split_inclusive('?') {
            match part.strip_suffix('?') {
                Some(before) => {
                    count += 1;
                    numbered.push_str(&format!("{before}${count}"));
                }
                None => numbered.push_str(part),
            }
        }
        numbered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_where_they_must_be() {
        assert_eq!(Dialect::Postgres.numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(Dialect::MySql.numbered("a = ?"), "a = ?");
    }

    #[test]
    fn instants_have_one_fixed_shape() {
        let at: DateTime<Utc> = "2026-11-21T10:00:00.5Z".parse().expect("an instant");
        assert_eq!(Dialect::Sqlite.instant(at), "2026-11-21T10:00:00.500000+00:00");
        assert_eq!(Dialect::MySql.instant(at), "2026-11-21 10:00:00.500000");
        let far: DateTime<Utc> = "+12026-01-02T03:04:05.000006Z".parse().expect("an instant");
        assert_eq!(Dialect::Postgres.instant(far), "+12026-01-02T03:04:05.000006+00:00");
        let leap: DateTime<Utc> = "2016-12-31T23:59:60.25Z".parse().expect("an instant");
        assert_eq!(Dialect::Sqlite.instant(leap), "2016-12-31T23:59:60.250000+00:00");
    }
}
