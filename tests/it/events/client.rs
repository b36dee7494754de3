//! The client library sends events, alone and in transactions of the application.

use sea_orm::TransactionTrait as _;
use serde_json::json;
use sexton_client::{Client, NewEvent, SentEvent, StoreError, Wakeup};

use super::{SETTINGS, events, task_of};
use crate::support::{Database, Kind, Role, block_on, on_each_database, value};

/// The grants of the SQL page let a role send events, and nothing beyond that.
async fn a_role_sends_events(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let role = Role::new(&database).await;
    let daemon = database.daemon("n", &format!("{SETTINGS}[trigger.t]\non = \"*\"\ntask = \"invoice\"\n"));
    let insert = "INSERT INTO sexton_event (name, payload, event_key) VALUES ('e', '{\"id\": 1}', 'k')";
    role.is_denied(insert).await;
    role.grant_block("event").await;
    role.execute(insert).await;
    let id = events(&store).await[0].id;
    task_of(&store, id, "t").await;
    role.is_denied("INSERT INTO sexton_event (name, state) VALUES ('e', 'consumed')").await;
    role.is_denied("UPDATE sexton_event SET name = 'x'").await;
    role.is_denied("DELETE FROM sexton_event").await;
    role.is_denied("INSERT INTO sexton_event_trigger (event_id, trigger_name) VALUES (1, 'x')").await;
    daemon.stop();
}

#[test]
fn a_role_sends_events_on_postgres() {
    block_on(a_role_sends_events(Kind::Postgres));
}

#[test]
fn a_role_sends_events_on_mariadb() {
    block_on(a_role_sends_events(Kind::MariaDb));
}

#[test]
fn a_role_sends_events_on_mysql() {
    block_on(a_role_sends_events(Kind::MySql));
}

on_each_database! {
    async fn an_application_sends_events(database: Database) {
        let store = database.store().await;
        let settings = format!("{SETTINGS}[trigger.t]\non = \"*\"\ntask = \"invoice\"\n");
        let daemon = database.daemon("n", &settings);
        let client = Client::connect(&database.url).unwrap();
        let keyed = NewEvent::new("order.paid").payload_of(&json!({ "id": 1 })).key("order-1");
        let SentEvent::New(first) = client.send_event(keyed.clone()).await.unwrap() else { panic!("it is new") };
        assert_eq!(client.send_event(keyed.clone()).await.unwrap(), SentEvent::AlreadyThere(first));
        let task = task_of(&store, first, "t").await;
        assert_eq!(value(&task.payload), Some(json!({ "id": 1 })));
        let transaction = client.connection().begin().await.unwrap();
        client.send_event_in(&transaction, NewEvent::new("rolled.back")).await.unwrap();
        transaction.rollback().await.unwrap();
        let transaction = client.connection().begin().await.unwrap();
        let sent = client.send_event_in(&transaction, NewEvent::new("committed")).await.unwrap();
        transaction.commit().await.unwrap();
        client.wake_up(Wakeup::Events);
        task_of(&store, sent.id(), "t").await;
        assert_eq!(events(&store).await.len(), 2);
        let refused = client.send_event(NewEvent::new("order paid")).await;
        assert!(matches!(refused, Err(StoreError::InvalidEvent(_))), "{refused:?}");
        assert!(client.send_event(NewEvent::new("e").key("k".repeat(191))).await.is_err());
        daemon.stop();
    }
}
