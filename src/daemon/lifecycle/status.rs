//! The front desk: what is known of a daemon from its first moment to its last, also while its modules are not up.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{clock::machine_time, config::Config, daemon::state::shared::Shared, domain::text::redact::redacted};

/// Is set for a daemon that claims nothing, when it starts itself anew.
pub const QUIET: &str = "SEXTON_QUIET";

/// What a daemon is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is coming up.
    Starting,
    /// It is up, but for its database, which has not answered yet.
    WaitingForDatabase,
    /// It is at work.
    Running,
    /// It is about to start itself anew.
    #[serde(rename = "restarting", alias = "renewing")]
    Renewing,
    /// It is coming to its end.
    Stopping,
}

/// The configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file; none for the defaults alone.
    pub file: Option<PathBuf>,
    /// When the one in force was read.
    pub loaded_at: DateTime<Utc>,
    /// What is wrong with a newer one, which therefore is not in force.
    pub mistakes: Option<String>,
    /// Sections that have changed, and count only from the next start on.
    pub needs_restart: Vec<String>,
}

/// Clones are the same desk.
#[derive(Clone)]
pub(in crate::daemon) struct DaemonStatus {
    inner: Arc<StatusInner>,
}

struct StatusInner {
    started: Instant,
    started_at: DateTime<Utc>,
    shared: OnceLock<Arc<Shared>>,
    news: Mutex<News>,
}

struct News {
    phase: Phase,
    /// What it waits for, in words.
    waiting_for: Option<String>,
    config: ConfigStatus,
    /// The configuration that counts while the daemon is not up yet.
    first: Arc<Config>,
    /// The database's address, without its password.
    database: String,
    /// Whether nothing is to be claimed; also before there is anybody who could claim.
    is_quiet: bool,
}

impl DaemonStatus {
    /// The desk of a daemon that begins.
    pub(in crate::daemon) fn new(file: Option<PathBuf>, first: Arc<Config>) -> Self {
        let database = redacted(&first.database.url);
        let config = ConfigStatus { file, loaded_at: machine_time(), mistakes: None, needs_restart: Vec::new() };
        // Handed over by the daemon that started itself anew.
        let is_quiet = std::env::var_os(QUIET).is_some();
        let news = News { phase: Phase::Starting, waiting_for: None, config, first, database, is_quiet };
        let inner = StatusInner {
            started: Instant::now(),
            started_at: machine_time(),
            shared: OnceLock::new(),
            news: Mutex::new(news),
        };
        Self { inner: Arc::new(inner) }
    }

    fn news<T>(&self, look: impl FnOnce(&mut News) -> T) -> T {
        look(&mut self.inner.news.lock())
    }

    /// The daemon is up.
    pub(in crate::daemon) fn open(&self, shared: Arc<Shared>) {
        shared.hand.be_quiet(self.is_quiet());
        let _ = self.inner.shared.set(shared);
        self.enter(Phase::Running, None);
    }

    /// The daemon's inside, once it is up.
    pub(in crate::daemon) fn shared(&self) -> Option<&Arc<Shared>> {
        self.inner.shared.get()
    }

    pub(in crate::daemon) fn enter(&self, phase: Phase, waiting_for: Option<String>) {
        self.news(|news| {
            news.phase = phase;
            news.waiting_for = waiting_for;
        });
    }

    pub(in crate::daemon) fn set_quiet(&self, quiet: bool) {
        self.news(|news| news.is_quiet = quiet);
        if let Some(shared) = self.shared() {
            shared.hand.be_quiet(quiet);
        }
        tracing::info!("{}", if quiet { "claiming nothing until CONT or `sexton resume`" } else { "claiming again" });
    }

    pub(in crate::daemon) fn is_quiet(&self) -> bool {
        self.news(|news| news.is_quiet)
    }

    pub(in crate::daemon) fn phase(&self) -> Phase {
        self.news(|news| news.phase)
    }

    pub(in crate::daemon) fn waiting_for(&self) -> Option<String> {
        self.news(|news| news.waiting_for.clone())
    }

    pub(in crate::daemon) fn age(&self) -> Duration {
        self.inner.started.elapsed()
    }

    pub(in crate::daemon) fn started_at(&self) -> DateTime<Utc> {
        self.inner.started_at
    }

    pub(in crate::daemon) fn config(&self) -> ConfigStatus {
        self.news(|news| news.config.clone())
    }

    pub(in crate::daemon) fn database(&self) -> String {
        self.news(|news| news.database.clone())
    }

    /// The configuration in force.
    pub(in crate::daemon) fn in_force(&self) -> Arc<Config> {
        self.shared().map_or_else(|| self.news(|news| news.first.clone()), |shared| shared.config())
    }

    /// Another configuration counts before the daemon is up.
    pub(in crate::daemon) fn note_first(&self, first: Arc<Config>) {
        self.news(|news| news.first = first);
    }

    /// Another configuration is in force.
    pub(in crate::daemon) fn note_config(&self, database: String) {
        self.news(|news| {
            news.database = database;
            news.config.loaded_at = machine_time();
            news.config.mistakes = None;
        });
    }

    /// What of the configuration counts only from the next start on.
    pub(in crate::daemon) fn note_needs_restart(&self, sections: &[&str]) {
        self.news(|news| news.config.needs_restart = sections.iter().map(|&section| section.to_owned()).collect());
    }

    /// A newer configuration has mistakes; whether that is news.
    pub(in crate::daemon) fn note_mistakes(&self, mistakes: &str) -> bool {
        self.news(|news| news.config.mistakes.replace(mistakes.to_owned()).as_deref() != Some(mistakes))
    }

    /// How the daemon does, in one line.
    pub(in crate::daemon) fn status_line(&self) -> String {
        let (phase, waiting_for) = self.news(|news| (news.phase, news.waiting_for.clone()));
        let Some(shared) = self.shared() else {
            return match waiting_for {
                Some(what) => format!("waiting for the database: {what}"),
                None => "starting".to_owned(),
            };
        };
        let counts = shared.hand.counts();
        let mut line = match phase {
            Phase::Stopping => format!("stopping: {} tasks still running", counts.running),
            Phase::Renewing => format!("starting anew: {} tasks still running", counts.running),
            _ => format!("running {} tasks, {} claimed", counts.running, counts.waiting),
        };
        if counts.finished > 0 {
            line += &format!(", {} to be recorded", counts.finished);
        }
        if self.is_quiet() {
            line += "; quiet: claiming nothing";
        }
        if let Some(module) = shared.board.ailing().first() {
            line += &format!("; module {module}");
        }
        if self.news(|news| news.config.mistakes.is_some()) {
            line += "; the configuration has mistakes, the old one stays in force";
        }
        line
    }
}
