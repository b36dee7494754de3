//! The black box: what a command writes, kept in memory within bounds and on disk for whoever looks on.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    time::{Duration, Instant},
};

use super::folder::Folder;
use crate::domain::capture::{Capture, Kept, Limits};

/// The tail on disk is brought up to date this often.
const REFRESH: Duration = Duration::from_millis(250);
/// So much is read at once, and no more than so often before somebody else gets a turn.
const CHUNK: usize = 64 * 1024;
const TURNS: usize = 16;

/// One of a command's output streams.
pub(super) struct Stream {
    name: &'static str,
    pipe: Option<File>,
    capture: Capture,
    head: Option<File>,
    /// Since when the tail on disk is behind.
    behind: Option<Instant>,
    /// The disk takes no more: those who look on miss something, and the command goes on.
    is_blind: bool,
}

impl Stream {
    /// Reads from the reading end of a pipe, which must not block.
    pub(super) fn new(name: &'static str, pipe: OwnedFd, limits: Limits) -> Self {
        Self { name, pipe: Some(pipe.into()), capture: Capture::new(limits), head: None, behind: None, is_blind: false }
    }

    /// What to wait for, until the stream has ended.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes in what is there, `at` so many milliseconds after the start. True if there may be more.
    pub(super) fn read(&mut self, buffer: &mut [u8], at: u64, folder: &Folder) -> bool {
        for _ in 0..TURNS {
            let Some(pipe) = &mut self.pipe else { return false };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&buffer[..count], at, folder),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], at: u64, folder: &Folder) {
        let head = self.capture.write(bytes, at);
        if head.len() < bytes.len() {
            self.behind.get_or_insert_with(Instant::now);
        }
        if head.is_empty() || self.is_blind {
            return;
        }
        let file = match &mut self.head {
            Some(file) => Ok(file),
            None => File::options()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(folder.path().join(self.name))
                .map(|file| self.head.insert(file)),
        };
        self.is_blind = file.and_then(|file| file.write_all(head)).is_err();
    }

    /// When the tail on disk is to be brought up to date next.
    pub(super) fn refresh_at(&self) -> Option<Instant> {
        self.behind.map(|since| since + REFRESH)
    }

    /// Brings the tail on disk up to date, if it is time: where it begins in the stream, and its bytes.
    pub(super) fn refresh(&mut self, folder: &Folder) {
        if self.refresh_at().is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.behind = None;
        let mut bytes = format!("{}\n", self.capture.tail_begin()).into_bytes();
        bytes.extend(self.capture.tail());
        self.is_blind |= !self.is_blind && folder.replace(&format!("{}.tail", self.name), &bytes).is_err();
    }

    /// How many bytes it had.
    pub(super) fn written(&self) -> u64 {
        self.capture.written()
    }

    /// What was kept of it.
    pub(super) fn into_kept(self) -> Kept {
        self.capture.into_kept()
    }
}

/// A buffer for [`Stream::read`]. It is asked for as zeroed memory, of which the system gives a page only when that is
/// first written to: most commands write little.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; CHUNK]
}
