//! `config_sync`: sees that the files of the configuration have changed, and has them read anew.
//!
//! The operating system only wakes it: what counts is how the files look, so that nothing is missed on file systems that
//! wake nobody.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::{
    config,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        reload,
    },
};

/// Without being woken, it looks this often.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct ConfigSync {
    watcher: Option<RecommendedWatcher>,
    /// How the files looked when they were last in force, or refused.
    known: Option<Vec<Look>>,
    /// How they looked a moment ago, if that was different.
    changing: Option<Vec<Look>>,
}

/// How a file looks from outside: its name, its number, its size, and when it was changed.
type Look = (PathBuf, u64, u64, (i64, i64));

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
        let Some(file) = shared.config_file.as_deref().filter(|_| shared.config().daemon.watch_config) else {
            self.known = None;
            return Ok(());
        };
        let now: Vec<Look> = config::files(file).into_iter().filter_map(look).collect();
        let known = self.known.get_or_insert_with(|| now.clone());
        if now == *known {
            self.changing = None;
        } else if self.changing.as_ref() == Some(&now) {
            // They have been left alone for as long as it takes to write several of them.
            self.changing = None;
            self.known = Some(now);
            shared.bells.ring(reload::BELL);
        } else {
            self.changing = Some(now);
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(match self.changing {
            Some(_) => Next::After(context.config().daemon.config_settle),
            None => Next::After(LOOK),
        })
    }

    /// A fresh one would not know what has changed in between.
    fn can_be_discarded(&self, _: &ModuleContext) -> bool {
        false
    }
}

fn look(path: PathBuf) -> Option<Look> {
    let metadata = std::fs::metadata(&path).ok()?;
    Some((path, metadata.ino(), metadata.len(), (metadata.mtime(), metadata.mtime_nsec())))
}
