//! Queries are in the store, and the databases are distinguished in few files.

use std::collections::BTreeSet;

use crate::source::{CRATES, production};

/// The files that tell the databases apart: their statements differ in shape. Everything else asks `dialect.rs`.
const TELLING_APART: [&str; 35] = [
    "client/src/store/connection/target.rs",
    "client/src/store/connection/waits.rs",
    "client/src/store/dialect.rs",
    "client/src/store/enqueue.rs",
    "client/src/store/wakeup.rs",
    "migration/src/dialect.rs",
    "migration/src/m20261121_000008_type_reasons.rs",
    "migration/src/m20261121_000009_identify_claims.rs",
    "migration/src/m20261121_000010_refuse_bad_tasks.rs",
    "migration/src/m20261121_000012_expire_tasks.rs",
    "migration/src/m20261121_000014_keep_payloads.rs",
    "migration/src/m20261121_000017_narrow_task_indexes.rs",
    "migration/src/m20261122_000029_define_schedules.rs",
    "migration/src/m20261122_000033_keep_events.rs",
    "migration/src/m20261122_000034_chain_tasks.rs",
    "migration/src/m20261122_000035_limit_tasks.rs",
    "src/store/application/execute.rs",
    "src/store/bounded.rs",
    "src/store/claim.rs",
    "src/store/claim_position.rs",
    "src/store/doctor/rights.rs",
    "src/store/doctor/settings.rs",
    "src/store/doctor/tables.rs",
    "src/store/doctor/transactions.rs",
    "src/store/fair.rs",
    "src/store/finish.rs",
    "src/store/future.rs",
    "src/store/migrate.rs",
    "src/store/move_by_rows.rs",
    "src/store/move_to_history.rs",
    "src/store/nodes.rs",
    "src/store/outlook.rs",
    "src/store/peek.rs",
    "src/store/server_load.rs",
    "src/store/wakeup.rs",
];
/// The enums whose variants are the databases.
const ENUMS: [&str; 4] = ["Dialect", "Self", "DbBackend", "DatabaseBackend"];
const DATABASES: [&str; 3] = ["Postgres", "MySql", "Sqlite"];
/// What only the store may use.
const QUERIES: [&str; 6] =
    ["Statement::", "execute_raw", "execute_unprepared", "query_all", "EntityTrait", "DbBackend"];
/// The store's files with statements that have no parameters.
const UNPREPARED: [&str; 4] = [
    "client/src/store/connection.rs",
    "client/src/store/connection/borrowed.rs",
    "client/src/store/connection/transaction.rs",
    "src/store/wakeup.rs",
];

fn tells_apart(code: &str) -> bool {
    let variants = ENUMS.iter().flat_map(|name| DATABASES.map(|database| format!("{name}::{database}")));
    let is_whole = |at: usize, length: usize| !code[at + length..].starts_with(|c: char| c.is_alphanumeric());
    variants.into_iter().any(|variant| code.match_indices(&variant).any(|(at, found)| is_whole(at, found.len())))
}

#[test]
fn the_databases_are_told_apart_in_the_listed_files_only() {
    let sources = production(&CRATES);
    let telling = sources.iter().filter(|source| tells_apart(&source.code()));
    let found: BTreeSet<&str> = telling.map(|source| source.path.as_str()).collect();
    let listed = BTreeSet::from(TELLING_APART);
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(new.is_empty(), "{new:?} tell the databases apart: can client/src/store/dialect.rs do it?");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "{gone:?} do not tell the databases apart: take them off the list");
}

#[test]
fn queries_are_in_the_store_only() {
    for source in production(&["src", "client/src"]).iter().filter(|source| source.room() != "store") {
        let code = source.code();
        let found = QUERIES.iter().find(|word| code.contains(**word));
        assert!(found.is_none(), "{}: `{}` belongs in src/store", source.path, found.unwrap_or(&""));
    }
}

#[test]
fn values_reach_sql_as_parameters_only() {
    for source in production(&["src", "client/src"]).iter().filter(|source| source.room() == "store") {
        for banned in ["'{", "IN ({"] {
            assert!(
                !source.text.contains(banned),
                "{}: `{banned}…}}` puts a value into SQL text: bind it",
                source.path
            );
        }
        // Statements without parameters, which are constant: pragmas and the trigger. `connection` passes on what it gets.
        let is_constant = UNPREPARED.contains(&source.path.as_str());
        assert!(is_constant || !source.code().contains("execute_unprepared"), "{}: bind its values", source.path);
    }
}

#[test]
fn each_database_is_recognised() {
    for code in ["Dialect::Sqlite =>", "Self::MySql)", "DbBackend::Postgres"] {
        assert!(tells_apart(code), "{code}");
    }
    assert!(!tells_apart("fn backend() -> DbBackend { Self::PostgresListener }"));
}
