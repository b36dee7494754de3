//! Somebody who can write every table, and has no key: nothing of what they write is ever executed.

use std::fs;

use super::{Key, call, execute, in_force, listed, runs, write};
use crate::support::{Database, Printed as _, eventually, on_each_database};

const INSERT: &str = "INSERT INTO sexton_config_version (number, cluster, manifest, signature, signer) VALUES (?, 'shop', ?, ?, 'alice (SHA256:true)')";

/// A version of that number, as the command line writes it for a signature.
fn text(database: &Database, key: &Key, cluster: &str, number: i64, toml: &str) -> String {
    let settings = key.settings("").replace("\"shop\"", &format!("\"{cluster}\""));
    let file = database.config(&format!("author-{cluster}"), &settings);
    let toml = write(database, "evil.toml", toml);
    call(&file, &["config", "deploy", &toml, "--print", "--force", "--number", &number.to_string()]).text()
}

on_each_database! {
    async fn who_can_write_every_table_executes_nothing(database: Database) {
        let store = database.store().await;
        let (key, stranger) = (Key::new(&database, "alice"), Key::new(&database, "mallory"));
        let signed_by = key.private.to_str().unwrap().to_owned();
        let evil = database.folder.path().join("evil");
        let daemon = database.daemon("n", &key.settings(""));
        let bare = database.daemon("bare", "heartbeat = \"500ms\"\n");
        let file = database.folder.path().join("n/sexton.toml");
        let mark = |word: &str| format!(
            "[task.{word}]\ncommand = [\"touch\", \"{}\"]\nschedule = {{ every = \"200ms\" }}\n", evil.display()
        );
        // Version 1 is what the attacker would like back, and version 2 what is in force.
        let old = write(&database, "old.toml", &mark("evil").replace("schedule", "#"));
        call(&file, &["config", "deploy", &old, "--key", &signed_by]);
        in_force(&file, 1, &["n"]).await;
        let good = "[task.good]\nkind = \"noop\"\nschedule = { every = \"200ms\" }\n";
        let good = write(&database, "good.toml", good);
        call(&file, &["config", "deploy", &good, "--key", &signed_by]);
        in_force(&file, 2, &["n"]).await;
        let first = store.config_version(1).await.unwrap().unwrap();
        let (first, first_signature) = (first.manifest.unwrap(), first.signature.unwrap());

        let toml = mark("evil");
        let of = |number: i64| text(&database, &key, "shop", number, &toml);
        let foreign = text(&database, &key, "other", 14, &toml);
        let own_keys = format!("{toml}[deploy]\ncluster = \"shop\"\nkeys = [\"{}\"]\n", stranger.public);
        let own_keys = text(&database, &key, "shop", 16, &own_keys);
        let own_database = text(&database, &key, "shop", 19, &format!("{toml}[database]\nurl = \"sqlite://theirs.db\"\n"));
        let own_user = text(&database, &key, "shop", 20, &format!("{toml}[daemon]\nstate_dir = \"/tmp/theirs\"\n"));
        let signed = key.sign("sexton-config", &of(15));
        let rows: Vec<(i64, Option<String>, Option<String>, &str)> = vec![
            (10, Some(of(10)), Some("signed by alice".to_owned()), "its signature is not one"),
            (11, Some(of(11)), Some(stranger.sign("sexton-config", &of(11))), "which [deploy] does not have"),
            (12, Some(of(12)), Some(key.sign("file", &of(12))), "made for the purpose `file`"),
            (13, Some(first.clone()), Some(first_signature.clone()), "has the number 13, and its signed text 1"),
            (14, Some(foreign.clone()), Some(key.sign("sexton-config", &foreign)), "signed for the cluster `other`"),
            (15, Some(of(15).replace("evil", "more")), Some(signed.clone()), "is not of this text"),
            (16, Some(own_keys.clone()), Some(stranger.sign("sexton-config", &own_keys)), "which [deploy] does not have"),
            (17, None, None, "missing, too large, or no text"),
            (18, Some("\u{1b}[2J\u{7}".repeat(100)), Some("\u{1b}]0;x\u{7}".to_owned()), "its signature is not one"),
            // Also a key is no way to another database or other keys.
            (19, Some(own_database.clone()), Some(key.sign("sexton-config", &own_database)), "cannot be deployed"),
            (20, Some(own_user.clone()), Some(key.sign("sexton-config", &own_user)), "cannot be deployed"),
            (21, Some("x".repeat(9_000_000)), Some(signed), "missing, too large, or no text"),
            (-5, Some(of(22)), Some(first_signature.clone()), ""),
            (i64::MAX, Some(of(23)), Some(first_signature.clone()), "its signature is not of this text"),
        ];
        for (number, manifest, signature, _) in &rows {
            execute(&store, INSERT, [(*number).into(), manifest.clone().into(), signature.clone().into()]).await;
        }
        // The one in force is taken away, and the old one is all that is left.
        execute(&store, "DELETE FROM sexton_config_version WHERE number = 2", []).await;
        for (number, _, _, why) in &rows {
            daemon.wait_for_log(why);
            if !why.is_empty() {
                let line = format!("version {number} of the configuration in the database is not taken");
                eventually("it is logged", async || daemon.log().contains(&line)).await;
                let said = listed(&file, *number);
                assert!(said["valid"] == false || [19, 20].contains(number), "{said}");
            }
        }
        let before = runs(&store, "good").await;
        eventually("the work goes on", async || runs(&store, "good").await > before + 5).await;
        eventually("it is a problem", async || {
            call(&file, &["problem", "list", "--json"]).text().contains("of the configuration in the database is not in force")
        }).await;
        assert_eq!(call(&file, &["status", "--json"]).json()["daemon"]["deployment"]["in_force"], 2);
        // A key later, everything is well: what nobody has signed is in no one's way.
        let said = call(&file, &["config", "deploy", &good, "--key", &signed_by, "--json"]).json();
        let number = said["number"].as_i64().unwrap();
        in_force(&file, number, &["n"]).await;
        // Its row in the table of nodes is theirs to write, and proves nothing.
        execute(&store, "UPDATE sexton_node SET deployment = NULL", []).await;
        let before = runs(&store, "good").await;
        eventually("the work goes on", async || runs(&store, "good").await > before + 5).await;
        assert_eq!((runs(&store, "evil").await, runs(&store, "more").await, evil.exists()), (0, 0, false));
        // A node without keys does not even look.
        let nodes = call(&file, &["node", "list", "--json"]).json();
        let of_bare = nodes.as_array().unwrap().iter().find(|node| node["name"] == "bare").unwrap().clone();
        assert!(of_bare["deployment"].is_null(), "{of_bare}");
        let log = daemon.stop();
        execute(&store, "DROP TABLE sexton_config_version", []).await;
        let shown = call(&database.folder.path().join("bare/sexton.toml"), &["config", "show"]).text();
        assert!(!shown.contains("[task."), "{shown}");
        for (number, _, _, why) in &rows {
            let line = format!("version {number} of the configuration in the database is not taken");
            assert_eq!(log.matches(&line).count(), usize::from(!why.is_empty()), "{number}: once");
        }
        let log = bare.stop();
        assert!(!log.contains("ERROR") && !log.contains("config_version"), "{log}");
        assert!(!evil.exists());
    }

    async fn a_replay_is_not_taken_after_a_newer_one(database: Database) {
        let store = database.store().await;
        let key = Key::new(&database, "alice");
        let signed_by = key.private.to_str().unwrap().to_owned();
        let daemon = database.daemon("n", &key.settings(""));
        let file = database.folder.path().join("n/sexton.toml");
        for name in ["a", "b", "c"] {
            let toml = write(&database, "one.toml", &format!("[task.{name}]\nkind = \"noop\"\n"));
            call(&file, &["config", "deploy", &toml, "--key", &signed_by]);
        }
        in_force(&file, 3, &["n"]).await;
        // Without the state directory's version, but with its number: an older one stays refused.
        daemon.stop();
        let kept = database.folder.path().join("n/state/deployed/version.json");
        fs::remove_file(&kept).unwrap();
        execute(&store, "DELETE FROM sexton_config_version WHERE number = 3", []).await;
        let log = database.folder.path().join("n/sexton.log");
        let config = fs::read_to_string(&file).unwrap();
        let again = crate::support::Daemon::start(&file, &["run"]);
        let toml = write(&database, "one.toml", "[task.d]\nkind = \"noop\"\n");
        call(&file, &["config", "deploy", &toml, "--key", &signed_by, "--number", "4"]);
        in_force(&file, 4, &["n"]).await;
        let text = again.stop();
        assert!(!text.contains("version 2 of the configuration is in force"), "{text}{}{config}", log.display());
        assert!(!text.contains("version 1 of the configuration is in force"), "{text}");
        // A new machine knows no number. The local file can say what it must not go below.
        let fresh = database.daemon("fresh", &key.settings("min_number = 5\n"));
        let toml = write(&database, "one.toml", "[task.e]\nkind = \"noop\"\n");
        call(&file, &["config", "deploy", &toml, "--key", &signed_by, "--number", "5"]);
        in_force(&file, 5, &["fresh"]).await;
        let text = fresh.stop();
        assert!(!text.contains("version 4 of the configuration is in force"), "{text}");
    }
}
