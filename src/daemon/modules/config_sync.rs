//! `config_sync`: sees that the files of the configuration have changed, and has them read anew.
//!
//! The operating system only wakes it: what counts is how the files look, so that nothing is missed on file systems that
//! wake nobody.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::{
    config::FileStamp,
    daemon::{
        lifecycle::reload,
        module::{DaemonModule, ModuleContext, Next},
    },
};

/// Without being woken, it looks this often.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct ConfigSync {
    watcher: Option<RecommendedWatcher>,
    /// How the files have looked, and since when, if that is different from how they look to the daemon.
    changing: Option<(FileStamp, Instant)>,
}

#[async_trait(?Send)]
impl DaemonModule for ConfigSync {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        let Some(file) = shared.config_file.as_deref().filter(|_| self.watcher.is_none()) else { return Ok(()) };
        let bell = shared.bells.of(context.name());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_change = event.is_ok_and(|event| !event.kind.is_access());
            if is_change {
                bell.notify_one();
            }
        })?;
        // The folders, not the files: whoever writes a file anew and renames it makes another one of it.
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for folder in [folder.to_owned(), folder.join("conf.d")] {
            if folder.is_dir()
                && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
            {
                tracing::warn!("{} cannot be watched, and is looked at every minute: {error}", folder.display());
            }
        }
        self.watcher = Some(watcher);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        let Some(file) = shared.config_file.as_deref() else { return Ok(()) };
        let now = FileStamp::of(file, shared.config().calendars());
        // It outlives this module: a fresh one is to know what has changed in between.
        let mut known = shared.config_seen.lock();
        if known.as_ref().is_none_or(|known| *known == now) || !shared.config().daemon.watch_config {
            *known = Some(now);
            self.changing = None;
            return Ok(());
        }
        match self.changing.take() {
            // They have been left alone for as long as it takes to write several of them.
            Some((looks, since)) if looks == now && since.elapsed() >= shared.config().daemon.debounce => {
                *known = Some(looks);
                shared.bells.ring(reload::BELL);
            }
            Some((looks, since)) if looks == now => self.changing = Some((looks, since)),
            _ => self.changing = Some((now, Instant::now())),
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(match &self.changing {
            Some((_, since)) => context.config().daemon.debounce.saturating_sub(since.elapsed()),
            None => LOOK,
        }))
    }
}
