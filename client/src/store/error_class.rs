//! What the error codes of the databases mean: one table for each database, and nothing else decides it.
//!
//! An outage taken for a refusal loses work; a refusal taken for an outage stands still. So whole classes of codes are
//! assigned, and single codes where the databases do not keep to their classes.

/// What an error code means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The database cannot work at present: waiting helps. The session is closed.
    Outage,
    /// The session only reads: it leads to a standby, or to an old primary. Waiting helps, on another session.
    ReadOnly,
    /// Another transaction was in the way: repeating helps.
    Conflict,
    /// A table or a column is missing: migrating helps.
    SchemaMissing,
    /// A mistake in the statement or in its values: only a change helps.
    Refusal,
}

impl Class {
    /// Whether the session must not be used again: the connection may be broken, or ends in the wrong place.
    pub fn closes_session(self) -> bool {
        matches!(self, Self::Outage | Self::ReadOnly)
    }
}

/// A SQLSTATE of PostgreSQL, or of a pooler that speaks for it. `is_fatal`: the server ends the session with it.
pub(super) fn postgres(state: &str, is_fatal: bool) -> Class {
    match state {
        "25006" => Class::ReadOnly,
        "40001" | "40P01" => Class::Conflict,
        "42P01" | "42703" => Class::SchemaMissing,
        // An idle transaction or a whole transaction took too long, and the server ended its session.
        "25P03" | "25P04" => Class::Outage,
        // It is unknown whether the statement took effect.
        "40003" => Class::Outage,
        // A lock was not to be had in time.
        "55P03" => Class::Outage,
        // The session lost its prepared statements, or got another's: a pooler stands between.
        "26000" | "42P05" => Class::Outage,
        _ if is_fatal => Class::Outage,
        // No connection, no resources, an operator's intervention, a system error, a bad server configuration, an
        // internal error.
        _ => match state.get(..2) {
            Some("08" | "53" | "57" | "58" | "F0" | "XX") => Class::Outage,
            _ => Class::Refusal,
        },
    }
}

/// Whether PostgreSQL has no memory for a value, or a value is longer than it can send. A `jsonb` number of a few letters,
/// such as `1e131071`, has 131,072 digits as text.
pub(super) fn postgres_is_beyond_memory(state: &str) -> bool {
    matches!(state, "53200" | "54000" | "XX000")
}

/// Whether PostgreSQL or a pooler refuses a new session because of its role, its password or its database: only a change
/// of the configuration or of the server's accounts helps.
pub(super) fn postgres_refuses_login(state: &str) -> bool {
    matches!(state, "28000" | "28P01" | "3D000" | "42501")
}

/// The same of MySQL and its relatives: access denied, an unknown database, a host that may not log in, an account that
/// is locked or whose password has expired.
pub(super) fn mysql_refuses_login(number: u16) -> bool {
    matches!(number, 1044 | 1045 | 1049 | 1130 | 1698 | 1820 | 1862 | 3118 | 4151)
}

/// Whether PostgreSQL refuses a statement for want of a right.
pub(super) fn postgres_denies(state: &str) -> bool {
    state == "42501"
}

/// The same of MySQL and its relatives: for a database, a table, a column, a routine, or for want of a right on the whole
/// server.
pub(super) fn mysql_denies(number: u16) -> bool {
    matches!(number, 1044 | 1142 | 1143 | 1227 | 1370)
}

/// Whether SQLite refuses a file because it is not a database.
pub(super) fn sqlite_refuses_file(code: i32) -> bool {
    code & 0xff == 26
}

/// An error number and the SQLSTATE of MySQL, MariaDB, Galera, or of a proxy that speaks for them.
pub(super) fn mysql(number: u16, state: &str) -> Class {
    match number {
        // Deadlock, lock wait timeout, a row changed since it was read, a group that rolled the commit back.
        1213 | 1205 | 1020 | 3101 => Class::Conflict,
        // The server, or the transaction, is read-only.
        1290 | 1792 | 1836 | 3989 => Class::ReadOnly,
        // A missing table, a missing column.
        1146 | 1054 => Class::SchemaMissing,
        // The statement is too large for the server. Waiting does not help, although its class is that of outages.
        1153 => Class::Refusal,
        // No disk, memory, thread, file or connection to be had; an engine that reports an I/O error.
        1021 | 1026 | 1030 | 1037 | 1038 | 1040 | 1041 | 1114 | 1129 | 1135 | 1203 | 1226 => Class::Outage,
        // Galera without its cluster or its donor: "has not yet prepared node", and a commit that it could not certify.
        1047 | 1180 => Class::Outage,
        // The server stops, ended the session, interrupted the statement or limited its time.
        1053 | 1077 | 1079 | 1152 | 1184 | 1317 | 1927 | 1969 | 3024 | 3169 | 4031 => Class::Outage,
        // Group Replication has lost its majority; ProxySQL reaches no server.
        3100 | 9001 | 9002 => Class::Outage,
        _ => match state.get(..2) {
            Some("08" | "53" | "57" | "58" | "70") => Class::Outage,
            _ if state == "40001" => Class::Conflict,
            _ if state == "25006" => Class::ReadOnly,
            _ => Class::Refusal,
        },
    }
}

/// A result code of SQLite; an extended code has the primary one in its lowest byte.
pub(super) fn sqlite(code: i32) -> Class {
    match code & 0xff {
        // Busy, locked, or the schema changed while the statement ran.
        5 | 6 | 17 => Class::Conflict,
        8 => Class::ReadOnly,
        // No permission, rolled back by SQLite, out of memory, interrupted, I/O error, malformed, full, cannot open, the
        // locking protocol, no large files, not a database.
        3 | 4 | 7 | 9 | 10 | 11 | 13 | 14 | 15 | 22 | 26 => Class::Outage,
        _ => Class::Refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_postgres() {
        let outages = [
            "08000", "08003", "08006", "08001", "08P01", "25P03", "25P04", "26000", "40003", "42P05", "53000", "53100",
            "53200", "53300", "53400", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58000",
            "58030", "F0000", "XX000", "XX001", "XX002",
        ];
        let refusals = [
            "0A000", "21000", "22001", "22003", "22007", "22008", "22021", "22P02", "22P05", "23502", "23503", "23505",
            "23514", "25P02", "3D000", "42501", "42601", "42804", "42883", "54000", "55000", "P0001", "", "4",
        ];
        for state in outages {
            assert_eq!(postgres(state, false), Class::Outage, "{state}");
        }
        for state in refusals {
            assert_eq!(postgres(state, false), Class::Refusal, "{state}");
            assert_eq!(postgres(state, true), Class::Outage, "FATAL {state}");
        }
        for (state, class) in [
            ("25006", Class::ReadOnly),
            ("40001", Class::Conflict),
            ("40P01", Class::Conflict),
            ("42P01", Class::SchemaMissing),
            ("42703", Class::SchemaMissing),
        ] {
            assert_eq!(postgres(state, false), class, "{state}");
        }
    }

    #[test]
    fn a_right_that_is_missing_is_told_from_other_refusals() {
        assert!(postgres_denies("42501"));
        assert!(!["42P01", "23502", "28000"].into_iter().any(postgres_denies));
        assert!([1044, 1142, 1143, 1227, 1370].into_iter().all(mysql_denies));
        assert!(![1045, 1146, 1364, 1048].into_iter().any(mysql_denies));
    }

    #[test]
    fn a_refused_login_is_told_from_an_outage() {
        for state in ["28000", "28P01", "3D000", "42501"] {
            assert!(postgres_refuses_login(state), "{state}");
        }
        for state in ["08006", "53300", "57P01", "57P03", "08P01", ""] {
            assert!(!postgres_refuses_login(state), "{state}");
        }
        for number in [1044, 1045, 1049, 1130, 1698, 1820, 1862, 3118, 4151] {
            assert!(mysql_refuses_login(number), "{number}");
        }
        for number in [1040, 1047, 1053, 1129, 1203, 1226, 9001] {
            assert!(!mysql_refuses_login(number), "{number}");
        }
        assert!(sqlite_refuses_file(26) && !sqlite_refuses_file(14));
    }

    #[test]
    fn codes_of_mysql_and_its_relatives() {
        let outages = [
            1021, 1026, 1030, 1037, 1038, 1040, 1041, 1047, 1053, 1077, 1079, 1114, 1129, 1135, 1152, 1180, 1184, 1203,
            1226, 1317, 1927, 1969, 3024, 3100, 3169, 4031, 9001, 9002,
        ];
        for number in outages {
            assert_eq!(mysql(number, "HY000"), Class::Outage, "{number}");
        }
        // Galera's minority says 1047, with the class of lost connections.
        assert_eq!(mysql(1047, "08S01"), Class::Outage);
        for (number, state) in [(1158, "08S01"), (1159, "08S01"), (1160, "08S01"), (1161, "08S01"), (9999, "70100")] {
            assert_eq!(mysql(number, state), Class::Outage, "{number}");
        }
        for (number, state) in [
            (1048, "23000"),
            (1062, "23000"),
            (1064, "42000"),
            (1153, "08S01"),
            (1264, "22003"),
            (1292, "22007"),
            (1366, "HY000"),
            (1406, "22001"),
            (1452, "23000"),
            (3140, "22032"),
            (3819, "HY000"),
            (4025, "23000"),
        ] {
            assert_eq!(mysql(number, state), Class::Refusal, "{number}");
        }
        for (number, state, class) in [
            (1213, "40001", Class::Conflict),
            (1205, "HY000", Class::Conflict),
            (1020, "HY000", Class::Conflict),
            (3101, "40000", Class::Conflict),
            (9999, "40001", Class::Conflict),
            (1290, "HY000", Class::ReadOnly),
            (1792, "25006", Class::ReadOnly),
            (1836, "HY000", Class::ReadOnly),
            (1146, "42S02", Class::SchemaMissing),
            (1054, "42S22", Class::SchemaMissing),
        ] {
            assert_eq!(mysql(number, state), class, "{number}");
        }
    }

    #[test]
    fn codes_of_sqlite() {
        // Among them: I/O errors of reading, of flushing and for want of memory; a file that moved is read-only.
        for code in [3, 4, 516, 7, 9, 10, 266, 1034, 3082, 11, 267, 13, 14, 526, 15, 22, 26] {
            assert_eq!(sqlite(code), Class::Outage, "{code}");
        }
        for code in [5, 261, 517, 773, 6, 262, 17] {
            assert_eq!(sqlite(code), Class::Conflict, "{code}");
        }
        for code in [8, 264, 776, 1032] {
            assert_eq!(sqlite(code), Class::ReadOnly, "{code}");
        }
        for code in [1, 2, 12, 18, 19, 275, 787, 1555, 2067, 20, 21, 23, 25] {
            assert_eq!(sqlite(code), Class::Refusal, "{code}");
        }
    }

    #[test]
    fn a_session_in_doubt_is_closed() {
        assert!(Class::Outage.closes_session() && Class::ReadOnly.closes_session());
        assert!(!Class::Conflict.closes_session() && !Class::Refusal.closes_session());
    }
}
