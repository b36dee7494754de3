//! Daemon modules as the configuration has them, and programs that are kept running as such.

mod process;
mod reload;
mod settings;

use std::path::PathBuf;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    commands::processes,
    support::{Daemon, Database, Kind, Printed, eventually, sexton},
};

/// A daemon with its own SQLite file, whose modules show themselves often.
struct House {
    // It ends before its folder is removed.
    daemon: Option<Daemon>,
    config: PathBuf,
    database: Database,
}

/// What goes before the tables of each test; the text stands inside `[daemon]`.
const LIVELY: &str = "heartbeat = \"100ms\"\n";

impl House {
    /// One with these tables of configuration, started.
    async fn new(tables: &str) -> Self {
        let database = Database::new(Kind::Sqlite).await;
        let config = database.config("n", &format!("{LIVELY}{tables}"));
        let daemon = Some(Daemon::start(&config, &["run"]));
        Self { database, config, daemon }
    }

    fn log(&self) -> String {
        self.daemon.as_ref().unwrap().log()
    }

    /// Writes other tables, and has them read.
    fn reload(&self, tables: &str) {
        self.database.config("n", &format!("{LIVELY}{tables}"));
        self.daemon.as_ref().unwrap().signal(Signal::SIGHUP);
    }

    /// A module on the board, as `sexton module list` shows it.
    fn module(&self, name: &str) -> Option<serde_json::Value> {
        let output = sexton(&self.config).args(["module", "list", "--json"]).output().unwrap();
        output.json().as_array().unwrap().iter().find(|module| module["name"] == name).cloned()
    }

    fn state(&self, name: &str) -> Option<String> {
        Some(self.module(name)?["state"].as_str()?.to_owned())
    }

    /// A cell of the summary of a process module.
    fn cell(&self, name: &str, column: &str) -> String {
        let Some(module) = self.module(name) else { return String::new() };
        let table = &module["summary"][0];
        let columns = table["columns"].as_array().cloned().unwrap_or_default();
        let index = columns.iter().position(|known| known == column);
        index.and_then(|index| table["rows"][0][index].as_str()).unwrap_or_default().to_owned()
    }

    fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.config, &["run"]));
    }

    fn stop(&mut self) -> String {
        self.daemon.take().unwrap().stop()
    }
}

/// The one process whose command line contains that text.
fn pid_of(text: &str) -> Option<i32> {
    let found: Vec<i32> = processes(text).into_iter().filter(|(_, state)| *state != 'Z').map(|(pid, _)| pid).collect();
    assert!(found.len() <= 1, "{text} runs more than once: {found:?}");
    found.first().copied()
}

/// Waits until it runs; gives its process number.
async fn runs(text: &str) -> i32 {
    eventually(&format!("{text} runs"), async || pid_of(text).is_some()).await;
    pid_of(text).unwrap()
}

async fn is_gone(text: &str) {
    eventually(&format!("{text} is gone"), async || pid_of(text).is_none()).await;
}

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}
