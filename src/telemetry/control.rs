//! Control over the log while the daemon runs: levels of single modules, and debugging.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing::{Level, level_filters::LevelFilter};

use super::writer::LogWriter;

/// Whose debug events are seen, whatever the levels say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugChoice {
    /// Nobody's.
    #[default]
    Nothing,
    /// All of Sexton's own.
    Everything,
    /// Those of these daemon modules.
    Modules(Vec<String>),
}

/// A handle on the log. Clones control the same one; the default controls nothing, for daemons in tests.
#[derive(Clone, Debug, Default)]
pub struct LogControl(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    place: String,
    filter: String,
    rules: RwLock<Rules>,
    lost: AtomicU64,
    last_problem: Mutex<Option<String>>,
    scribe: OnceLock<LogWriter>,
}

/// What is in force besides the filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    levels: BTreeMap<String, Level>,
    debug: DebugChoice,
}

/// What is in force, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// `stderr`, `journal`, or the folder of the files; empty if there is no log.
    pub target: String,
    /// The filter for everything that the rest does not speak of.
    pub filter: String,
    /// Modules with a level of their own.
    pub module_levels: BTreeMap<String, String>,
    /// Whose debug events are seen.
    pub debug: DebugChoice,
    /// Lines that could not be written since the start.
    pub lost_lines: u64,
    /// Why the latest of them could not, and where.
    pub last_problem: Option<String>,
}

impl LogControl {
    pub(super) fn new(place: String, filter: &str, debug: DebugChoice) -> Self {
        let rules = RwLock::new(Rules { levels: BTreeMap::new(), debug });
        Self(Arc::new(Inside { place, filter: filter.to_owned(), rules, ..Inside::default() }))
    }

    /// Gives modules levels of their own, which count for Sexton's events in place of the filter. All others lose
    /// theirs.
    pub fn set_module_levels(&self, levels: BTreeMap<String, Level>) {
        self.change(|rules| rules.levels = levels);
    }

    /// Shows debug events, or no longer.
    pub fn set_debug(&self, debug: DebugChoice) {
        self.change(|rules| rules.debug = debug);
    }

    /// What is in force.
    pub fn describe(&self) -> LogState {
        let rules = self.rules(Rules::clone);
        let word = |level: Level| level.to_string().to_lowercase();
        LogState {
            target: self.0.place.clone(),
            filter: self.0.filter.clone(),
            module_levels: rules.levels.into_iter().map(|(name, level)| (name, word(level))).collect(),
            debug: rules.debug,
            lost_lines: self.0.lost.load(Ordering::Relaxed),
            last_problem: self.0.last_problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Waits until everything that was logged is written, but no longer than this; tells whether it is. It belongs
    /// before the end of the process: nothing else would wait for the last lines.
    pub fn finish(&self, limit: Duration) -> bool {
        self.0.scribe.get().is_none_or(|scribe| scribe.finish(limit))
    }

    /// From now on, lines are written by that thread.
    pub(super) fn is_written_by(&self, scribe: LogWriter) {
        // There is one log in a process, and it begins once.
        let _ = self.0.scribe.set(scribe);
    }

    /// Counts a line that could not be written to where the log goes.
    pub(super) fn count_lost(&self, why: &str) {
        self.count_lost_at(why, &self.0.place);
    }

    /// Counts a line that could not be written there.
    pub(super) fn count_lost_at(&self, why: &str, place: &str) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
        *self.0.last_problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{why} ({place})"));
    }

    pub(super) fn rules<T>(&self, look: impl FnOnce(&Rules) -> T) -> T {
        look(&self.0.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.rules.write().unwrap_or_else(PoisonError::into_inner));
        // Where an event stands, it is remembered whether anybody wants it. This asks anew, and reads the rules: they
        // must not be held here.
        tracing::callsite::rebuild_interest_cache();
    }
}

impl Rules {
    /// Whether the filter alone decides.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.debug == DebugChoice::Nothing
    }

    /// The most verbose level that anybody has: nothing beyond it needs a closer look.
    pub(super) fn ceiling(&self) -> LevelFilter {
        let debug = if self.debug == DebugChoice::Nothing { LevelFilter::OFF } else { LevelFilter::DEBUG };
        self.levels.values().map(|level| LevelFilter::from_level(*level)).fold(debug, Ord::max)
    }

    /// Whether an event of ours is seen; nothing if that is left to the filter.
    pub(super) fn decide(&self, module: Option<&str>, level: Level) -> Option<bool> {
        let is_debugged = match &self.debug {
            DebugChoice::Nothing => false,
            DebugChoice::Everything => true,
            DebugChoice::Modules(names) => module.is_some_and(|module| names.iter().any(|name| name == module)),
        };
        match module.and_then(|module| self.levels.get(module)) {
            _ if is_debugged && level <= Level::DEBUG => Some(true),
            Some(limit) => Some(level <= *limit),
            None => None,
        }
    }
}
