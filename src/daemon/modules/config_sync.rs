//! `config_sync`: notices that configuration files have changed, and asks the daemon to reload.
//!
//! Notifications of the operating system only wake it. It decides by the files' sizes and times, so that it works on
//! file systems without notifications, too.
//!
//! Settings: `daemon.watch_config` (true), `daemon.reload_debounce` (1s): how long the files must stay unchanged before the
//! reload. Logs a warning if a directory cannot be watched.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::Sender;

use crate::{
    config::FileStamp,
    daemon::{
        components::ConfigFiles,
        lifecycle::requests::Request,
        module::{DaemonModule, ModuleContext, Next},
        state::wakers::WakeReason,
    },
};

/// How often it compares the files without a notification.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct ConfigSync {
    files: Arc<ConfigFiles>,
    requests: Sender<Request>,
    watcher: Option<RecommendedWatcher>,
    /// The present stamp of changed files, and since when they have it.
    changing: Option<(FileStamp, Instant)>,
}

#[async_trait(?Send)]
impl DaemonModule for ConfigSync {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(file) = self.files.file.as_deref().filter(|_| self.watcher.is_none()) else { return Ok(()) };
        let waker = context.waker().clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                waker.wake(WakeReason::Configured);
            }
        })?;
        // The directories, not the files: editors write a new file and rename it over the old one.
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for directory in [directory.to_owned(), directory.join("conf.d")] {
            if directory.is_dir()
                && let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive)
            {
                tracing::warn!("cannot watch {}, checking it every minute: {error}", directory.display());
            }
        }
        self.watcher = Some(watcher);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(file) = self.files.file.as_deref() else { return Ok(()) };
        let config = context.config();
        let now = FileStamp::of(file, config.calendars());
        // It outlives this incarnation: the next one has to know what changed in between.
        let mut seen = self.files.seen.lock();
        if seen.as_ref().is_none_or(|seen| *seen == now) || !config.daemon.watch_config {
            *seen = Some(now);
            self.changing = None;
            return Ok(());
        }
        match self.changing.take() {
            Some((stamp, since)) if stamp == now && since.elapsed() >= config.daemon.reload_debounce => {
                // If the daemon takes no request now, the next round asks again.
                match self.requests.try_send(Request::FilesChanged) {
                    Ok(()) => *seen = Some(stamp),
                    Err(_) => self.changing = Some((stamp, Instant::now())),
                }
            }
            Some((stamp, since)) if stamp == now => self.changing = Some((stamp, since)),
            _ => self.changing = Some((now, Instant::now())),
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(match &self.changing {
            Some((_, since)) => context.config().daemon.reload_debounce.saturating_sub(since.elapsed()),
            None => INTERVAL,
        }))
    }
}

impl ConfigSync {
    pub(super) fn new(files: Arc<ConfigFiles>, requests: Sender<Request>) -> Self {
        Self { files, requests, watcher: None, changing: None }
    }
}
