//! Schedules that run after others: one task for each of their instants, after the run that it follows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sexton::store::{HistoryFilter, Store};
use sexton_entities::{
    history,
    states::{Outcome, Verdict},
};

use super::count;
use crate::support::{Database, Kind, Printed as _, block_on, eventually, on_each_database, sexton};

const SETTINGS: &str = r#"heartbeat = "500ms"
[task.import]
kind = "noop"
schedule = { every = "1s" }
[task.fail]
command = ["false"]
schedule = { every = "2s" }
[task.index]
kind = "noop"
[schedule.indexed]
task = "index"
after = ["import"]
[schedule.published]
task = "index"
after = ["indexed", "import"]
[schedule.mended]
task = "index"
after = ["import"]
when = "failure"
[schedule.alerted]
task = "index"
after = ["fail"]
when = "failure"
"#;

/// The ends of a schedule's runs, by instant.
async fn ends(store: &Store, schedule: &str) -> BTreeMap<DateTime<Utc>, Vec<history::Model>> {
    let filter = HistoryFilter { schedule: Some(schedule.to_owned()), limit: 10_000, ..HistoryFilter::default() };
    let mut ends: BTreeMap<DateTime<Utc>, Vec<history::Model>> = BTreeMap::new();
    for row in store.history(&filter).await.unwrap().into_iter().filter(|row| row.verdict.is_some()) {
        ends.entry(row.due_at.unwrap()).or_default().push(row);
    }
    ends
}

on_each_database! {
    async fn each_run_is_followed_once_with_two_nodes(database: Database) {
        let store = database.store().await;
        let daemons = [database.daemon("a", SETTINGS), database.daemon("b", SETTINGS)];
        eventually("they have run, and what failed is followed as well", async || {
            ends(&store, "published").await.len() >= 4 && ends(&store, "alerted").await.len() >= 2
        })
        .await;
        store.pause_all(true).await.unwrap();
        eventually("what has begun has ended", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 0)
            .await;
        for daemon in daemons {
            daemon.stop();
        }
        let of = async |schedule: &str| ends(&store, schedule).await;
        let (imports, indexed, published, mended) = (of("import").await, of("indexed").await, of("published").await, of("mended").await);
        let finished = |ends: &BTreeMap<DateTime<Utc>, Vec<history::Model>>, at: &DateTime<Utc>| ends[at][0].id;
        for (at, rows) in &indexed {
            assert_eq!((rows.len(), rows[0].verdict), (1, Some(Verdict::Completed)), "{rows:?}");
            assert!(finished(&imports, at) < rows[0].id, "after the run that it follows");
        }
        for (at, rows) in &published {
            assert_eq!(rows.len(), 1, "one task for an instant of both");
            assert!(finished(&indexed, at) < rows[0].id && finished(&imports, at) < rows[0].id);
        }
        assert!(mended.values().flatten().all(|row| row.outcome == Outcome::Skipped), "no import has failed");
        assert!(of("alerted").await.values().flatten().all(|row| row.outcome == Outcome::Succeeded));
        // Nothing was left out: each run has a follower, which has ended or waits.
        let sql = "COUNT(*) FROM sexton_occurrence o WHERE o.schedule = 'import' AND o.fate IN ('fired', 'late') AND NOT EXISTS \
                   (SELECT 1 FROM sexton_occurrence f WHERE f.schedule = 'indexed' AND f.due_at = o.due_at)";
        assert_eq!(count(&store, sql).await, 0);
    }

    async fn a_schedule_of_the_database_follows_one_of_a_file(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        let stored = sexton_client::ScheduleDefinition::new("stored", "index").set("after", serde_json::json!(["import"]));
        sexton::Client::new(store.clone()).add_schedule(&stored).await.unwrap();
        eventually("it runs", async || ends(&store, "stored").await.len() >= 2).await;
        daemon.stop();
    }
}

#[test]
fn what_follows_is_explained_and_mistakes_are_found() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        database.store().await;
        let call = |settings: &str, arguments: &[&str]| {
            let file = database.config("n", settings);
            sexton(&file).args(arguments).output().unwrap()
        };
        let next = call(SETTINGS, &["schedule", "next", "indexed"]).text();
        assert_eq!(next, "No other instants: After each success of import\n");
        let plan = call(SETTINGS, &["plan"]);
        assert!(plan.status.success(), "{}", plan.errors());
        let shown = call(SETTINGS, &["config", "show"]).text();
        assert!(shown.contains("after = [\"indexed\", \"import\"]"), "{shown}");
        let file = database.folder.path().join("shown.toml");
        std::fs::write(&file, &shown).unwrap();
        let again = sexton(&file).args(["config", "show"]).output().unwrap();
        assert_eq!(again.text(), shown, "it can be read back: {}", again.errors());
        let refused = |settings: &str| {
            let output = call(&format!("{SETTINGS}{settings}"), &["config", "check"]);
            assert!(!output.status.success(), "{settings}");
            output.errors()
        };
        let unknown = refused("[schedule.x]\ntask = \"index\"\nafter = [\"imports\"]\n");
        assert!(
            unknown.contains("schedule.x.after: there is no schedule `imports`; did you mean `import`?"),
            "{unknown}"
        );
        assert!(unknown.contains(":32:"), "with its line: {unknown}");
        let circle = "[schedule.x]\ntask = \"index\"\nafter = [\"y\"]\n[schedule.y]\ntask = \"index\"\nafter = [\"x\", \"import\"]\n";
        let circle = refused(circle);
        assert!(circle.contains("the schedule would run after itself: x after y after x"), "{circle}");
        assert_eq!(circle.matches("run after itself").count(), 1, "{circle}");
        let own = refused("[schedule.x]\ntask = \"index\"\nafter = [\"x\"]\n");
        assert!(own.contains("the schedule would run after itself: x after x"), "{own}");
        let both = refused("[schedule.x]\ntask = \"index\"\nafter = [\"import\"]\ncron = \"@daily\"\n");
        assert!(both.contains("expected one of `cron`"), "{both}");
        let empty = refused("[schedule.x]\ntask = \"index\"\nafter = []\n");
        assert!(empty.contains("the list is empty"), "{empty}");
    });
}
