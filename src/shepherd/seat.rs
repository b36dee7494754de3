//! The right to be the only one on this machine who does something: a lock on a file, which ends with its process.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::fcntl::{Flock, FlockArg};

use super::folder::{at, lock};

/// Where the files are; no home of anybody's attempts has such a name.
const SEATS: &str = ".seats";

/// A seat that is taken, for as long as this lives.
#[derive(Debug)]
pub struct Seat {
    _lock: Flock<File>,
}

impl Seat {
    /// Takes the seat of that name; none if another process has it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn take(root: &Path, name: &str) -> io::Result<Option<Self>> {
        let folder = std::path::absolute(root)?.join(SEATS);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
        // A name may contain slashes, and no percent sign; it may also be `..`.
        let path = folder.join(format!("{}.seat", name.replace('/', "%")));
        let file = File::options().create(true).append(true).mode(0o600).open(&path).map_err(at(&path))?;
        Ok(lock(file, FlockArg::LockExclusiveNonblock)?.map(|lock| Self { _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_has_room_for_one() {
        let root = tempfile::tempdir().expect("a folder");
        let seat = Seat::take(root.path(), "a/b").expect("it works");
        assert!(seat.is_some());
        assert!(Seat::take(root.path(), "a/b").expect("it works").is_none());
        assert!(Seat::take(root.path(), "..").expect("another one").is_some());
        drop(seat);
        assert!(Seat::take(root.path(), "a/b").expect("it works").is_some());
    }
}
