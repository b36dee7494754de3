//! A signed version with a mistake: the old one stays in force, and the mistake is seen everywhere.

use std::fs;

use super::{Key, call, in_force, listed, write};
use crate::support::{Printed as _, eventually, on_each_database};

on_each_database! {
    async fn a_version_with_a_mistake_changes_nothing(database: Database) {
        let _store = database.store().await;
        let key = Key::new(&database, "alice");
        let signed_by = key.private.to_str().unwrap().to_owned();
        let daemon = database.daemon("n", &key.settings("[task.here]\nkind = \"noop\"\n"));
        let file = database.folder.path().join("n/sexton.toml");
        let good = write(&database, "tasks.toml", "[task.a]\nkind = \"noop\"\n");
        call(&file, &["config", "deploy", &good, "--key", &signed_by]);
        in_force(&file, 1, &["n"]).await;
        let bad = write(&database, "tasks.toml", "[task.a]\nkind = \"noop\"\n\n[task.here]\ncommand = [\"x\"]\n");
        call(&file, &["config", "deploy", &bad, "--key", &signed_by, "--force"]);
        let mistake = "deployed version 2: tasks.toml:4: task.here: ";
        eventually("the node says that it refuses it", async || {
            let refused = &listed(&file, 2)["refused_by"][0];
            refused["node"] == "n" && refused["why"].as_str().unwrap_or_default().contains(mistake)
        }).await;
        eventually("it is a problem", async || {
            let problems = call(&file, &["problem", "list", "--json"]).text();
            problems.contains(mistake) && problems.contains("configuration")
        }).await;
        let status = call(&file, &["status"]).text();
        assert!(status.contains("version 2 is refused") && status.contains(mistake), "{status}");
        let nodes = call(&file, &["node", "list", "--json"]).json();
        assert_eq!((&nodes[0]["deployment"]["in_force"], &nodes[0]["deployment"]["refused"]["number"]), (&1.into(), &2.into()));
        assert_eq!(listed(&file, 1)["in_force_on"][0], "n");
        // The mistake was in the local file: it is tried again with the next one.
        let local = fs::read_to_string(&file).unwrap().replace("[task.here]", "[task.there]");
        fs::write(&file, local).unwrap();
        in_force(&file, 2, &["n"]).await;
        eventually("the problem is over", async || {
            call(&file, &["problem", "list", "--json"]).json().as_array().unwrap().is_empty()
        }).await;
        let log = daemon.stop();
        assert_eq!(log.matches("version 2 of the configuration in the database is not taken").count(), 1, "{log}");
    }
}
