//! The client library adds, edits, removes and lists schedules of the database.

use serde_json::json;
use sexton_client::{Client, ScheduleChange, ScheduleDefinition};

use super::{SETTINGS, call, fires, listed};
use crate::support::{Database, Kind, Printed as _, Role, block_on, on_each_database};

/// The grants of the SQL page let a role schedule, and nothing beyond that.
async fn a_role_schedules(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let role = Role::new(&database).await;
    let daemon = database.daemon("n", SETTINGS);
    let insert = "INSERT INTO sexton_schedule (name, task, settings) VALUES ('s', 'report', '{\"every\": \"300ms\"}')";
    role.is_denied(insert).await;
    role.grant_block("schedule").await;
    role.execute(insert).await;
    fires(&store, "s", 2).await;
    role.is_denied("UPDATE sexton_schedule SET origin = 'config' WHERE name = 's'").await;
    role.is_denied("UPDATE sexton_schedule SET last_at = NULL WHERE name = 's'").await;
    role.execute("UPDATE sexton_schedule SET paused = true WHERE name = 's'").await;
    role.execute("DELETE FROM sexton_schedule WHERE name = 's'").await;
    assert!(store.schedule("s").await.unwrap().is_none());
    daemon.stop();
}

#[test]
fn a_role_schedules_on_postgres() {
    block_on(a_role_schedules(Kind::Postgres));
}

#[test]
fn a_role_schedules_on_mariadb() {
    block_on(a_role_schedules(Kind::MariaDb));
}

#[test]
fn a_role_schedules_on_mysql() {
    block_on(a_role_schedules(Kind::MySql));
}

on_each_database! {
    async fn an_application_schedules(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        let file = database.folder.path().join("n/sexton.toml");
        let client = Client::connect(&database.url).unwrap();
        let new = ScheduleDefinition::new("digest", "report").set("every", "300ms").payload(&json!({"user": 7}));
        assert_eq!(client.add_schedule(&new).await.unwrap(), ScheduleChange::Done);
        assert_eq!(client.add_schedule(&new).await.unwrap(), ScheduleChange::AlreadyThere);
        fires(&store, "digest", 1).await;
        assert_eq!(client.schedules().await.unwrap(), std::slice::from_ref(&new));
        assert_eq!(client.edit_schedule(&new).await.unwrap(), ScheduleChange::Unchanged);
        let edited = ScheduleDefinition::new("digest", "other").cron("0 6 * * 1").timezone("Europe/Vienna");
        assert_eq!(client.edit_schedule(&edited).await.unwrap(), ScheduleChange::Done);
        assert_eq!(listed(&file, "digest")["task"], json!("other"));
        let unknown = ScheduleDefinition::new("unknown", "other").cron("@daily");
        assert_eq!(client.edit_schedule(&unknown).await.unwrap(), ScheduleChange::NotThere);
        assert!(client.add_schedule(&ScheduleDefinition::new("a b", "other")).await.is_err());
        assert_eq!(client.remove_schedule("digest").await.unwrap(), ScheduleChange::Done);
        assert_eq!(client.remove_schedule("digest").await.unwrap(), ScheduleChange::NotThere);
        let audit = call(&file, &["audit", "list", "--name", "digest", "--json"]).json();
        let actions: Vec<_> = audit.as_array().unwrap().iter().map(|deed| deed["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["remove", "edit", "add"]);
        daemon.stop();
    }
}
