//! PostgreSQL: versions and settings that hurt.

use super::{
    Area, Diagnosis,
    server::{Demand, ServerFacts},
};
use crate::domain::text::duration;

/// The first version that Sexton's tables need: identity columns.
const OLDEST: u32 = 10;
/// The first version that its makers still maintain.
const MAINTAINED: u32 = 14;

/// The findings about a server.
pub fn diagnose(server: &ServerFacts, demand: &Demand) -> Vec<Diagnosis> {
    let mut found = vec![version(server)];
    found.extend(durability(server));
    found.extend(transactions(server, demand));
    found.extend(connections(server, demand));
    found.extend(rest(server));
    found
}

fn version(server: &ServerFacts) -> Diagnosis {
    let (major, ..) = server.release();
    let found = format!("The database is PostgreSQL {}.", server.version);
    match major {
        0..OLDEST => Diagnosis::error(
            Area::Database,
            found,
            "Sexton's tables need PostgreSQL 10.",
            "Upgrade to a version that is maintained.",
        ),
        OLDEST..MAINTAINED => Diagnosis::warning(
            Area::Database,
            found,
            "This version gets no more corrections.",
            "Upgrade to a version that is maintained.",
        ),
        _ => Diagnosis::ok(Area::Database, found),
    }
}

fn durability(server: &ServerFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if server.is("fsync", &["off"]) {
        found.push(Diagnosis::error(
            Area::Database,
            "fsync is off.",
            "A crash of the machine can destroy the whole database.",
            "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();",
        ));
    }
    if server.is("full_page_writes", &["off"]) {
        found.push(Diagnosis::warning(
            Area::Database,
            "full_page_writes is off.",
            "A crash of the machine can leave pages that are half written.",
            "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();",
        ));
    }
    if server.is("synchronous_commit", &["off"]) {
        found.push(Diagnosis::warning(
            Area::Database,
            "synchronous_commit is off.",
            "A crash of the server loses the latest commits: tasks that were accepted are gone, and finished ones run \
             again.",
            "ALTER ROLE CURRENT_USER SET synchronous_commit = on; then restart the daemon.",
        ));
    }
    found
}

fn transactions(server: &ServerFacts, demand: &Demand) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if server.is("in_recovery", &["true", "t", "on"]) {
        found.push(Diagnosis::error(
            Area::Database,
            "The server is a standby.",
            "It only reads: no task is accepted, claimed or finished.",
            "Point database.url at the primary, or list all hosts with target_session_attrs=read-write.",
        ));
    } else if server.is("default_transaction_read_only", &["on"]) {
        found.push(Diagnosis::error(
            Area::Database,
            "default_transaction_read_only is on.",
            "No task is accepted, claimed or finished.",
            "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off; then restart the daemon.",
        ));
    }
    if let Some(level) = server.text("default_transaction_isolation").filter(|level| *level != "read committed") {
        found.push(Diagnosis::warning(
            Area::Database,
            format!("default_transaction_isolation is {level}."),
            "Transactions of several nodes conflict with each other and are repeated.",
            "ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed'; then restart the daemon.",
        ));
    }
    let limit = server.number("statement_timeout").filter(|limit| *limit > 0);
    if let Some(limit) = limit.filter(|limit| limit.unsigned_abs() < demand.statement.as_millis() as u64) {
        found.push(Diagnosis::warning(
            Area::Database,
            format!("statement_timeout is {}.", duration::short(limit)),
            "The server ends statements for which the daemon would wait longer: pruning and migrations may never \
             succeed.",
            "ALTER ROLE CURRENT_USER SET statement_timeout = 0; then restart the daemon, which has its own limits.",
        ));
    }
    if server.number("idle_in_transaction_session_timeout") == Some(0) {
        found.push(Diagnosis::note(
            Area::Database,
            "The server never ends a session that is idle in a transaction (idle_in_transaction_session_timeout is 0).",
            "One application that forgets a transaction keeps dead rows in every table, and claims become slow. Sexton's \
             own sessions have a limit.",
            "Set idle_in_transaction_session_timeout = '10min' for the roles of the applications.",
        ));
    }
    found
}

fn connections(server: &ServerFacts, demand: &Demand) -> Option<Diagnosis> {
    let reserved: i64 = ["superuser_reserved_connections", "reserved_connections"]
        .into_iter()
        .filter_map(|name| server.number(name))
        .sum();
    let of_server = server.number("max_connections").map(|all| {
        (all - reserved, format!("max_connections = {all}, {reserved} of them reserved"), "Raise max_connections")
    });
    let limit = |name: &str| server.number(name).filter(|limit| *limit >= 0);
    let of_role = limit("role_connection_limit").map(|limit| {
        (limit, "the CONNECTION LIMIT of the role".to_owned(), "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1")
    });
    let of_database = limit("database_connection_limit").map(|limit| {
        (limit, "the CONNECTION LIMIT of the database".to_owned(), "Raise the CONNECTION LIMIT of the database")
    });
    let least = [of_server, of_role, of_database].into_iter().flatten().min_by_key(|(limit, ..)| *limit)?;
    demand.shortage(least.0, &least.1, least.2)
}

fn rest(server: &ServerFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if server.is("autovacuum", &["off"]) || server.is("track_counts", &["off"]) {
        found.push(Diagnosis::warning(
            Area::Database,
            "autovacuum is off.",
            "Each task leaves dead rows. They are never removed, and claims become slower and slower.",
            "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf();",
        ));
    }
    if let Some(encoding) = server.text("server_encoding").filter(|encoding| *encoding != "UTF8") {
        found.push(Diagnosis::warning(
            Area::Database,
            format!("The encoding of the database is {encoding}."),
            "Output, errors and payloads with other characters cannot be stored.",
            "Use a database with ENCODING 'UTF8'.",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::doctor::Gravity;

    const GOOD: [(&str, &str); 12] = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("in_recovery", "false"),
        ("default_transaction_read_only", "off"),
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "600000"),
        ("max_connections", "100"),
        ("superuser_reserved_connections", "3"),
        ("autovacuum", "on"),
        ("server_encoding", "UTF8"),
    ];

    /// The findings about a good server with these settings.
    fn with(version: &str, changed: &[(&str, &str)]) -> Vec<Diagnosis> {
        let settings = GOOD.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let server = ServerFacts { version: version.to_owned(), settings: settings.collect() };
        diagnose(&server, &Demand { pool: 10, nodes: 2, statement: Duration::from_secs(60), max_payload: 1 << 20 })
    }

    #[test]
    fn a_good_server_has_no_findings() {
        let found = with("17.2", &[]);
        assert_eq!(found, [Diagnosis::ok(Area::Database, "The database is PostgreSQL 17.2.")]);
    }

    #[test]
    fn each_bad_setting_is_found() {
        let cases = [
            ("fsync", "off", Gravity::Error, "fsync is off."),
            ("full_page_writes", "off", Gravity::Warning, "full_page_writes is off."),
            ("synchronous_commit", "off", Gravity::Warning, "synchronous_commit is off."),
            ("in_recovery", "true", Gravity::Error, "The server is a standby."),
            ("default_transaction_read_only", "on", Gravity::Error, "default_transaction_read_only is on."),
            ("default_transaction_isolation", "serializable", Gravity::Warning, "is serializable."),
            ("statement_timeout", "5000", Gravity::Warning, "statement_timeout is 5.0 s."),
            ("idle_in_transaction_session_timeout", "0", Gravity::Note, "never ends a session"),
            ("max_connections", "30", Gravity::Warning, "may open 28 connections; the server gives 27"),
            ("role_connection_limit", "5", Gravity::Warning, "CONNECTION LIMIT of the role"),
            ("database_connection_limit", "5", Gravity::Warning, "CONNECTION LIMIT of the database"),
            ("autovacuum", "off", Gravity::Warning, "autovacuum is off."),
            ("server_encoding", "SQL_ASCII", Gravity::Warning, "encoding of the database is SQL_ASCII"),
        ];
        for (name, value, severity, words) in cases {
            let found = with("17.2", &[(name, value)]);
            assert_eq!(found.len(), 2, "{name}: {found:#?}");
            assert_eq!(found[1].severity, severity, "{name}");
            assert!(found[1].found.contains(words), "{name}: {}", found[1].found);
            assert!(found[1].why.is_some() && found[1].remedy.is_some(), "{name}");
        }
        for harmless in [("synchronous_commit", "remote_apply"), ("statement_timeout", "60000")] {
            assert_eq!(with("17.2", &[harmless]).len(), 1, "{harmless:?}");
        }
    }

    #[test]
    fn old_versions_are_found() {
        let severity = |version| with(version, &[])[0].severity;
        assert_eq!(["9.6.24", "13.9", "15.18"].map(severity), [Gravity::Error, Gravity::Warning, Gravity::Ok]);
    }
}
