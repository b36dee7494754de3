//! The answers of a command: lines of JSON that it writes to a descriptor of its own while it runs.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::domain::command::answer::{Answer, MAX_LINE, Progress};

/// The maximum number of chunks that are read before the shepherd turns to its other work.
const MAX_CHUNKS: usize = 4;

/// The answers of one command.
pub(super) struct Answers {
    pipe: Option<File>,
    line: Vec<u8>,
    answer: Answer,
}

impl Answers {
    /// `pipe` is the reading end, and must not block.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe.into()), line: Vec::new(), answer: Answer::default() }
    }

    /// The descriptor to poll, until the command has closed the other end.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// The progress that the command reported last.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.answer.progress.as_ref()
    }

    /// Reads what is available. Returns whether there was anything.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        let mut any = false;
        // A command that writes without end must not keep the shepherd from its other work.
        for _ in 0..MAX_CHUNKS {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    any = true;
                    for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
                        // A line over the limit is reported by its length, and need not be complete.
                        if self.line.len() <= MAX_LINE {
                            self.line.extend_from_slice(part);
                        }
                        if part.ends_with(b"\n") {
                            self.answer.read(&std::mem::take(&mut self.line));
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        any
    }

    /// The whole answer. The last line needs no newline.
    pub(super) fn end(mut self) -> Answer {
        self.answer.read(&self.line);
        self.answer
    }
}
