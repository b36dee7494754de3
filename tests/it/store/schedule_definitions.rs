//! How nodes define a schedule: one definition is in force, and what is wrong is known.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use sexton::{
    domain::schedule::definitions::DefinitionFault,
    store::{Firing, ScheduleRow, Store},
};
use sexton_entities::states::Fate;

use super::{
    beat, register,
    schedules::{ahead, firing, sighting, tasks},
};
use crate::support::on_each_database;

/// A node enters its schedules, and says so.
async fn enter(store: &Store, node: &str, schedules: &[ScheduleRow]) {
    let compared = store.compare_schedules(&node.into(), node, schedules).await.unwrap();
    let own: Vec<ScheduleRow> =
        schedules.iter().filter(|row| !compared.overruled.contains(&row.name)).cloned().collect();
    store.sync_schedules(&own).await.unwrap();
    assert!(store.publish_schedules(&node.into(), node, schedules).await.unwrap());
}

async fn faults(store: &Store) -> Vec<(String, DefinitionFault)> {
    store.definition_faults().await.unwrap()
}

on_each_database! {
    async fn of_two_definitions_the_one_entered_last_is_in_force(database: Database) {
        let store = database.store().await;
        let (first, second) = ([sighting("s", "every 1h")], [sighting("s", "every 2h")]);
        for node in ["alpha", "beta"] {
            register(&store, node).await;
        }
        assert!(!store.publish_schedules(&"gamma".into(), "gamma", &first).await.unwrap(), "it is not registered");
        enter(&store, "alpha", &first).await;
        assert_eq!(faults(&store).await, []);
        enter(&store, "beta", &second).await;
        let row = store.schedule("s").await.unwrap().unwrap();
        assert_eq!((&*row.spec, row.defined_on.as_deref()), ("every 2h", Some("beta")));
        let fault = faults(&store).await.remove(0).1;
        let sentence = fault.sentence("s");
        assert!(sentence.starts_with("nodes alpha and beta define schedule s differently; the definition of beta, of 20"), "{sentence}");
        // Module cron of alpha loads again, because it was recycled: nothing changes.
        enter(&store, "alpha", &first).await;
        assert_eq!(store.schedule("s").await.unwrap().unwrap().spec, "every 2h");
        // What alpha enters by its own definition does not count.
        let at = ahead();
        let by = |spec: &str, at| [Firing { spec: Some(spec.to_owned()), ..firing("s", at, Fate::Fired) }];
        assert!(store.fire("alpha", &by("every 1h", at)).await.unwrap().is_empty());
        assert!(store.is_any_unlisted(&by("every 1h", at)).await.unwrap());
        assert_ne!(store.schedule("s").await.unwrap().unwrap().last_at, at, "it stays where it was");
        assert!(!store.is_any_unlisted(&by("every 2h", at)).await.unwrap());
        assert_eq!(store.fire("beta", &by("every 2h", at)).await.unwrap(), ["s"]);
        assert_eq!(tasks(&store).await.len(), 1);
        // Beta dies: the definition of alpha is in force from now on.
        store.heartbeat(&beat("beta", Duration::ZERO)).await.unwrap();
        enter(&store, "alpha", &first).await;
        let row = store.schedule("s").await.unwrap().unwrap();
        assert_eq!((&*row.spec, row.defined_on.as_deref()), ("every 1h", Some("alpha")));
        assert_eq!(faults(&store).await, []);
    }

    async fn a_schedule_whose_only_node_is_gone_is_known(database: Database) {
        let store = database.store().await;
        for node in ["alpha", "beta", "gamma"] {
            register(&store, node).await;
        }
        enter(&store, "alpha", &[]).await;
        enter(&store, "beta", &[sighting("b", "every 1h")]).await;
        enter(&store, "gamma", &[sighting("g", "every 1h")]).await;
        assert_eq!(faults(&store).await, []);
        store.leave(&"gamma".into()).await.unwrap();
        store.heartbeat(&beat("beta", Duration::ZERO)).await.unwrap();
        let dying = faults(&store).await;
        assert_eq!(store.remove_dead_nodes(&"alpha".into()).await.unwrap(), 1);
        let gone = faults(&store).await;
        assert_eq!(dying, gone, "its last heartbeat is known after its row is gone");
        let last: Vec<String> = gone.iter().map(|(name, fault)| fault.sentence(name)).collect();
        assert!(last[0].starts_with("no running node has schedule b: node beta, the last one with it, has not been seen since 20"), "{last:?}");
        assert!(last[1].starts_with("no running node has schedule g: node gamma, the last one with it, has not "), "{last:?}");
        let dropped = async |name: &str| store.compare_schedules(&"new".into(), name, &[]).await.unwrap().dropped;
        assert_eq!(dropped("gamma").await, ["g"], "it is back without its schedule");
        assert!(dropped("delta").await.is_empty(), "they were of other nodes");
        register(&store, "delta").await;
        assert_eq!(faults(&store).await, [], "it has not said which schedules it has");
        enter(&store, "delta", &[sighting("b", "every 1h")]).await;
        assert!(store.pause_schedule("g", true).await.unwrap());
        assert_eq!(faults(&store).await, [], "one is back, and one is paused");
    }

    async fn an_edit_knows_the_instant_that_was_missed(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        let before = [sighting("s", "every 1h"), sighting("p", "every 1h")];
        enter(&store, "n", &before).await;
        let after = [sighting("s", "every 2h"), sighting("p", "every 2h")];
        assert!(store.pause_schedule("p", true).await.unwrap());
        let missed = async || store.compare_schedules(&"m".into(), "m", &after).await.unwrap().missed;
        let (past, future) = (sexton::clock::machine_time() - TimeDelta::minutes(10), ahead());
        store.set_next_run(&["s", "p"].map(|name| (name.to_owned(), future))).await.unwrap();
        assert_eq!(missed().await, [], "its next instant has not come");
        let earlier = "UPDATE sexton_schedule SET last_at = '2026-01-01 00:00:00', next_at = NULL";
        store.connection().execute_unprepared(earlier).await.unwrap();
        store.set_next_run(&["s", "p"].map(|name| (name.to_owned(), past))).await.unwrap();
        let found = missed().await;
        assert_eq!(found.len(), 1, "a pause skips it: {found:?}");
        assert!(found[0].0 == "s" && (found[0].1 - past).num_milliseconds() == 0, "{found:?}");
        assert_eq!(store.compare_schedules(&"m".into(), "m", &before).await.unwrap().missed, [], "that is no edit");
        // It is entered by the earlier definition, before the edit.
        assert_eq!(store.fire("m", &[firing("s", found[0].1, Fate::Late)]).await.unwrap(), ["s"]);
        assert_eq!(missed().await, []);
    }
}
