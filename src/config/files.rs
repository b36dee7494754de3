//! Recognises changed configuration files without reading them.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{load::conf_d, mistake::Findings};

/// A configuration file, and those in `conf.d` beside it.
pub fn files_of(file: &Path) -> Vec<PathBuf> {
    let mut files = vec![file.to_owned()];
    files.extend(conf_d(file, &mut Findings::default()));
    files
}

/// The names, inodes, sizes and modification times of configuration files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStamp(Vec<(PathBuf, u64, u64, (i64, i64))>);

impl FileStamp {
    /// The present stamp of a configuration file, the files in `conf.d` and the files that it names.
    pub fn of<'a>(file: &Path, named: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut files = files_of(file);
        files.extend(named.into_iter().map(Path::to_owned));
        let stamp = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).ok()?;
            Some((path, metadata.ino(), metadata.len(), (metadata.mtime(), metadata.mtime_nsec())))
        };
        Self(files.into_iter().filter_map(stamp).collect())
    }
}
