//! The files of a configuration as they look from outside: whether they have changed is seen without reading them.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{load::beside, mistake::Findings};

/// How files look: their names, numbers, sizes, and when they were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStamp(Vec<(PathBuf, u64, u64, (i64, i64))>);

impl FileStamp {
    /// How the files look now that a configuration is read from, with the calendars that it names.
    pub fn of<'a>(file: &Path, calendars: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut files = vec![file.to_owned()];
        files.extend(beside(file, &mut Findings::default()));
        files.extend(calendars.into_iter().map(Path::to_owned));
        let look = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).ok()?;
            Some((path, metadata.ino(), metadata.len(), (metadata.mtime(), metadata.mtime_nsec())))
        };
        Self(files.into_iter().filter_map(look).collect())
    }
}
