//! Schedules that run one at a time.

use chrono::{DateTime, TimeDelta, Utc};
use sexton::{
    domain::schedule::{
        missed_policy::Overlap,
        reason::{Reason, StandsFor},
    },
    store::{Firing, HistoryFilter, Store},
};
use sexton_entities::states::{Fate, Outcome};

use super::schedules::{ahead, firing, sighting, tasks};
use crate::support::on_each_database;

fn alone(due_at: DateTime<Utc>) -> Firing {
    Firing { overlap: Overlap::Skip, reason: None, ..firing("s", due_at, Fate::Fired) }
}

/// Everything unfinished is over.
async fn finish_all(store: &Store) {
    for task in tasks(store).await {
        store.cancel(task.id).await.unwrap();
    }
}

on_each_database! {
    async fn an_instant_is_skipped_while_the_run_of_another_is_not_finished(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h"), sighting("other", "every 1h")]).await.unwrap();
        let hour = |hours| ahead_at(hours);
        let first = hour(0);
        assert_eq!(store.fire("n", &[alone(first)]).await.unwrap(), ["s"]);
        assert!(store.fire("n", &[alone(hour(1))]).await.unwrap().is_empty());
        let other = Firing { overlap: Overlap::Skip, ..firing("other", hour(1), Fate::Fired) };
        assert_eq!(store.fire("n", &[other]).await.unwrap(), ["other"], "it is a matter of each schedule");
        let entry = store.occurrences("s", 1).await.unwrap().remove(0);
        let reason = Reason::Overlap { unfinished: first };
        assert_eq!((entry.due_at, entry.fate, Reason::of(&entry)), (hour(1), Fate::Skipped, Some(reason.clone())));
        let skipped = HistoryFilter { outcome: Some(Outcome::Skipped), limit: 9, ..HistoryFilter::default() };
        assert_eq!(store.history(&skipped).await.unwrap()[0].error, Some(reason.to_string()));
        assert_eq!(store.schedules().await.unwrap()[1].last_at, hour(1), "it is dealt with");
        finish_all(&store).await;
        // Of several at once the first runs; what is allowed to overlap is not asked.
        let fired = store.fire("n", &[alone(hour(2)), alone(hour(3)), firing("other", hour(2), Fate::Fired), firing("other", hour(3), Fate::Late)]).await.unwrap();
        assert_eq!(fired, ["other", "s", "other"]);
        let ledger = store.occurrences("s", 2).await.unwrap();
        assert_eq!(ledger.iter().map(|entry| entry.fate).collect::<Vec<_>>(), [Fate::Skipped, Fate::Fired]);
        let schedules = store.schedules().await.unwrap();
        assert_eq!((schedules[0].last_at, schedules[1].last_at), (hour(3), hour(3)));
    }

    async fn a_paused_instant_keeps_nobody_from_running(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        store.pause_schedule("s", true).await.unwrap();
        assert!(store.fire("n", &[alone(ahead_at(0)), alone(ahead_at(1))]).await.unwrap().is_empty());
        let ledger = store.occurrences("s", 9).await.unwrap();
        assert!(ledger.iter().all(|entry| Reason::of(entry) == Some(Reason::Paused)), "{ledger:?}");
        store.pause_schedule("s", false).await.unwrap();
        assert_eq!(store.fire("n", &[alone(ahead_at(1)), alone(ahead_at(2))]).await.unwrap(), ["s"]);
        assert_eq!(tasks(&store).await[0].due_at, Some(ahead_at(2)), "what another has entered is of no account");
    }

    async fn an_entry_stands_for_earlier_instants_whatever_its_reason(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let others = StandsFor { count: 7, is_more: true };
        let many = |at| Firing { stands_for: Some(others), ..alone(at) };
        store.fire("n", &[many(ahead_at(0)), many(ahead_at(1))]).await.unwrap();
        store.pause_schedule("s", true).await.unwrap();
        store.fire("n", &[many(ahead_at(2)), Firing { stands_for: None, ..alone(ahead_at(3)) }]).await.unwrap();
        let ledger = store.occurrences("s", 9).await.unwrap();
        let stored: Vec<_> = ledger.iter().map(|entry| (Reason::of(entry), StandsFor::of(entry))).collect();
        let unfinished = Reason::Overlap { unfinished: ahead_at(0) };
        let paused = Some(Reason::Paused);
        assert_eq!(stored, [(paused.clone(), None), (paused, Some(others)), (Some(unfinished), Some(others)), (None, Some(others))]);
        let skipped = HistoryFilter { outcome: Some(Outcome::Skipped), limit: 9, ..HistoryFilter::default() };
        let errors: Vec<_> = store.history(&skipped).await.unwrap().into_iter().filter_map(|row| row.error).collect();
        let overlap = format!("{}; {others}", Reason::Overlap { unfinished: ahead_at(0) });
        assert_eq!(errors, ["the schedule is paused", "the schedule is paused; stands for more than 7 earlier instants", &overlap]);
    }

    async fn every_reason_is_stored_as_it_is(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let time = |hour, minute| chrono::NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        let (at, late) = (ahead_at(0) + TimeDelta::microseconds(123_456), TimeDelta::milliseconds(61_234));
        let zone = "America/Argentina/ComodRivadavia".to_owned();
        let reasons = [
            (Fate::Late, Reason::Late { by: late }),
            (Fate::Skipped, Reason::Missed),
            (Fate::Skipped, Reason::MissedMax { max: 24 }),
            (Fate::Skipped, Reason::MissedAge { by: late, limit: TimeDelta::seconds(60) }),
            (Fate::Skipped, Reason::MissedWindow { from: time(22, 30), to: time(0, 0), at: time(12, 5), zone }),
            (Fate::Skipped, Reason::Overlap { unfinished: at }),
            (Fate::Fired, Reason::Queued { unfinished: at, late_by: None }),
            (Fate::Late, Reason::Queued { unfinished: at, late_by: Some(late) }),
            (Fate::Coalesced, Reason::Coalesced { into: at }),
            (Fate::Fired, Reason::Held { until: at, period: "Büro 'früh'".to_owned() }),
            (Fate::Skipped, Reason::OutsidePeriod { period: "p\"q".repeat(100) }),
            (Fate::Skipped, Reason::Paused),
        ];
        let firings: Vec<Firing> = reasons
            .iter()
            .enumerate()
            .map(|(hour, (fate, reason))| Firing { reason: Some(reason.clone()), ..firing("s", ahead_at(hour as i64), *fate) })
            .collect();
        store.fire("n", &firings).await.unwrap();
        let mut ledger = store.occurrences("s", 99).await.unwrap();
        ledger.reverse();
        assert_eq!(ledger.len(), reasons.len());
        for (entry, (fate, reason)) in ledger.iter().zip(&reasons) {
            assert_eq!((entry.fate, Reason::of(entry).as_ref()), (*fate, Some(reason)));
            assert_eq!(entry.reason, None, "no sentence is stored");
        }
    }

    async fn what_waits_its_turn_is_queued_behind_the_oldest_run(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        let queued = |at, reason| Firing { overlap: Overlap::Queue, reason, ..alone(at) };
        let (late, held) = (TimeDelta::seconds(90), Reason::Held { until: ahead_at(9), period: "p".to_owned() });
        let reasons = [None, None, Some(Reason::Late { by: late }), Some(held.clone())];
        let firings: Vec<Firing> =
            reasons.into_iter().enumerate().map(|(hour, reason)| queued(ahead_at(hour as i64), reason)).collect();
        store.fire("n", &firings).await.unwrap();
        let mut ledger = store.occurrences("s", 9).await.unwrap();
        ledger.reverse();
        let unfinished = ahead_at(0);
        let expected = [
            None,
            Some(Reason::Queued { unfinished, late_by: None }),
            Some(Reason::Queued { unfinished, late_by: Some(late) }),
            Some(held),
        ];
        assert_eq!(ledger.iter().map(Reason::of).collect::<Vec<_>>(), expected);
    }

    async fn every_start_has_an_instant_of_its_own(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "@reboot")]).await.unwrap();
        // All start together, and some look at a clock that is behind.
        let nodes = (0..4).map(|node| {
            let start = Firing { at_start: true, ..firing("s", ahead_at(-node), Fate::Fired) };
            let store = store.clone();
            async move { store.fire(&format!("n{node}"), &[start]).await.unwrap() }
        });
        assert_eq!(futures::future::join_all(nodes).await.concat(), ["s"; 4]);
        assert_eq!((tasks(&store).await.len(), store.occurrences("s", 9).await.unwrap().len()), (4, 4));
        let late = Firing { at_start: true, ..alone(ahead_at(-9)) };
        assert!(store.fire("n", &[late]).await.unwrap().is_empty(), "what is not to overlap does not");
        assert_eq!(store.occurrences("s", 9).await.unwrap().len(), 5, "and that is in the ledger");
    }

    async fn two_nodes_never_run_two_instants_at_once(database: Database) {
        let store = database.store().await;
        store.sync_schedules(&[sighting("s", "every 1h")]).await.unwrap();
        for round in 0..15 {
            // Each node looks at another moment, and finds another instant due.
            let nodes = (0..3).map(|node| {
                let store = store.clone();
                async move { store.fire(&format!("n{node}"), &[alone(ahead_at(round * 3 + node))]).await.unwrap().len() }
            });
            let fired: usize = futures::future::join_all(nodes).await.into_iter().sum();
            assert_eq!((fired, tasks(&store).await.len()), (1, 1), "round {round}");
            finish_all(&store).await;
        }
    }
}

/// A whole hour, so many hours ahead.
pub(super) fn ahead_at(hours: i64) -> DateTime<Utc> {
    use chrono::DurationRound as _;
    ahead().duration_trunc(TimeDelta::days(1)).unwrap() + TimeDelta::days(2) + TimeDelta::hours(hours)
}
