//! Somebody who can write every table brings in no command, no environment and no user, and starts no task that the
//! configuration keeps from schedules of the database.

use std::fs;

use super::{execute, fires, listed, runs};
use crate::support::on_each_database;

on_each_database! {
    async fn rows_bring_in_nothing_to_execute(database: Database) {
        let store = database.store().await;
        let folder = database.folder.path().join("made");
        fs::create_dir_all(&folder).unwrap();
        let made = folder.display().to_string();
        let settings = format!(
            "heartbeat = \"500ms\"\n[task.tick]\nkind = \"noop\"\n[task.show]\ncommand = [\"sh\", \"-c\", \"echo $FLAG >> {made}/shown\"]\n\
             env = {{ FLAG = \"ours\" }}\n[task.secret]\ncommand = [\"touch\", \"{made}/secret\"]\nschedulable = false\n\
             [task.own]\nkind = \"noop\"\nschedule = \"0 0 1 1 *\"\n"
        );
        let daemon = database.daemon("n", &settings);
        let file = database.folder.path().join("n/sexton.toml");
        let evil = format!("[\"touch\", \"{made}/evil\"]");
        let rows = [
            ("command", "tick", format!("{{\"every\": \"200ms\", \"command\": {evil}}}"), "command"),
            ("kind", "tick", "{\"every\": \"200ms\", \"kind\": \"command\"}".to_owned(), "kind"),
            ("env", "show", "{\"every\": \"200ms\", \"env\": {\"FLAG\": \"theirs\"}}".to_owned(), "env"),
            ("user", "show", "{\"every\": \"200ms\", \"user\": \"root\"}".to_owned(), "user"),
            ("dir", "show", "{\"every\": \"200ms\", \"dir\": \"/\"}".to_owned(), "dir"),
            ("ping", "tick", "{\"every\": \"200ms\", \"ping_url\": \"http://127.0.0.1:9/\"}".to_owned(), "ping_url"),
            ("secret", "secret", "{\"every\": \"200ms\"}".to_owned(), "schedulable"),
            ("queue", "tick", "{\"every\": \"200ms\", \"queue\": \"theirs\"}".to_owned(), "queue"),
            ("program", "/bin/sh", "{\"every\": \"200ms\"}".to_owned(), "task"),
        ];
        for (name, task, settings, _) in &rows {
            let settings = settings.replace('\'', "''");
            execute(&store, &format!("INSERT INTO sexton_schedule (name, task, settings) VALUES ('{name}', '{task}', '{settings}')")).await;
        }
        // A row of the file is turned into one of the database.
        execute(&store, &format!("UPDATE sexton_schedule SET origin = 'database', task = 'secret', shadowed_task = 'secret', \
                                  spec = 'every 1s', settings = '{{\"every\": \"200ms\", \"command\": {evil}}}' WHERE name = 'own'")).await;
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('good', 'show', '{\"every\": \"200ms\"}')").await;
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('tick', 'tick', '{\"every\": \"200ms\"}')").await;
        fires(&store, "good", 5).await;
        fires(&store, "tick", 5).await;
        for (name, _, _, said) in &rows {
            assert!(runs(&store, name).await.is_empty(), "{name} has run");
            assert!(listed(&file, name)["unused"].as_str().unwrap_or_default().contains(said), "{}", listed(&file, name));
        }
        assert!(runs(&store, "own").await.iter().all(|run| run.name == "own"));
        daemon.stop();
        let shown = fs::read_to_string(folder.join("shown")).unwrap();
        assert!(shown.lines().all(|line| line == "ours"), "{shown}");
        let found: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(found, ["shown"]);
    }
}
