//! The output of a program that the daemon keeps running, on its way to the log.

use std::io;

use crate::{
    domain::{
        command::{capture::Kept, lines::Lines},
        identity::ModuleName,
    },
    shepherd::{AttemptDir, Piece, Tail},
};

/// Longer lines are cut.
const MAX_LINE: usize = 4 * 1024;

/// One output stream of a program, on its way to the log.
pub(in crate::daemon::modules) struct OutputStream {
    tail: Tail,
    lines: Lines,
    is_error: bool,
}

impl OutputStream {
    /// The stream of that name of a program that was started.
    pub(in crate::daemon::modules) fn new(dir: &AttemptDir, name: &str) -> Self {
        Self { tail: Tail::new(dir, name), lines: Lines::new(MAX_LINE), is_error: name == "stderr" }
    }

    /// Logs new output line by line; with the captured output of the end, also the rest. True if there was any.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(in crate::daemon::modules) fn log_new(&mut self, module: &ModuleName, rest: Option<&Kept>) -> io::Result<bool> {
        let (lines, is_error) = (&mut self.lines, self.is_error);
        let log = |line: String| match is_error {
            true => tracing::warn!(%module, "{line}"),
            false => tracing::info!(%module, "{line}"),
        };
        let mut is_new = false;
        let mut sink = |piece: Piece<'_>| {
            is_new = true;
            match piece {
                Piece::Bytes(bytes) => lines.push(bytes).into_iter().for_each(log),
                Piece::LeftOut(count) => {
                    lines.end().into_iter().for_each(log);
                    tracing::warn!(%module, "its program wrote faster than it could be read: {count} bytes are left out");
                }
            }
            Ok(())
        };
        match rest {
            None => self.tail.read(&mut sink)?,
            Some(kept) => {
                self.tail.finish(kept, &mut sink)?;
                self.lines.end().into_iter().for_each(log);
            }
        }
        Ok(is_new)
    }
}
