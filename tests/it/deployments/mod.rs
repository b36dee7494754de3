//! Deployments of configuration: versions in the database that a key of the local file has signed.

mod attacker;
mod commands;
mod kept;
mod mistakes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::store::{HistoryFilter, Store};

use crate::support::{Database, Printed, eventually, on_each_database, sexton};

/// A pair of keys of OpenSSH.
pub(crate) struct Key {
    pub(crate) private: PathBuf,
    public: String,
}

impl Key {
    pub(crate) fn new(database: &Database, name: &str) -> Self {
        Self::of_type(database, name, "ed25519")
    }

    fn of_type(database: &Database, name: &str, kind: &str) -> Self {
        let private = database.folder.path().join(name);
        ssh_keygen(&["-q", "-t", kind, "-N", "", "-C", name, "-f", private.to_str().unwrap()]);
        let public = fs::read_to_string(private.with_extension("pub")).unwrap().trim().to_owned();
        Self { private, public }
    }

    /// Signs a text as `ssh-keygen` does.
    fn sign(&self, namespace: &str, text: &str) -> String {
        let file = self.private.with_extension("text");
        let signature = self.private.with_extension("text.sig");
        fs::write(&file, text).unwrap();
        let _ = fs::remove_file(&signature);
        let (key, text) = (self.private.to_str().unwrap(), file.to_str().unwrap());
        ssh_keygen(&["-q", "-Y", "sign", "-n", namespace, "-f", key, text]);
        fs::read_to_string(&signature).unwrap()
    }

    /// The settings of a node that takes what this key has signed.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!("heartbeat = \"500ms\"\n[deploy]\ncluster = \"shop\"\nkeys = [\"{}\"]\n{more}", self.public)
    }
}

fn ssh_keygen(arguments: &[&str]) {
    let done = Command::new("ssh-keygen").args(arguments).stdin(Stdio::null()).output();
    let done = done.expect("ssh-keygen is missing: apt-get install openssh-client");
    assert!(done.status.success(), "{arguments:?}: {}", done.errors());
}

fn call(file: &Path, arguments: &[&str]) -> Output {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}{}", output.text(), output.errors());
    output
}

/// What a command says that must fail.
fn refused(file: &Path, arguments: &[&str]) -> String {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}: {}", output.text());
    output.errors()
}

/// Writes a file that is to be deployed.
fn write(database: &Database, name: &str, text: &str) -> String {
    let path = database.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A version in `config versions --json`.
fn listed(file: &Path, number: i64) -> Value {
    let all = call(file, &["config", "versions", "--json"]).json();
    all.as_array().unwrap().iter().find(|known| known["number"] == number).cloned().unwrap_or_default()
}

fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

async fn in_force(file: &Path, number: i64, nodes: &[&str]) {
    eventually(&format!("version {number} is in force on {nodes:?}"), async || {
        let version = listed(file, number);
        !version.is_null() && names(&version["in_force_on"]) == nodes
    })
    .await;
}

async fn runs(store: &Store, task: &str) -> usize {
    let filter = HistoryFilter { name: Some(task.to_owned()), limit: 10_000, ..HistoryFilter::default() };
    store.history(&filter).await.unwrap().len()
}

async fn execute(store: &Store, sql: &str, values: impl IntoIterator<Item = sea_orm::Value>) {
    store.connection().execute_raw(store.statement(sql, values)).await.unwrap();
}

on_each_database! {
    async fn a_signed_version_is_in_force_on_every_node(database: Database) {
        let store = database.store().await;
        let key = Key::new(&database, "alice");
        let signed_by = key.private.to_str().unwrap();
        let made = database.folder.path().join("made");
        let one = database.daemon("one", &key.settings(""));
        let two = database.daemon("two", &key.settings(""));
        let file = database.folder.path().join("one/sexton.toml");
        let tasks = format!("[task.made]\ncommand = [\"touch\", \"{}\"]\n", made.display());
        let tasks = write(&database, "tasks.toml", &tasks);
        let hours = write(&database, "hours.toml", "[period.night]\nranges = { \"monday - sunday\" = \"22:00-24:00\" }\n");
        let said = call(&file, &["config", "deploy", &tasks, &hours, "--key", signed_by, "--note", "the first"]).text();
        assert!(said.contains("version 1 is deployed: 2 files (tasks.toml, hours.toml), signed by alice (SHA256:"), "{said}");
        in_force(&file, 1, &["one", "two"]).await;
        let version = listed(&file, 1);
        assert_eq!((&version["valid"], &version["note"]), (&true.into(), &"the first".into()));
        call(&file, &["task", "add", "made"]);
        eventually("its task has run", async || runs(&store, "made").await == 1).await;
        assert!(made.exists());
        let nodes = call(&file, &["node", "list", "--json"]).json();
        assert!(nodes.as_array().unwrap().iter().all(|node| node["deployment"]["in_force"] == 1), "{nodes}");
        let status = call(&file, &["status"]).text();
        assert!(status.contains("version 1, signed by alice"), "{status}");
        let deeds = call(&file, &["audit", "list", "--json"]).json();
        let deed = deeds.as_array().unwrap().iter().find(|deed| deed["action"] == "deploy").cloned().unwrap();
        assert_eq!((&deed["target"], &deed["name"]), (&"configuration".into(), &"shop".into()));
        assert_eq!(deed["value_after"]["files"], serde_json::json!(["tasks.toml", "hours.toml"]));
        // The next one has less.
        call(&file, &["config", "deploy", &hours, "--key", signed_by]);
        in_force(&file, 2, &["one", "two"]).await;
        assert!(!call(&file, &["config", "show"]).text().contains("[task.made]"));
        // Back again.
        call(&file, &["config", "rollback", "1", "--key", signed_by]);
        in_force(&file, 3, &["one", "two"]).await;
        assert_eq!(listed(&file, 3)["note"], "back to version 1");
        assert!(call(&file, &["config", "show"]).text().contains("[task.made]"));
        for log in [one.stop(), two.stop()] {
            assert!(!log.contains("ERROR") && log.contains("version 3 of the configuration is in force"), "{log}");
        }
    }
}
