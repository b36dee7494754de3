//! Control of the log while the daemon runs: levels of single modules, debug events, and the state for `status`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tracing::{Level, level_filters::LevelFilter};

use super::writer::LogWriter;

/// Which debug events are logged, regardless of the levels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugChoice {
    /// No debug events.
    #[default]
    Nothing,
    /// All debug events of Sexton.
    Everything,
    /// The debug events of these daemon modules.
    Modules(Vec<String>),
}

/// A handle to the log. Clones control the same log; the default controls nothing, for daemons in tests.
#[derive(Clone, Debug, Default)]
pub struct LogControl(Arc<ControlState>);

#[derive(Debug, Default)]
struct ControlState {
    destination: String,
    filter: String,
    rules: RwLock<Rules>,
    lost: AtomicU64,
    last_problem: Mutex<Option<String>>,
    writer: OnceLock<LogWriter>,
}

/// The settings besides the filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    levels: BTreeMap<String, Level>,
    debug: DebugChoice,
}

/// The present state of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// `stderr`, `journal`, or the directory of the files; empty if there is no log.
    pub target: String,
    /// The filter for all events that neither `module_levels` nor `debug` decides.
    pub filter: String,
    /// Modules with their own level.
    pub module_levels: BTreeMap<String, String>,
    /// Which debug events are logged.
    pub debug: DebugChoice,
    /// Number of lines that could not be written since the start.
    pub lost_lines: u64,
    /// The reason and the destination of the latest lost line.
    pub last_problem: Option<String>,
}

impl LogControl {
    pub(super) fn new(destination: String, filter: &str, debug: DebugChoice) -> Self {
        let rules = RwLock::new(Rules { levels: BTreeMap::new(), debug });
        Self(Arc::new(ControlState { destination, filter: filter.to_owned(), rules, ..ControlState::default() }))
    }

    /// Sets the levels of single modules, which apply to Sexton's events instead of the filter. Other modules have no
    /// level of their own afterwards.
    pub fn set_module_levels(&self, levels: BTreeMap<String, Level>) {
        self.change(|rules| rules.levels = levels);
    }

    /// Sets which debug events are logged.
    pub fn set_debug(&self, debug: DebugChoice) {
        self.change(|rules| rules.debug = debug);
    }

    /// The present state.
    pub fn describe(&self) -> LogState {
        let rules = self.rules(Rules::clone);
        let word = |level: Level| level.to_string().to_lowercase();
        LogState {
            target: self.0.destination.clone(),
            filter: self.0.filter.clone(),
            module_levels: rules.levels.into_iter().map(|(name, level)| (name, word(level))).collect(),
            debug: rules.debug,
            lost_lines: self.0.lost.load(Ordering::Relaxed),
            last_problem: self.0.last_problem.lock().clone(),
        }
    }

    /// Waits until all events are written, for `limit` at most. Returns whether they are. Call it before the process ends:
    /// nothing else waits for the last lines.
    pub fn finish(&self, limit: Duration) -> bool {
        self.0.writer.get().is_none_or(|writer| writer.finish(limit))
    }

    /// Sets the thread that writes the lines.
    pub(super) fn set_writer(&self, writer: LogWriter) {
        // A process starts its log once.
        let _ = self.0.writer.set(writer);
    }

    /// Counts a line that could not be written to the destination of the log.
    pub(super) fn count_lost(&self, why: &str) {
        self.count_lost_at(why, &self.0.destination);
    }

    /// Counts a line that could not be written to `destination`.
    pub(super) fn count_lost_at(&self, why: &str, destination: &str) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
        *self.0.last_problem.lock() = Some(format!("{why} ({destination})"));
    }

    pub(super) fn rules<T>(&self, read: impl FnOnce(&Rules) -> T) -> T {
        read(&self.0.rules.read())
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.rules.write());
        // Each callsite caches whether it is enabled. Rebuilding the cache reads the rules: the lock must not be held here.
        tracing::callsite::rebuild_interest_cache();
    }
}

impl Rules {
    /// Whether the filter alone decides.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.debug == DebugChoice::Nothing
    }

    /// The most verbose level that the rules may allow.
    pub(super) fn ceiling(&self) -> LevelFilter {
        let debug = if self.debug == DebugChoice::Nothing { LevelFilter::OFF } else { LevelFilter::DEBUG };
        self.levels.values().map(|level| LevelFilter::from_level(*level)).fold(debug, Ord::max)
    }

    /// Whether a Sexton event is logged; none if the filter decides.
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
