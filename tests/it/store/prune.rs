//! Retention takes what is old, and nothing else.

use std::time::Duration;

use chrono::TimeDelta;
use sexton::store::{HistoryFilter, OnStale, ScheduleRow};
use sexton_entities::states::{Outcome, Verdict};

use super::{ended, enqueue, register};
use crate::support::on_each_database;

on_each_database! {
    async fn old_history_goes_together_with_its_output(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        enqueue(&store, "work", 1_200).await;
        let claimed = store.claim(&"n".into(), &"default".into(), 1_200).await.unwrap().tasks;
        let batch: Vec<_> = claimed
            .iter()
            .enumerate()
            .map(|(index, task)| {
                let mut finished = ended(task, "n", Outcome::Succeeded, Verdict::Completed);
                finished.report.stdout.text = "text".to_owned();
                if index < 1_100 {
                    finished.finished_at -= TimeDelta::days(10);
                }
                finished
            })
            .collect();
        store.finish(&batch, OnStale::Record).await.unwrap();
        let all = store.history(&HistoryFilter { limit: 2_000, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!(store.prune(Duration::from_secs(5 * 86_400), async |_| true).await.unwrap(), 1_100);
        let left = store.history(&HistoryFilter { limit: 2_000, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!(left.len(), 100);
        for row in all {
            let kept = left.iter().any(|known| known.id == row.id);
            assert_eq!(store.output(row.id).await.unwrap().is_some(), kept);
        }
    }

    async fn an_own_schedule_stays_however_long_nobody_has_had_it(database: Database) {
        let store = database.store().await;
        let names = ["own", "lost", "recent"].map(str::to_owned);
        let sightings = names.clone().map(|name| ScheduleRow { task: name.clone(), name, spec: "@daily".to_owned() });
        store.sync_schedules(&sightings).await.unwrap();
        let now = store.now().await.unwrap();
        let [own, lost, recent] = names;
        let long_ago = now - TimeDelta::days(40);
        store.set_next_run(&[(own, long_ago), (lost, long_ago), (recent, now - TimeDelta::days(2))]).await.unwrap();
        store.prune_schedules(Duration::from_secs(30 * 86_400), &["own"].into()).await.unwrap();
        let left: Vec<_> = store.schedules().await.unwrap().into_iter().map(|left| left.name).collect();
        assert_eq!(left, ["own", "recent"]);
    }
}
