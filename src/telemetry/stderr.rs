//! Writing to standard error, which may be closed, full or slow.

use std::{
    io::{self, Write as _},
    sync::mpsc,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Writes to standard error. A closed stream is an error, not a panic as with `eprintln!`.
pub(super) fn print(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Writes a short text to standard error if that does not block. Returns whether it was written.
pub(super) fn print_if_ready(text: &str) -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(&stderr), PollFlags::POLLOUT)];
    let flows = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    flows && print(text).is_ok()
}

/// Writes to standard error, and waits for a slow reader for `limit` at most. For the last message of a daemon.
pub fn print_within(text: String, limit: Duration) {
    let (sender, written) = mpsc::sync_channel(1);
    let writing = std::thread::Builder::new().name("last message".to_owned()).spawn(move || {
        let _ = sender.send(print(&text));
    });
    if writing.is_ok() {
        let _ = written.recv_timeout(limit);
    }
}
