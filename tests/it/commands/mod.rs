//! Kind `command`: real programs under real shepherds.

mod answers;
mod basics;
mod black_box;
mod identity;
mod limits;
mod many;
mod nasty;
mod shortage;
mod survival;

use std::path::PathBuf;

use sexton::{
    Client, NewTask,
    store::{Enqueued, HistoryFilter, Store},
};
use sexton_entities::{history, output};

use crate::support::{Daemon, Database, Kind, eventually};

/// A daemon with its own SQLite file, for commands.
pub(crate) struct Stand {
    // Ends before its files are removed, so that a failed test can show its log.
    pub(crate) daemon: Option<Daemon>,
    pub(crate) database: Database,
    pub(crate) store: Store,
    pub(crate) config: PathBuf,
}

impl Stand {
    /// Starts one with these tables of configuration; the text begins inside `[daemon]`.
    pub(crate) async fn new(tables: &str) -> Self {
        Self::on(Database::new(Kind::Sqlite).await, tables).await
    }

    pub(crate) async fn on(database: Database, tables: &str) -> Self {
        let store = database.store().await;
        let config = database.config("n", tables);
        let daemon = Some(Daemon::start(&config, &["run"]));
        Self { database, store, config, daemon }
    }

    /// Starts one whose only task, `it`, is that definition.
    pub(crate) async fn of(definition: &str) -> Self {
        Self::new(&format!("[task.it]\n{definition}")).await
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.database.folder.path().join("n/state")
    }

    pub(crate) async fn enqueue(&self, task: NewTask) -> i64 {
        match Client::new(self.store.clone()).enqueue(task).await.unwrap() {
            Enqueued::New(id) => id,
            there => panic!("{there:?}"),
        }
    }

    /// Waits until a task is finished; gives its last row of history.
    pub(crate) async fn finished(&self, id: i64) -> history::Model {
        eventually("the task is finished", async || self.store.task(id).await.unwrap().is_none()).await;
        self.rows(id).await.pop().unwrap()
    }

    /// Its rows of history, the oldest first.
    pub(crate) async fn rows(&self, id: i64) -> Vec<history::Model> {
        let filter = HistoryFilter { task_id: Some(id), limit: 100, ..HistoryFilter::default() };
        let mut rows = self.store.history(&filter).await.unwrap();
        rows.reverse();
        rows
    }

    pub(crate) async fn output(&self, row: &history::Model) -> Option<output::Model> {
        self.store.output(row.id).await.unwrap()
    }

    /// Runs `it` to its end; gives its row and what it wrote.
    pub(crate) async fn run(&self, payload: Option<serde_json::Value>) -> (history::Model, Option<output::Model>) {
        let id = self.enqueue(NewTask { payload: payload.map(Into::into), ..NewTask::new("it") }).await;
        let row = self.finished(id).await;
        let output = self.output(&row).await;
        (row, output)
    }

    /// Ends the daemon as the OOM killer would.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// Starts the daemon again, with the same configuration.
    pub(crate) fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.config, &["run"]));
    }

    /// Stops the daemon in good order; gives its log.
    pub(crate) fn stop(&mut self) -> String {
        self.daemon.take().unwrap().stop()
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.as_ref().unwrap().log()
    }
}

/// Runs one command task to its end; gives its last row of history, and what it wrote.
pub(crate) async fn outcome_of(
    definition: &str,
    payload: Option<serde_json::Value>,
) -> (history::Model, Option<output::Model>) {
    let mut stand = Stand::of(definition).await;
    let ended = stand.run(payload).await;
    stand.stop();
    assert_eq!(attempts_on_disk(&stand), 0, "what is recorded is not kept on disk");
    ended
}

/// The folders of attempts that are left.
fn attempts_on_disk(stand: &Stand) -> usize {
    let Ok(homes) = std::fs::read_dir(stand.state().join("attempts")) else { return 0 };
    homes
        .flatten()
        .map(|home| std::fs::read_dir(home.path()).unwrap().flatten().filter(|e| e.path().is_dir()).count())
        .sum()
}

/// The processes whose command line contains that text, with their states and numbers.
pub(crate) fn processes(text: &str) -> Vec<(i32, char)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        line.contains(text).then_some((pid, state))
    })
    .collect()
}

/// The parents of a process, up to the first.
fn ancestors(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut next = pid;
    while next > 1 {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{next}/stat")) else { break };
        next = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
        found.push(next);
    }
    found
}

/// The shepherd of a command whose command line contains that text.
fn shepherd_of(text: &str) -> Option<i32> {
    let is_shepherd =
        |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sexton: ["));
    processes(text).into_iter().find_map(|(pid, _)| ancestors(pid).into_iter().find(is_shepherd))
}

/// A number of seconds that nobody else sleeps, by which a test finds what is left of its commands.
pub(crate) fn unusual() -> String {
    format!("3600.{}", fastrand::u32(100_000..1_000_000))
}

/// A script that a command runs, in a folder of its own.
pub(crate) fn script(stand_folder: &std::path::Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = stand_folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
