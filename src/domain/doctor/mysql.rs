//! MariaDB and MySQL: versions and settings that hurt.

use super::{
    Area, Diagnosis,
    server::{Demand, ServerFacts},
};
use crate::domain::text::plural::counted;

/// Below this, a batch of finished attempts with their output may be too large for the server.
const MIN_PACKET: i64 = 16 << 20;
/// A payload is part of larger packets.
const PACKETS_FOR_A_PAYLOAD: u64 = 4;
/// The first versions that can claim (SKIP LOCKED) and read rows from JSON (JSON_TABLE).
const OLDEST_MARIADB: (u32, u32, u32) = (10, 6, 0);
const OLDEST_MYSQL: (u32, u32, u32) = (8, 0, 16);
/// The first versions that their makers still maintain.
const MAINTAINED_MARIADB: (u32, u32, u32) = (10, 11, 0);
const MAINTAINED_MYSQL: (u32, u32, u32) = (8, 4, 0);
const ON: [&str; 2] = ["ON", "1"];

/// The findings about a server.
pub fn diagnose(server: &ServerFacts, demand: &Demand) -> Vec<Diagnosis> {
    let mut found = vec![version(server)];
    found.extend(durability(server));
    found.extend(refusals(server));
    found.extend(sizes(server, demand));
    found.extend(connections(server, demand));
    found
}

fn version(server: &ServerFacts) -> Diagnosis {
    let is_mariadb = server.version.contains("MariaDB");
    let (product, oldest, maintained) = match is_mariadb {
        true => ("MariaDB", OLDEST_MARIADB, MAINTAINED_MARIADB),
        false => ("MySQL", OLDEST_MYSQL, MAINTAINED_MYSQL),
    };
    let found = format!("The database is {product} {}.", server.version);
    if server.release() < oldest {
        let (major, minor, patch) = oldest;
        let why = format!("Sexton needs {product} {major}.{minor}.{patch}: SKIP LOCKED, JSON_TABLE and CHECK.");
        return Diagnosis::error(Area::Database, found, why, "Upgrade to a version that is maintained.");
    }
    if server.release() < maintained {
        let why = "This version gets no more corrections.";
        return Diagnosis::warning(Area::Database, found, why, "Upgrade to a version that is maintained.");
    }
    Diagnosis::ok(Area::Database, found)
}

fn durability(server: &ServerFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let flush = server.text("innodb_flush_log_at_trx_commit").unwrap_or("1");
    if flush != "1" && flush != "3" {
        let crash = if flush == "0" { "A crash of the server" } else { "A crash of the machine" };
        found.push(Diagnosis::warning(
            Area::Database,
            format!("innodb_flush_log_at_trx_commit is {flush}."),
            format!(
                "{crash} loses the commits of the latest second: tasks that were accepted are gone, and finished ones \
                 run again."
            ),
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1; and set it in the server's configuration.",
        ));
    }
    if server.is("innodb_flush_method", &["nosync"]) {
        found.push(Diagnosis::error(
            Area::Database,
            "innodb_flush_method is nosync.",
            "A crash of the machine can destroy the whole database.",
            "Remove innodb_flush_method from the server's configuration, and restart it.",
        ));
    }
    if server.is("innodb_doublewrite", &["OFF", "0"]) {
        found.push(Diagnosis::warning(
            Area::Database,
            "innodb_doublewrite is off.",
            "A crash of the machine can leave pages that are half written.",
            "Set innodb_doublewrite = ON in the server's configuration, and restart it.",
        ));
    }
    let has_log = server.is("log_bin", &ON);
    if has_log && server.number("sync_binlog").is_some_and(|every| every != 1) {
        found.push(Diagnosis::note(
            Area::Database,
            format!("sync_binlog is {}.", server.text("sync_binlog").unwrap_or_default()),
            "After a crash of the machine, replicas may have other tasks than this server.",
            "SET GLOBAL sync_binlog = 1; and set it in the server's configuration.",
        ));
    }
    if has_log && server.is("binlog_format", &["STATEMENT"]) {
        found.push(Diagnosis::error(
            Area::Database,
            "binlog_format is STATEMENT.",
            "The server refuses to write in transactions that are READ COMMITTED, and claims are.",
            "SET GLOBAL binlog_format = 'ROW'; and set it in the server's configuration.",
        ));
    }
    found
}

fn refusals(server: &ServerFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if let Some(setting) = ["super_read_only", "read_only"].into_iter().find(|name| server.is(name, &ON)) {
        found.push(Diagnosis::error(
            Area::Database,
            format!("{setting} is on."),
            "The server only reads: no task is accepted, claimed or finished.",
            // Without this one the other one is off as well.
            "Point database.url at the primary, or SET GLOBAL read_only = OFF;",
        ));
    }
    if server.is("wsrep_on", &ON) {
        let status = server.text("wsrep_cluster_status").unwrap_or_default();
        if status != "Primary" || server.is("wsrep_ready", &["OFF"]) {
            found.push(Diagnosis::error(
                Area::Database,
                format!("This node of the Galera cluster is not ready (wsrep_cluster_status is `{status}`)."),
                "It refuses statements until it belongs to the majority of its cluster again.",
                "Point database.url at a node of the majority, or restore the cluster.",
            ));
        }
    }
    let is_strict = |mode: &str| mode.contains("STRICT_TRANS_TABLES") || mode.contains("STRICT_ALL_TABLES");
    if server.text("sql_mode").is_some_and(|mode| !is_strict(mode)) {
        found.push(Diagnosis::warning(
            Area::Database,
            "sql_mode is not strict.",
            "The server stores another value where it should refuse one: a payload, a name or a time may be cut off.",
            "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES'); and set it in the server's \
             configuration.",
        ));
    }
    if server.is("transaction_isolation", &["SERIALIZABLE"]) {
        found.push(Diagnosis::note(
            Area::Database,
            "The default isolation level is SERIALIZABLE.",
            "Sexton's own sessions are READ COMMITTED. An application's SELECT from Sexton's tables locks what it \
             reads, and claims wait for it.",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED in the application.",
        ));
    }
    found
}

fn sizes(server: &ServerFacts, demand: &Demand) -> Option<Diagnosis> {
    let packet = server.number("max_allowed_packet")?;
    let payloads = i64::try_from(demand.max_payload.saturating_mul(PACKETS_FOR_A_PAYLOAD)).unwrap_or(i64::MAX);
    let needed = payloads.max(MIN_PACKET);
    (packet < needed).then(|| {
        Diagnosis::warning(
            Area::Database,
            format!("max_allowed_packet is {}.", counted(packet.unsigned_abs(), "byte")),
            "The server closes the connection of a node that records many attempts with much output, or sends a large \
             payload.",
            format!("SET GLOBAL max_allowed_packet = {needed}; and set it in the server's configuration."),
        )
    })
}

fn connections(server: &ServerFacts, demand: &Demand) -> Option<Diagnosis> {
    let limit = |name: &'static str| Some((server.number(name).filter(|limit| *limit > 0)?, name));
    let (given, name) =
        ["max_connections", "max_user_connections"].into_iter().filter_map(limit).min_by_key(|(limit, _)| *limit)?;
    demand.shortage(given, &format!("{name} = {given}"), &format!("Raise {name}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::doctor::Gravity;

    const GOOD: [(&str, &str); 12] = [
        ("innodb_flush_log_at_trx_commit", "1"),
        ("innodb_flush_method", "fsync"),
        ("innodb_doublewrite", "ON"),
        ("log_bin", "ON"),
        ("sync_binlog", "1"),
        ("binlog_format", "ROW"),
        ("read_only", "OFF"),
        ("sql_mode", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"),
        ("transaction_isolation", "REPEATABLE-READ"),
        ("max_allowed_packet", "67108864"),
        ("max_connections", "151"),
        ("max_user_connections", "0"),
    ];

    fn with(version: &str, changed: &[(&str, &str)]) -> Vec<Diagnosis> {
        let settings = GOOD.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let server = ServerFacts { version: version.to_owned(), settings: settings.collect() };
        diagnose(&server, &Demand { pool: 10, nodes: 1, statement: Duration::from_secs(60), max_payload: 1 << 20 })
    }

    #[test]
    fn a_good_server_has_no_findings() {
        for version in ["9.7.4", "8.4.3", "11.8.3-MariaDB-0+deb13u1"] {
            let found = with(version, &[]);
            assert_eq!((found.len(), found[0].severity), (1, Gravity::Ok), "{found:#?}");
        }
        assert_eq!(with("9.7.4", &[("wsrep_on", "ON"), ("wsrep_cluster_status", "Primary")]).len(), 1);
    }

    #[test]
    fn each_bad_setting_is_found() {
        let cases = [
            ("innodb_flush_log_at_trx_commit", "0", Gravity::Warning, "innodb_flush_log_at_trx_commit is 0."),
            ("innodb_flush_log_at_trx_commit", "2", Gravity::Warning, "innodb_flush_log_at_trx_commit is 2."),
            ("innodb_flush_method", "nosync", Gravity::Error, "innodb_flush_method is nosync."),
            ("innodb_doublewrite", "OFF", Gravity::Warning, "innodb_doublewrite is off."),
            ("sync_binlog", "0", Gravity::Note, "sync_binlog is 0."),
            ("binlog_format", "STATEMENT", Gravity::Error, "binlog_format is STATEMENT."),
            ("read_only", "ON", Gravity::Error, "read_only is on."),
            ("super_read_only", "ON", Gravity::Error, "super_read_only is on."),
            ("wsrep_on", "ON", Gravity::Error, "Galera cluster is not ready"),
            ("sql_mode", "ANSI_QUOTES", Gravity::Warning, "sql_mode is not strict."),
            ("transaction_isolation", "SERIALIZABLE", Gravity::Note, "isolation level is SERIALIZABLE."),
            ("max_allowed_packet", "1048576", Gravity::Warning, "max_allowed_packet is 1048576 bytes."),
            ("max_connections", "10", Gravity::Warning, "the server gives 10 (max_connections = 10)"),
            ("max_user_connections", "5", Gravity::Warning, "the server gives 5 (max_user_connections = 5)"),
        ];
        for (name, value, severity, words) in cases {
            let found = with("9.7.4", &[(name, value)]);
            assert_eq!(found.len(), 2, "{name}: {found:#?}");
            assert_eq!(found[1].severity, severity, "{name}");
            assert!(found[1].found.contains(words), "{name}: {}", found[1].found);
        }
        assert_eq!(with("9.7.4", &[("log_bin", "OFF"), ("sync_binlog", "0"), ("binlog_format", "STATEMENT")]).len(), 1);
    }

    #[test]
    fn one_setting_lets_a_server_write() {
        let found = with("9.7.4", &[("read_only", "ON"), ("super_read_only", "ON")]);
        assert!(found[1].remedy.as_deref().is_some_and(|remedy| remedy.ends_with("SET GLOBAL read_only = OFF;")));
    }

    #[test]
    fn old_versions_are_found() {
        let severity = |version| with(version, &[])[0].severity;
        assert_eq!(["5.7.44", "8.0.36", "8.4.0"].map(severity), [Gravity::Error, Gravity::Warning, Gravity::Ok]);
        assert_eq!(severity("10.5.20-MariaDB"), Gravity::Error);
        assert_eq!(severity("10.6.20-MariaDB"), Gravity::Warning);
    }
}
