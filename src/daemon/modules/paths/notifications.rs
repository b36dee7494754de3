//! What the kernel tells of folders (inotify). It only says where to look: the file system itself has the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use parking_lot::Mutex;

use crate::daemon::state::wakers::{WakeReason, Waker};

/// With more changed files than this, the whole folder is looked at.
const MAX_NAMES: usize = 5_000;

/// Where to look in one folder.
#[derive(Debug, Default)]
pub(super) struct FolderChanges {
    /// Files that may have changed.
    pub(super) names: BTreeSet<OsString>,
    /// Whether anything may have changed: the kernel had too much to tell.
    pub(super) is_whole: bool,
    /// Whether the folder itself has changed: it may be gone, or another one.
    pub(super) is_lost: bool,
}

type ChangesByFolder = Arc<Mutex<BTreeMap<PathBuf, FolderChanges>>>;

/// The folders that the kernel tells of.
pub(super) struct FolderNotifications {
    /// None where the kernel has no more of them for this user; with the reason.
    watcher: Result<RecommendedWatcher, String>,
    changes: ChangesByFolder,
}

impl FolderNotifications {
    pub(super) fn new(waker: Waker) -> Self {
        let changes = ChangesByFolder::default();
        let told = changes.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if note(&mut told.lock(), event) {
                waker.wake(WakeReason::Requested);
            }
        });
        Self { watcher: watcher.map_err(|error| error.to_string()), changes }
    }

    /// Has the kernel tell of a folder from now on.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn watch(&mut self, folder: &Path) -> Result<(), String> {
        self.unwatch(folder);
        self.changes.lock().insert(folder.to_owned(), FolderChanges::default());
        let watcher = self.watcher.as_mut().map_err(|why| why.clone())?;
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            notify::ErrorKind::MaxFilesWatch => {
                "the kernel watches no more folders for this user (sysctl fs.inotify.max_user_watches)".to_owned()
            }
            _ => error.to_string(),
        })
    }

    /// The kernel need not tell of a folder any more.
    pub(super) fn unwatch(&mut self, folder: &Path) {
        if self.changes.lock().remove(folder).is_some()
            && let Ok(watcher) = &mut self.watcher
            // The kernel itself forgets a folder that was removed.
            && let Err(error) = watcher.unwatch(folder)
        {
            tracing::debug!("{} is not watched any more: {error}", folder.display());
        }
    }

    /// Where to look in that folder. From now on it is about what comes later.
    pub(super) fn take(&self, folder: &Path) -> FolderChanges {
        self.changes.lock().get_mut(folder).map(std::mem::take).unwrap_or_default()
    }
}

/// Notes what the kernel has told. Returns whether there is something to look at.
fn note(changes: &mut BTreeMap<PathBuf, FolderChanges>, event: notify::Result<notify::Event>) -> bool {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Its queue was full, or it has failed.
        _ => {
            changes.values_mut().for_each(|folder| folder.is_whole = true);
            return true;
        }
    };
    let is_written = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
    if event.kind.is_access() && !is_written {
        return false;
    }
    let mut is_news = false;
    for path in &event.paths {
        if let Some(folder) = changes.get_mut(path) {
            folder.is_lost = true;
            is_news = true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let Some(folder) = changes.get_mut(parent) else { continue };
        is_news = true;
        if folder.names.len() < MAX_NAMES {
            folder.names.insert(name.to_owned());
        } else {
            folder.is_whole = true;
        }
    }
    is_news
}

#[cfg(test)]
mod tests {
    use notify::{
        Event,
        event::{CreateKind, Flag},
    };

    use super::*;

    fn told(changes: &mut BTreeMap<PathBuf, FolderChanges>, kind: EventKind, path: &str) -> bool {
        note(changes, Ok(Event::new(kind).add_path(path.into())))
    }

    #[test]
    fn it_says_where_to_look() {
        let mut changes = BTreeMap::from([(PathBuf::from("/in"), FolderChanges::default())]);
        let create = EventKind::Create(CreateKind::File);
        assert!(told(&mut changes, create, "/in/a"));
        assert!(!told(&mut changes, create, "/out/a"), "of another folder");
        assert!(!told(&mut changes, EventKind::Access(AccessKind::Open(AccessMode::Any)), "/in/b"), "it is only read");
        assert!(told(&mut changes, EventKind::Access(AccessKind::Close(AccessMode::Write)), "/in/c"));
        let folder = &changes[Path::new("/in")];
        assert_eq!((folder.names.len(), folder.is_whole, folder.is_lost), (2, false, false));
        assert!(told(&mut changes, EventKind::Remove(notify::event::RemoveKind::Folder), "/in"));
        assert!(changes[Path::new("/in")].is_lost);
    }

    #[test]
    fn what_the_kernel_could_not_tell_is_looked_for() {
        let folders = || BTreeMap::from([(PathBuf::from("/in"), FolderChanges::default())]);
        let mut changes = folders();
        assert!(note(&mut changes, Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
        assert!(changes[Path::new("/in")].is_whole);
        let mut changes = folders();
        for number in 0..=MAX_NAMES {
            told(&mut changes, EventKind::Create(CreateKind::File), &format!("/in/{number}"));
        }
        assert_eq!((changes[Path::new("/in")].names.len(), changes[Path::new("/in")].is_whole), (MAX_NAMES, true));
    }
}
