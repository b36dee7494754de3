//! How much room the file systems of the daemon have. A file system that does not answer keeps nothing back.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{config::Config, domain::daemon::disk::DiskSpace, service::disk_space, store::ConnectOptions};

/// For how long it waits for the file systems.
const LIMIT: Duration = Duration::from_secs(2);

/// The file system of a directory of the daemon.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) place: PathBuf,
    /// The settings that lead there.
    pub(super) settings: String,
    pub(super) space: DiskSpace,
}

/// The answer of a thread that looks, and the path at which it is.
type Looking = (oneshot::Receiver<Vec<Disk>>, Arc<Mutex<PathBuf>>);

/// Looks on a thread of its own, one at a time.
#[derive(Default)]
pub(super) struct Disks {
    /// The thread that looks, until it has answered, and the path at which it is.
    looking: Option<Looking>,
}

impl Disks {
    /// The file systems that say how much room they have.
    ///
    /// # Errors
    /// The path that does not answer, in words.
    pub(super) async fn look(&mut self, config: Arc<Config>) -> Result<Vec<Disk>, String> {
        if self.looking.is_none() {
            let (tell, answer) = oneshot::channel();
            let at = Arc::new(Mutex::new(PathBuf::new()));
            let place = at.clone();
            let work = move || drop(tell.send(disks(&config, &place)));
            let thread = thread::Builder::new().name("disks".to_owned()).spawn(work);
            thread.map_err(|error| format!("no thread can be started: {error}"))?;
            self.looking = Some((answer, at));
        }
        let Some((answer, at)) = &mut self.looking else { return Ok(Vec::new()) };
        let answer = tokio::time::timeout(LIMIT, answer).await;
        let late = |_| format!("the file system of {} does not answer", at.lock().display());
        let found = answer.map_err(late)?;
        self.looking = None;
        found.map_err(|_| "the look has failed by a mistake in this program".to_owned())
    }
}

fn disks(config: &Config, at: &Mutex<PathBuf>) -> Vec<Disk> {
    let with_space = |(place, settings): (PathBuf, String)| {
        at.lock().clone_from(&place);
        disk_space(&place).ok().map(|space| Disk { place, settings, space })
    };
    places(config, at).into_iter().filter_map(with_space).collect()
}

/// The directories of the daemon, one for each file system, with the settings that lead there.
fn places(config: &Config, at: &Mutex<PathBuf>) -> Vec<(PathBuf, String)> {
    let daemon = &config.daemon;
    let mut settings = vec![
        ("daemon.state_dir", daemon.state_dir.clone()),
        ("daemon.run_dir", daemon.run_dir.clone()),
        ("daemon.log_dir", daemon.log_dir.clone()),
    ];
    let database = ConnectOptions::new(config.database.url.clone()).sqlite_file();
    let beside = |file: PathBuf| file.parent().filter(|dir| !dir.as_os_str().is_empty()).map(Path::to_owned);
    settings.extend(database.map(|file| ("database.url", beside(file).unwrap_or_else(|| PathBuf::from(".")))));
    let mut found: BTreeMap<u64, (PathBuf, Vec<&str>)> = BTreeMap::new();
    for (setting, path) in settings {
        at.lock().clone_from(&path);
        let Ok(path) = fs::canonicalize(path) else { continue };
        let Ok(metadata) = fs::metadata(&path) else { continue };
        found.entry(metadata.dev()).or_insert_with(|| (path, Vec::new())).1.push(setting);
    }
    found.into_values().map(|(path, settings)| (path, settings.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_system_is_looked_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = fs::canonicalize(dir.path()).expect("its path");
        let mut config = Config::default_for(&format!("sqlite://{}/s.db", path.display()));
        config.daemon.state_dir = path.clone();
        config.daemon.run_dir = path.join("missing");
        config.daemon.log_dir = path.clone();
        let found = places(&config, &Mutex::default());
        assert_eq!(found, [(path, "daemon.state_dir, daemon.log_dir, database.url".to_owned())]);
    }

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_is_named_and_asked_no_second_time() {
        let (tell, answer) = oneshot::channel();
        let mut disks = Disks { looking: Some((answer, Arc::new(Mutex::new("/mnt/dead".into())))) };
        let config = Arc::new(Config::default_for("sqlite::memory:"));
        assert_eq!(
            disks.look(config.clone()).await.expect_err("no answer"),
            "the file system of /mnt/dead does not answer"
        );
        tell.send(Vec::new()).expect("it still waits for the same thread");
        assert_eq!(disks.look(config).await.expect("an answer").len(), 0);
    }
}
