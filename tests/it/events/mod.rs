//! Events of applications, and the triggers that make tasks of them.

mod client;
mod cluster;
mod commands;
mod files;
mod killed;
mod pace;
mod rules;

use std::{path::Path, process::Output};

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::{
    domain::event::Trigger,
    store::{EventFilter, Store},
};
use sexton_client::{Client, NewEvent};
use sexton_entities::{
    event, event_trigger,
    states::{EventFate, EventState},
    task,
};

use crate::support::{Printed as _, eventually, sexton};

/// Tasks without workers stay where a test can see them.
const SETTINGS: &str = "heartbeat = \"500ms\"\nlease = \"3s\"\n[queue.held]\nworkers = 0\n[task.invoice]\nkind = \"noop\"\n\
    queue = \"held\"\n[task.mail]\nkind = \"noop\"\n";

async fn execute(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

async fn send(client: &Client, event: NewEvent) -> i64 {
    client.send_event(event).await.unwrap().id()
}

async fn event(store: &Store, id: i64) -> event::Model {
    store.event(id).await.unwrap().unwrap()
}

/// Waits until all triggers have dealt with an event.
async fn settled(store: &Store, id: i64) -> event::Model {
    eventually(&format!("event {id} is dealt with"), async || {
        !matches!(event(store, id).await.state, EventState::New | EventState::Waiting)
    })
    .await;
    event(store, id).await
}

/// What a trigger made of an event.
async fn fate(store: &Store, id: i64, trigger: &str) -> Option<event_trigger::Model> {
    let all = store.fates_of_events(&[id]).await.unwrap();
    all.into_iter().find(|fate| fate.trigger_name == trigger)
}

/// The task that a trigger made of an event.
async fn task_of(store: &Store, id: i64, trigger: &str) -> task::Model {
    settled(store, id).await;
    let fate = fate(store, id, trigger).await.unwrap();
    assert_eq!(fate.fate, EventFate::Enqueued, "{fate:?}");
    store.task(fate.task_id.unwrap()).await.unwrap().unwrap()
}

async fn events(store: &Store) -> Vec<event::Model> {
    store.events(&EventFilter { limit: 100_000, ..EventFilter::default() }).await.unwrap()
}

/// A trigger on events `e`, whose tasks stay in the queue `held`.
pub(crate) fn trigger(name: &str) -> Trigger {
    Trigger {
        name: name.to_owned(),
        on: vec!["e".parse().unwrap()],
        watch: None,
        task: "t".to_owned(),
        queue: "held".into(),
        priority: 0,
        expires: None,
        payload: None,
        default_payload: None,
        when: None,
        pace: None,
        delay: None,
        unique_key: None,
    }
}

fn call(file: &Path, arguments: &[&str]) -> Output {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output
}

/// What a command says that must fail.
fn refused(file: &Path, arguments: &[&str]) -> String {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}: {}", output.text());
    output.errors()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    call(file, arguments).json()
}
