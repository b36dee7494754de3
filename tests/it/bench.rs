//! `sexton bench` measures, and deletes its rows.

use crate::support::{Printed, on_each_database, sexton};

on_each_database! {
    async fn a_short_bench_gives_every_figure(database: Database) {
        let file = database.config("n", "");
        let output = sexton(&file)
            .args(["bench", "--database", &database.url, "--tasks", "2000", "--singles", "50", "--pickups", "10", "--idle", "500ms", "--json"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let figures = output.json();
        for figure in [
            "enqueue_single_per_second", "enqueue_eight_per_second", "enqueue_batch_per_second", "drain_per_second",
            "drain_client_cpu_us", "enqueue_paced_p50_ms", "pickup_p99_ms", "pickup_inside_p99_ms",
        ] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure}: {figures}");
        }
        // A task may begin before its enqueue returns.
        assert!(figures["pickup_p50_ms"].is_number() && figures["pickup_inside_p50_ms"].is_number(), "{figures}");
        assert!(figures["idle_statements_per_minute"].is_number() && figures["idle_cpu_percent"].is_number());
        // The log of a file is the file itself.
        let has_log = database.kind != crate::support::Kind::Sqlite;
        assert_eq!(figures["drain_log_bytes"].as_f64().is_some_and(|bytes| bytes > 0.0), has_log, "{figures}");
        assert_eq!(figures["workers"], 10);
        let store = database.bare_store();
        assert!(store.history(&sexton::store::HistoryFilter { limit: 1, ..Default::default() }).await.unwrap().is_empty());
        assert!(store.queues(&[]).await.unwrap().is_empty());
        assert!(store.nodes().await.unwrap().is_empty());
    }
}
