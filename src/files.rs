//! Open files and the names by which others find them.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// Whether both are of the same file.
pub fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether `path` still leads to the open file. It does not once the file was removed, renamed or replaced.
pub fn is_at(file: &File, path: &Path) -> bool {
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(open), Ok(named)) if is_same(&open, &named))
}

/// Locks an open file (flock(2)) without waiting; none where another process has it locked. `how` is one of the
/// arguments that do not block.
///
/// # Errors
/// If the file system has no locks, or memory is short.
pub fn try_lock(file: File, how: FlockArg) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Puts the path of a file before its error.
pub fn error_at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_another_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let file = File::create(&path).expect("created");
        assert!(is_at(&file, &path));
        std::fs::rename(&path, &other).expect("renamed");
        assert!(!is_at(&file, &path) && is_at(&file, &other));
        File::create(&path).expect("created again");
        assert!(!is_at(&file, &path), "another file has the name");
    }
}
