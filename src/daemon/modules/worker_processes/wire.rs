//! The lines between the daemon and a worker process. Neither a process that does not read nor one that writes without
//! end makes anybody else wait.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{domain::worker::protocol::MAX_LINE, shepherd::WorkerPipes};

/// How many bytes are read at once.
const CHUNK_SIZE: usize = 16 * 1024;
/// How many lines that end no task a process may send in one [`WINDOW`].
const MAX_MESSAGES: u32 = 10_000;
const WINDOW: Duration = Duration::from_secs(1);
/// After this number of lines, everything else on this thread has its turn.
const TURN: u32 = 64;

/// The lines of one process.
pub(super) struct Wire {
    pipes: Option<WorkerPipes>,
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    /// How much of `incoming` has no line break.
    searched: usize,
    lines: u32,
    /// The beginning of the window, and the messages in it.
    window: (Instant, u32),
}

impl Wire {
    pub(super) fn new(pipes: WorkerPipes) -> Self {
        Self {
            pipes: Some(pipes),
            outgoing: Vec::new(),
            sent: 0,
            incoming: Vec::new(),
            searched: 0,
            lines: 0,
            window: (Instant::now(), 0),
        }
    }

    /// A line is to be sent. It goes out while [`Wire::next`] waits.
    pub(super) fn send(&mut self, line: &[u8]) {
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        self.outgoing.extend_from_slice(line);
        // Most lines fit into the pipe, and need no second look.
        self.write();
    }

    /// Whether the process has not read everything.
    pub(super) fn is_behind(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Waits for a line of the process.
    ///
    /// # Errors
    /// Why the process is not to be listened to any more.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, String> {
        self.lines += 1;
        if self.lines.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(line);
            }
            let is_behind = self.is_behind();
            let Some(pipes) = &self.pipes else { return std::future::pending().await };
            let ready = tokio::select! {
                ready = pipes.answers.readable() => ready,
                ready = pipes.tasks.writable(), if is_behind => ready,
            };
            ready.map_err(|error| format!("cannot be heard: {error}"))?;
            self.write();
            self.read().map_err(|error| format!("cannot be heard: {error}"))?;
        }
    }

    /// A line that has come already.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let _ = self.read();
        self.take_line().ok().flatten()
    }

    /// Counts a message that ends no task.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn count_message(&mut self) -> Result<(), String> {
        if self.window.0.elapsed() > WINDOW {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        if self.window.1 > MAX_MESSAGES {
            return Err(format!("sent more than {MAX_MESSAGES} messages in a second"));
        }
        Ok(())
    }

    /// Ends the input of the process.
    pub(super) fn close(&mut self) {
        self.pipes = None;
    }

    fn write(&mut self) {
        let Some(pipes) = &self.pipes else { return };
        while self.sent < self.outgoing.len() {
            match pipes.tasks.try_write(&self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                // A process that has ended is noticed by its shepherd.
                Err(_) => return,
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(pipes) = &self.pipes else { return Ok(()) };
        let start = self.incoming.len();
        self.incoming.resize(start + CHUNK_SIZE, 0);
        let read = pipes.answers.try_read(&mut self.incoming[start..]);
        self.incoming.truncate(start + read.as_ref().map_or(0, |count| *count));
        match read {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let found = self.incoming[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(at) = found.map(|at| self.searched + at) else {
            self.searched = self.incoming.len();
            return match self.searched > MAX_LINE {
                true => Err(format!("sent a line of more than {MAX_LINE} bytes")),
                false => Ok(None),
            };
        };
        let rest = self.incoming.split_off(at + 1);
        let line = std::mem::replace(&mut self.incoming, rest);
        self.searched = 0;
        Ok(Some(line))
    }
}
