//! What a command answers on its own descriptor, line by line, while it runs.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::domain::command::answer::{Answer, MAX_LINE, Progress};

/// Answers are read no more than so often before somebody else gets a turn.
const MAX_CHUNKS: usize = 4;

/// The line-by-line answers of a command.
pub(super) struct Answers {
    pipe: Option<File>,
    line: Vec<u8>,
    answer: Answer,
}

impl Answers {
    /// Reads from the reading end of a pipe, which must not block.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe.into()), line: Vec::new(), answer: Answer::default() }
    }

    /// What to wait for, until the command has closed it.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// How far the command has got, as it says itself.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.answer.progress.as_ref()
    }

    /// Takes in what is there. True if anything was.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        let mut any = false;
        // Whoever answers without end must not keep the shepherd from everything else.
        for _ in 0..MAX_CHUNKS {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    any = true;
                    for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
                        // What is too long is told by its length, and need not be kept whole.
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

    /// The whole answer; the last line need not be ended.
    pub(super) fn end(mut self) -> Answer {
        self.answer.read(&self.line);
        self.answer
    }
}
