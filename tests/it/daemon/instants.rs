//! What comes of a schedule's instants beside their time: at the start of a daemon, outside a period, and with jitter.

use sea_orm::EntityTrait as _;
use sexton::{domain::schedule::reason::Reason, store::TaskFilter};
use sexton_entities::states::{Fate, TaskState};

use super::{completed, count, history};
use crate::support::{Database, Kind, block_on, eventually, on_each_database, sexton};

on_each_database! {
    async fn outside_its_period_an_instant_is_skipped_or_held_and_jitter_comes_later(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", "[period.far]\nranges = { \"2033-01-01\" = \"06:00-24:00\" }\n\
            [task.skipped]\nkind = \"noop\"\nschedule = { every = \"200ms\" }\nperiod = \"far\"\n\
            [task.held]\nkind = \"noop\"\nschedule = { every = \"200ms\" }\nperiod = \"far\"\noutside_period = \"hold\"\n\
            missed = \"all\"\n\
            [task.once]\nkind = \"noop\"\nschedule = { every = \"200ms\" }\nperiod = \"far\"\noutside_period = \"hold\"\n\
            [task.jittered]\nkind = \"noop\"\nschedule = { every = \"200ms\", jitter = \"1h\" }");
        eventually("each was due", async || {
            let mut seen = Vec::new();
            for name in ["skipped", "held", "once", "jittered"] {
                seen.push(!store.occurrences(name, 1).await.unwrap().is_empty());
            }
            seen.into_iter().all(|seen| seen)
        })
        .await;
        daemon.stop();
        let skipped = store.occurrences("skipped", 1).await.unwrap().remove(0);
        let outside = Reason::OutsidePeriod { period: "far".to_owned() };
        assert_eq!((skipped.fate, Reason::of(&skipped)), (Fate::Skipped, Some(outside)));
        let held = store.occurrences("held", 1).await.unwrap().remove(0);
        let hold = Reason::Held { until: "2033-01-01T06:00:00Z".parse().unwrap(), period: "far".to_owned() };
        assert_eq!(Reason::of(&held), Some(hold), "and it is fired: {:?}", held.fate);
        let once = store.occurrences("once", 1).await.unwrap().remove(0);
        let last = Reason::Coalesced { into: "2033-01-01T05:59:59.800Z".parse().unwrap() };
        assert_eq!((once.fate, Reason::of(&once)), (Fate::Coalesced, Some(last)), "one of them is enough");
        let tasks = store.tasks(&TaskFilter { limit: 100_000, ..TaskFilter::default() }).await.unwrap();
        assert!(tasks.iter().all(|task| !["skipped", "once"].contains(&task.name.as_str()) && task.state == TaskState::Scheduled), "{tasks:#?}");
        let held = tasks.iter().find(|task| task.name == "held").unwrap();
        assert_eq!(held.run_at.to_rfc3339(), "2033-01-01T06:00:00+00:00");
        let jittered: Vec<_> = tasks.iter().filter(|task| task.name == "jittered").collect();
        for task in &jittered {
            let later = (task.run_at - task.due_at.unwrap()).num_seconds();
            assert!((0..=3_700).contains(&later), "{later} s later");
        }
        assert!(!jittered.is_empty());
    }
}

#[test]
fn at_reboot_means_once_at_each_start() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let settings = "[task.begin]\nkind = \"noop\"\nschedule = \"@reboot\"";
        for starts in 1..=2 {
            let daemon = database.daemon("n", settings);
            eventually("it has come", async || completed(&store).await == starts).await;
            let file = database.config("n", settings);
            let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
            assert!(call(&["module", "restart", "cron"]).status.success());
            eventually("the module is another one", async || {
                let listed = call(&["module", "list", "--json"]).stdout;
                let modules: serde_json::Value = serde_json::from_slice(&listed).unwrap_or_default();
                let cron = modules.as_array().into_iter().flatten().find(|module| module["name"] == "cron").cloned();
                cron.is_some_and(|cron| cron["recycled"] == 1 && cron["rounds"].as_u64() > Some(0))
            })
            .await;
            daemon.stop();
            assert_eq!(count(&store, "COUNT(*) FROM sexton_occurrence").await, starts, "each start is in the ledger");
        }
        assert_eq!(history(&store).await.len(), 2);
        let tasks = sexton_entities::task::Entity::find().all(store.connection()).await.unwrap();
        assert!(tasks.is_empty(), "{tasks:?}");
    });
}
