//! What becomes a problem on this machine before it stops the work: file systems that are nearly full, and a configuration
//! that was refused.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use sexton_entities::states::ProblemKind;

use super::{
    disks::{Disk, Disks},
    parts::NotifierParts,
};
use crate::{
    config::{Config, Unused, UnusedSchedule},
    daemon::module::ModuleContext,
    domain::{daemon::disk::Room, problem::Sighting},
    store::{Store, StoreError},
};

/// Maximum number of schedules of the database whose mistakes are problems. `schedule list` shows all.
const MAX_SCHEDULES: usize = 100;
/// A shortage that lasts is counted again after this time.
const COUNTED_EVERY: Duration = Duration::from_secs(300);

/// What it saw before.
#[derive(Default)]
pub(super) struct HostWatch {
    disks: Disks,
    /// The file systems without much room, by the name of their problem: how little it is, and when that was counted.
    short: HashMap<String, (Room, Instant)>,
    /// What is wrong with the configuration and was counted, by the name of its problem.
    mistaken: BTreeMap<String, String>,
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
        let disks = self.look_at_disks(store, context.config(), &parts.node).await;
        store.isolated().part("problems of disks", disks)?;
        let configuration = self.look_at_configuration(store, &context.config(), parts).await;
        store.isolated().part("the problem of a configuration", configuration)?;
        self.has_begun = true;
        Ok(())
    }

    async fn look_at_disks(&mut self, store: &Store, config: Arc<Config>, node: &str) -> Result<(), StoreError> {
        const WHAT: &str = "the room on the disks";
        let disks = match self.disks.look(config).await {
            Ok(disks) => disks,
            Err(why) => {
                store.isolated().note(WHAT, why);
                return Ok(());
            }
        };
        store.isolated().forget(WHAT);
        let shortage = |disk: &Disk| self.shortage(&format!("{node}:{}", disk.place.display()), disk);
        let found: Vec<Shortage> = disks.iter().filter_map(shortage).collect();
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
    fn shortage(&self, problem: &str, Disk { place, settings, space }: &Disk) -> Option<Shortage> {
        let room = if self.short.contains_key(problem) { space.room_after_shortage() } else { space.room() };
        let state = match room {
            Room::Plenty => return None,
            Room::Scarce => "nearly full",
            Room::Full => "full",
        };
        let what = format!("the file system of {} ({settings}) is {state}: {}", place.display(), space.words());
        Some(Shortage { problem: problem.to_owned(), room, what })
    }

    /// A configuration that was refused, and schedules of the database with mistakes.
    async fn look_at_configuration(
        &mut self,
        store: &Store,
        config: &Config,
        parts: &NotifierParts,
    ) -> Result<(), StoreError> {
        let node = &parts.node;
        let refused = parts.in_force.refused().map(|mistakes| {
            let what = format!("the new configuration is refused, and the old one stays in force:\n{mistakes}");
            (node.clone(), what)
        });
        // Another node may define what is unknown here, and what a file defines is in force.
        let is_wrong = |unused: &UnusedSchedule| unused.cause == Unused::Mistake;
        let schedules = config.unused_schedules.iter().filter(|(_, unused)| is_wrong(unused)).take(MAX_SCHEDULES);
        let schedules = schedules.map(|(name, unused)| {
            (format!("schedule {name}"), format!("schedule {name} of the database is not in force: {}", unused.why))
        });
        let version = parts.in_force.refused_version().map(|refused| {
            let number = refused.number;
            let what =
                format!("version {number} of the configuration in the database is not in force: {}", refused.why);
            (format!("{node}: deployed version"), what)
        });
        let mistaken: BTreeMap<String, String> = schedules.chain(refused).chain(version).collect();
        if mistaken == self.mistaken && self.has_begun {
            return Ok(());
        }
        let is_new = |(problem, what): &(&String, &String)| self.mistaken.get(*problem) != Some(*what);
        let sightings: Vec<Sighting> = mistaken
            .iter()
            .filter(is_new)
            .map(|(problem, what)| Sighting {
                node: Some(node.clone()),
                ..Sighting::now(ProblemKind::Configuration, problem.as_str(), what.as_str())
            })
            .collect();
        store.note_problems(&sightings).await?;
        let lasting: Vec<String> = mistaken.keys().cloned().collect();
        store.close_others(ProblemKind::Configuration, Some(node), &lasting).await?;
        self.mistaken = mistaken;
        Ok(())
    }
}
