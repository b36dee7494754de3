//! Where a file is that the configuration names.

use std::path::{Path, PathBuf};

use super::mistake::SourceLocation;

/// With this begins the place of what was deployed by the database.
pub(super) const DEPLOYED: &str = "deployed version ";

/// The path of a file that is named at that location.
///
/// # Errors
/// If a deployed version names it without its whole path: such a version has no directory.
pub(super) fn beside(location: &SourceLocation, file: &str) -> Result<PathBuf, String> {
    if location.source.starts_with(DEPLOYED) && Path::new(file).is_relative() {
        return Err(format!(
            "`{file}`: a deployed version names files by their whole path, such as /etc/sexton/{file}"
        ));
    }
    // An environment variable has no directory: its paths are relative to the working directory.
    let folder = location.line.and_then(|_| Path::new(&*location.source).parent());
    let path = folder.unwrap_or(Path::new("")).join(file);
    Ok(std::path::absolute(&path).unwrap_or(path))
}
