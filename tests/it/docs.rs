//! Everything that the documents show is tried.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use sexton::domain::schedule::reason::{Reason, columns::ReasonColumns};
use sexton_entities::states::ReasonCode;

use crate::support::{Database, Kind, Printed, block_on, document::blocks, eventually, on_each_database, sexton};

on_each_database! {
    async fn every_query_of_the_sql_page_runs(database: Database) {
        let store = database.store().await;
        let blocks = blocks("docs/SQL.md", "sql");
        let queries = blocks.iter().filter(|block| block.starts_with("SELECT")).count();
        assert_eq!((queries, blocks.len()), (12, 17));
        for block in blocks {
            store.connection().execute_unprepared(block.trim_end().trim_end_matches(';')).await.unwrap_or_else(|error| panic!("{block}\n{error}"));
        }
        let tasks = store.tasks(&sexton::store::TaskFilter { limit: 10, ..Default::default() }).await.unwrap();
        let report = tasks.iter().find(|task| task.name == "report").unwrap();
        assert_eq!(report.run_at.to_rfc3339(), "2026-12-01T06:00:00+00:00");
        assert_eq!((report.queue.as_deref(), report.unique_key.as_deref()), (Some("reports"), Some("report-2026-11")));
    }
}

#[test]
fn the_sql_page_explains_every_reason() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SQL.md")).unwrap();
    let row = |code: ReasonCode| page.lines().find(|line| line.starts_with(&format!("| `{code}` |"))).unwrap();
    let at = "2026-11-21T10:00:00Z".parse().unwrap();
    let time = |hour| chrono::NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    let (seconds, office) = (TimeDelta::seconds, || "office".to_owned());
    let zone = "Europe/Berlin".to_owned();
    let reasons = [
        Reason::Late { by: seconds(180) },
        Reason::Missed,
        Reason::MissedMax { max: 24 },
        Reason::MissedAge { by: seconds(240), limit: seconds(150) },
        Reason::MissedWindow { from: time(5), to: time(6), at: time(4), zone },
        Reason::Overlap { unfinished: at },
        Reason::Queued { unfinished: at, late_by: None },
        Reason::Coalesced { into: at },
        Reason::Held { until: at, period: office() },
        Reason::OutsidePeriod { period: office() },
        Reason::Paused,
        Reason::Other { text: None },
    ];
    assert_eq!(reasons.iter().map(Reason::code).collect::<Vec<_>>(), ReasonCode::ALL);
    for reason in &reasons {
        let row = row(reason.code());
        if reason.code() != ReasonCode::Other {
            assert!(row.ends_with(&format!("| {reason} |")), "the page has another sentence than «{reason}»: {row}");
        }
        // A row names exactly the columns that go with its code.
        let columns = serde_json::to_value(ReasonColumns::of(Some(reason))).unwrap();
        for (column, value) in columns.as_object().unwrap().iter().filter(|(column, _)| *column != "reason_code") {
            let is_named = row.split(" | ").nth(3).unwrap().contains(&format!("`{column}`"));
            let is_optional = reason.code() == ReasonCode::Queued && column == "late_ms";
            assert!(is_named != value.is_null() || is_optional, "{column}: {row}");
        }
    }
}

#[test]
fn every_configuration_of_the_documents_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let mut tried = 0;
    let documents = [
        "docs/CONFIGURATION.md",
        "README.md",
        "docs/OPERATING.md",
        "docs/EXTENDING.md",
        "docs/IMPORT.md",
        "docs/WORKERS.md",
        "docs/CHAINS.md",
        "docs/MONITORING.md",
        "docs/PERIODS.md",
        "docs/DEPLOYMENTS.md",
        "docs/EVENTS.md",
        "docs/SWEEPS.md",
        "docs/LIMITS.md",
        "docs/SCHEDULES.md",
        "docs/recipes/python.md",
        "docs/recipes/php.md",
        "docs/recipes/nodejs.md",
        "docs/recipes/ruby.md",
        "docs/recipes/go.md",
        "docs/recipes/java.md",
        "docs/recipes/shell.md",
    ];
    for document in documents {
        for block in blocks(document, "toml") {
            std::fs::write(&file, &block).unwrap();
            let output = sexton(&file).args(["config", "check"]).output().unwrap();
            assert!(output.status.success(), "{document}\n{block}\n{}", output.errors());
            tried += 1;
        }
    }
    assert!(tried >= 3, "only {tried} were found");
}

#[test]
fn the_configuration_page_names_every_setting() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    std::fs::write(
        &file,
        "[x]\n[database]\nx = 1\n[daemon]\nx = 1\n[log]\nx = 1\n[metrics]\nx = 1\n[trace]\nx = 1\n[deploy]\nx = 1\n[supervisor]\nx = 1\n[queue.q]\nx = 1\n[module.m]\nx = 1\n[worker.w]\nx = 1\n[notify.n]\nx = 1\n\
         [period.p]\nx = 1\n[task.t]\nx = 1\n[task.u]\nschedule = { cron = \"@daily\", x = 1 }\n[schedule.s]\nx = 1\n[trigger.t]\nx = 1\n[sweep.s]\nx = 1\n",
    )
    .unwrap();
    let output = sexton(&file).args(["config", "check"]).output().unwrap();
    let mut named = 0;
    for line in output.errors().lines().filter_map(|line| line.split("there is no such setting; known: ").nth(1)) {
        for setting in line.split(", ") {
            assert!(
                page.contains(&format!("`{setting}`")) || page.contains(&format!("[{setting}")),
                "`{setting}` is not explained"
            );
            named += 1;
        }
    }
    assert!(named > 30, "only {named}: {}", output.errors());
}

#[test]
fn the_test_daemon_in_shell_prints_the_time_and_is_replaced() {
    block_on(async {
        let page = blocks("docs/EXTENDING.md", "toml");
        let block = page.iter().find(|block| block.contains("[module.test-daemon]")).unwrap();
        let faster = block
            .replace("EVERY = \"2\"", "EVERY = \"0.05\"")
            .replace("recycle_after = \"1h\"", "recycle_after = \"1s\"");
        assert!(faster.contains("0.05") && faster.contains("\"1s\""), "{block}");
        let database = Database::new(Kind::Sqlite).await;
        let daemon = database.daemon("n", &faster);
        let printed = || daemon.log().matches("INFO test-daemon: it is ").count();
        eventually("it prints the time, is replaced, and prints it again", async || {
            let log = daemon.log();
            printed() >= 10 && log.matches("recycling its program: it has run for 1s").count() >= 2
        })
        .await;
        daemon.stop();
    });
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("cargo run --release -- run") && readme.contains("tests/run"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    std::fs::write(&file, "").unwrap();
    let mut tried = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("sexton ")) {
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap()
            .split_whitespace()
            .take(2)
            .take_while(|word| !word.starts_with('-'))
            .collect();
        let output = sexton(&file).args(&words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{line}: {}", output.errors());
        tried += 1;
    }
    assert!(tried >= 8, "only {tried} were found");
}
