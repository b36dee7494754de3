//! Where a file is that the configuration names.

use std::path::{Path, PathBuf};

use super::mistake::SourceLocation;

/// The path of a file that is named at that location.
pub(super) fn beside(location: &SourceLocation, file: &str) -> PathBuf {
    // An environment variable has no directory: its paths are relative to the working directory.
    let folder = location.line.and_then(|_| Path::new(&*location.source).parent());
    let path = folder.unwrap_or(Path::new("")).join(file);
    std::path::absolute(&path).unwrap_or(path)
}
