//! Attempt directories that are put aside: renamed, so that no daemon takes them for attempts.

use std::{fs, io};

use super::attempt_dir::AttemptDir;
use crate::files::error_at;

/// The extension of attempts that cannot be read.
pub const DAMAGED: &str = "damaged";
/// The extension of attempts of another database.
pub const FOREIGN: &str = "foreign";

impl AttemptDir {
    /// Renames the directory to that extension.
    ///
    /// # Errors
    /// If the directory cannot be renamed.
    pub fn put_aside(&self, extension: &str) -> io::Result<Self> {
        let path = self.path().with_extension(extension);
        fs::rename(self.path(), &path).map_err(error_at(&path))?;
        Ok(Self::at(path))
    }

    /// Whether it was put aside as an attempt of another database.
    pub fn is_foreign(&self) -> bool {
        self.path().extension().is_some_and(|extension| extension == FOREIGN)
    }
}
