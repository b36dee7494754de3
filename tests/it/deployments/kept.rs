//! The version in force is kept in the state directory: a node has it without the database, and after a crash.

use std::fs;

use super::{Key, call, in_force, write};
use crate::support::{Daemon, Printed as _, on_each_database, sexton};

on_each_database! {
    async fn a_node_keeps_its_version_and_checks_it_again(database: Database) {
        let _store = database.store().await;
        let (key, stranger) = (Key::new(&database, "alice"), Key::new(&database, "mallory"));
        let signed_by = key.private.to_str().unwrap().to_owned();
        let daemon = database.daemon("n", &key.settings(""));
        let file = database.folder.path().join("n/sexton.toml");
        let toml = write(&database, "tasks.toml", "[task.kept]\nkind = \"noop\"\n");
        call(&file, &["config", "deploy", &toml, "--key", &signed_by]);
        in_force(&file, 1, &["n"]).await;
        daemon.stop();
        // No database is needed to know it.
        let shown = |file| call(file, &["config", "show"]);
        assert!(shown(&file).text().contains("[task.kept]"));
        let kept = database.folder.path().join("n/state/deployed/version.json");
        let sound = fs::read_to_string(&kept).unwrap();
        let forged = sound.replace("kept", "evil");
        let output = { fs::write(&kept, &forged).unwrap(); shown(&file) };
        assert!(!output.text().contains("[task."), "{}", output.text());
        assert!(output.errors().contains("its signature is not of this text"), "{}", output.errors());
        // Signed, but by somebody else.
        let text: serde_json::Value = serde_json::from_str(&sound).unwrap();
        let text = text["text"].as_str().unwrap();
        let theirs = serde_json::json!({ "text": text, "signature": stranger.sign("sexton-config", text) });
        fs::write(&kept, theirs.to_string()).unwrap();
        let output = shown(&file);
        assert!(!output.text().contains("[task.") && output.errors().contains("which [deploy] does not have"));
        // The daemon puts it aside, and takes the sound one again.
        let daemon = Daemon::start(&file, &["run"]);
        in_force(&file, 1, &["n"]).await;
        let log = daemon.stop();
        assert!(log.contains("version.json.refused"), "{log}");
        assert_eq!(fs::read_to_string(kept.with_extension("json.refused")).unwrap(), theirs.to_string());
        assert!(shown(&file).text().contains("[task.kept]"));
        // Without the table it counts for nothing.
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(&file, settings.split("[deploy]").next().unwrap()).unwrap();
        assert!(!shown(&file).text().contains("[task."));
    }

    async fn a_node_that_dies_while_it_takes_a_version_has_it_afterwards(database: Database) {
        let _store = database.store().await;
        let key = Key::new(&database, "alice");
        let file = database.config("n", &key.settings(""));
        let mut command = sexton(&file);
        command.arg("run").env("SEXTON_FAULT_POINT", "version kept");
        let mut daemon = Daemon::start_command(command, &file);
        let toml = write(&database, "tasks.toml", "[task.kept]\nkind = \"noop\"\n");
        call(&file, &["config", "deploy", &toml, "--key", key.private.to_str().unwrap()]);
        assert!(!daemon.wait().success());
        let daemon = Daemon::start(&file, &["run"]);
        call(&file, &["task", "add", "kept"]);
        in_force(&file, 1, &["n"]).await;
        daemon.stop();
    }
}
