//! Leftovers of another database: what an earlier daemon left on disk while it worked on that one. They are put aside,
//! and never applied to this database.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::domain::identity::DatabaseId;

/// The leftovers that were found, and the database of this daemon. Clones share them.
#[derive(Clone, Default)]
pub(in crate::daemon) struct ForeignLeftovers {
    own: Option<DatabaseId>,
    found: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl ForeignLeftovers {
    /// None found yet, by a daemon of that database.
    pub(in crate::daemon) fn new(own: Option<DatabaseId>) -> Self {
        Self { own, found: Arc::default() }
    }

    /// The database of this daemon.
    pub(in crate::daemon) fn own(&self) -> Option<&DatabaseId> {
        self.own.as_ref()
    }

    /// The database of a leftover, if it is another one. Leftovers of earlier versions name none: they count as this
    /// database's, and only if their claim holds.
    pub(in crate::daemon) fn other<'a>(&self, of: Option<&'a DatabaseId>) -> Option<&'a DatabaseId> {
        of.filter(|of| self.own.as_ref().is_some_and(|own| own != *of))
    }

    /// Notes a leftover of another database, where it is now.
    pub(in crate::daemon) fn note(&self, path: &Path) {
        self.found.lock().insert(path.to_owned());
    }

    /// Notes and reports a leftover of database `of`, once. `fate` says what becomes of it.
    pub(in crate::daemon) fn report(&self, path: &Path, of: &DatabaseId, fate: &str) {
        if self.found.lock().insert(path.to_owned()) {
            let own = self.own.as_ref().map_or("unknown", |own| own.as_str());
            tracing::error!(
                "{} belongs to database {of}, and this node works on database {own}: {fate}",
                path.display()
            );
        }
    }

    /// How many there are. Those that somebody has removed do not count.
    pub(in crate::daemon) fn count(&self) -> usize {
        let mut found = self.found.lock();
        found.retain(|path| path.exists());
        found.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = ForeignLeftovers::new(Some("own".into()));
        let (kept, gone) = (folder.path().join("kept"), folder.path().join("gone"));
        std::fs::write(&kept, "").unwrap();
        foreign.report(&kept, &"other".into(), "it is put aside");
        foreign.note(&kept);
        foreign.note(&gone);
        assert_eq!(foreign.count(), 1);
    }

    #[test]
    fn only_another_database_is_foreign() {
        let foreign = ForeignLeftovers::new(Some("own".into()));
        let [own, other] = ["own", "other"].map(DatabaseId::from);
        assert_eq!(foreign.other(Some(&own)), None);
        assert_eq!(foreign.other(Some(&other)), Some(&other));
        assert_eq!(foreign.other(None), None, "an earlier version wrote it");
    }
}
