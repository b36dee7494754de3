//! Open files and the names by which others find them.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
};

/// Does what may hang in the operating system, such as a look at a file of a dead server, on a thread of its own. Nobody
/// waits for that thread at the end of the program.
///
/// # Errors
/// If there is no thread to be had, or the work panicked.
pub async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("look".to_owned()).spawn(move || drop(tell.send(work())))?;
    answer.await.map_err(|_| io::Error::other("it has failed by a mistake in this program"))
}

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

/// Options to open a file of the daemon's own: a symbolic link in its place is an error, because it may lead to a file
/// that is not the daemon's.
pub fn own_file() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

/// Puts the path of a file before its error.
pub fn error_at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {}", explained(error)))
}

/// An error of a file from [`own_file`] in plain words.
pub fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => {
            io::Error::new(error.kind(), "this is a symbolic link, and the daemon follows none here")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        File::create(&file).expect("created");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        own_file().append(true).open(&file).expect("a file");
        let error = own_file().append(true).open(&link).map_err(error_at(&link)).expect_err("a link").to_string();
        assert!(error.contains("this is a symbolic link"), "{error}");
    }

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
