//! The values of columns as JSON.

use serde_json::json;

use super::{execute, round, sweep, tasks};
use crate::support::{Daemon, Kind, on_each_database, value};

on_each_database! {
    async fn values_become_json_by_their_types(database: Database) {
        let store = database.store().await;
        let (columns, values) = match database.kind {
            Kind::Sqlite => ("i integer, f real, d text, b blob, n text", "9007199254740993, 1.5, '12.50', x'00ff', NULL"),
            Kind::Postgres => (
                "i bigint, f float8, d numeric(10,2), b bytea, n text, j jsonb, at timestamptz, day date, flag boolean, \
                 u uuid, list integer[]",
                "9007199254740993, 1.5, 12.50, '\\x00ff', NULL, '{\"a\": [1.10]}', '2026-01-02 03:04:05.5+02', '2026-01-02', \
                 true, '00000000-0000-0000-0000-000000000001', ARRAY[1, 2]",
            ),
            Kind::MariaDb | Kind::MySql => (
                "i bigint, f double, d decimal(10,2), b varbinary(10), n text, at datetime(6), ts timestamp, day date, flag boolean, \
                 big bigint unsigned, long_time time, e enum('x', 'y')",
                "9007199254740993, 1.5, 12.50, x'00ff', NULL, '2026-01-02 03:04:05.5', '2026-01-02 03:04:05', '2026-01-02', \
                 true, 18446744073709551615, '25:00:00', 'y'",
            ),
        };
        execute(&store, &["CREATE TABLE v (", columns, ")"].concat()).await;
        if database.kind != Kind::Sqlite && database.kind != Kind::Postgres {
            execute(&store, "SET time_zone = '+00:00'").await;
        }
        execute(&store, &["INSERT INTO v VALUES (", values, ")"].concat()).await;
        let settings = sweep("").replace("SELECT id, email FROM customer ORDER BY id", "SELECT * FROM v").replace("\"id\"", "\"i\"");
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let row = round(&store, &file, &[]).await;
        let made = tasks(&store).await;
        assert_eq!(made.len(), 1, "{row:?}");
        assert_eq!(made[0].unique_key.as_deref(), Some("sweep:old:9007199254740993"));
        let mut expected = json!({ "i": 9007199254740993_i64, "f": 1.5, "d": "12.50", "b": "AP8=", "n": null });
        let more = match database.kind {
            Kind::Sqlite => json!({}),
            Kind::Postgres => json!({
                "j": { "a": [1.10] }, "at": "2026-01-02T01:04:05.5Z", "day": "2026-01-02", "flag": true,
                "u": "00000000-0000-0000-0000-000000000001", "list": "{1,2}"
            }),
            Kind::MariaDb | Kind::MySql => json!({
                "at": "2026-01-02T03:04:05.500", "ts": "2026-01-02T03:04:05Z", "day": "2026-01-02", "flag": 1,
                "big": 18446744073709551615_u64, "long_time": "25:00:00", "e": "y"
            }),
        };
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(value(&made[0].payload), Some(expected));
        daemon.stop();
    }
}
