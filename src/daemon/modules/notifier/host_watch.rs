//! What becomes a problem on this machine before it stops the work: file systems that are nearly full, and a configuration
//! that was refused.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sexton_entities::states::ProblemKind;

use super::parts::NotifierParts;
use crate::{
    config::Config,
    daemon::module::ModuleContext,
    domain::{daemon::disk::Room, problem::Sighting},
    service::disk_space,
    store::{ConnectOptions, Store, StoreError},
};

/// A shortage that lasts is counted again after this time.
const COUNTED_EVERY: Duration = Duration::from_secs(300);

/// What it saw before.
#[derive(Default)]
pub(super) struct HostWatch {
    /// The file systems without much room, by the name of their problem: how little it is, and when that was counted.
    short: HashMap<String, (Room, Instant)>,
    /// The refused configuration that was counted.
    refused: Option<String>,
    /// Whether what an earlier daemon left open was closed, if it is over.
    has_begun: bool,
}

/// A file system with little room.
struct Shortage {
    problem: String,
    room: Room,
    what: String,
}

impl HostWatch {
    /// Looks at the disks and at the configuration.
    pub(super) async fn look(&mut self, context: &ModuleContext, parts: &NotifierParts) -> Result<(), StoreError> {
        let store = context.store();
        let disks = self.look_at_disks(store, &context.config(), &parts.node).await;
        store.isolated().part("problems of disks", disks)?;
        let configuration = self.look_at_configuration(store, parts).await;
        store.isolated().part("the problem of a configuration", configuration)?;
        self.has_begun = true;
        Ok(())
    }

    async fn look_at_disks(&mut self, store: &Store, config: &Config, node: &str) -> Result<(), StoreError> {
        let found: Vec<Shortage> = places(config)
            .into_iter()
            .filter_map(|(place, settings)| self.shortage(&format!("{node}:{}", place.display()), &place, &settings))
            .collect();
        let now = Instant::now();
        let is_due = |shortage: &&Shortage| {
            let known = self.short.get(&shortage.problem);
            known.is_none_or(|(room, at)| *room != shortage.room || now.duration_since(*at) >= COUNTED_EVERY)
        };
        let due: Vec<&Shortage> = found.iter().filter(is_due).collect();
        let sightings: Vec<Sighting> = due
            .iter()
            .map(|shortage| Sighting {
                node: Some(node.to_owned()),
                ..Sighting::now(ProblemKind::Disk, shortage.problem.as_str(), shortage.what.as_str())
            })
            .collect();
        store.note_problems(&sightings).await?;
        let counted = due.into_iter().map(|shortage| (shortage.problem.clone(), (shortage.room, now)));
        let counted: Vec<_> = counted.collect();
        let lasting: Vec<String> = found.into_iter().map(|shortage| shortage.problem).collect();
        let is_over = self.short.keys().any(|known| !lasting.contains(known));
        if is_over || !self.has_begun {
            store.close_others(ProblemKind::Disk, Some(node), &lasting).await?;
        }
        self.short.retain(|known, _| lasting.contains(known));
        self.short.extend(counted);
        Ok(())
    }

    /// That the file system of a place has little room. `problem` is the name of its problem.
    fn shortage(&self, problem: &str, place: &Path, settings: &str) -> Option<Shortage> {
        let space = disk_space(place).ok()?;
        let room = if self.short.contains_key(problem) { space.room_after_shortage() } else { space.room() };
        let state = match room {
            Room::Plenty => return None,
            Room::Scarce => "nearly full",
            Room::Full => "full",
        };
        let what = format!("the file system of {} ({settings}) is {state}: {}", place.display(), space.words());
        Some(Shortage { problem: problem.to_owned(), room, what })
    }

    async fn look_at_configuration(&mut self, store: &Store, parts: &NotifierParts) -> Result<(), StoreError> {
        let refused = parts.in_force.refused();
        if refused == self.refused && self.has_begun {
            return Ok(());
        }
        let node = &parts.node;
        let lasting = match &refused {
            Some(mistakes) => {
                let what = format!("the new configuration is refused, and the old one stays in force:\n{mistakes}");
                let sighting = Sighting {
                    node: Some(node.clone()),
                    ..Sighting::now(ProblemKind::Configuration, node.as_str(), what)
                };
                store.note_problems(&[sighting]).await?;
                vec![node.clone()]
            }
            None => Vec::new(),
        };
        store.close_others(ProblemKind::Configuration, Some(node), &lasting).await?;
        self.refused = refused;
        Ok(())
    }
}

/// The directories of the daemon, one for each file system, with the settings that lead there.
fn places(config: &Config) -> Vec<(PathBuf, String)> {
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
        assert_eq!(places(&config), [(path, "daemon.state_dir, daemon.log_dir, database.url".to_owned())]);
    }
}
