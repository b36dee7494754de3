//! Why a command could not be started.

use std::{fmt, io};

use nix::errno::Errno;

use crate::domain::command::{CommandEnd, ResourceLimits};

/// The first byte of what a process reports that could not become its command: the machine lacks something.
const SHORTAGE: u8 = b'!';
/// The same where the reason is the command, or its definition.
const OTHER: u8 = b':';

/// Why a command could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartFailure {
    /// The reason, for people.
    pub(super) text: String,
    /// The machine lacks disk space, a process, memory or a descriptor. The command itself may be sound.
    pub(super) is_shortage: bool,
}

impl StartFailure {
    /// A failure by that error of the operating system, if there is one. Where the definition itself limits what was
    /// short, it is the definition's failure.
    pub(super) fn new(text: String, error: Option<Errno>, limits: Option<&ResourceLimits>) -> Self {
        let is_limited = |limit: fn(&ResourceLimits) -> Option<u64>| limits.and_then(limit).is_some();
        let is_shortage = match error {
            Some(Errno::EAGAIN) => !is_limited(|limits| limits.processes),
            Some(Errno::ENOMEM) => !is_limited(|limits| limits.memory),
            Some(Errno::EMFILE) => !is_limited(|limits| limits.open_files),
            Some(Errno::ENFILE | Errno::ENOSPC | Errno::EDQUOT) => true,
            _ => false,
        };
        Self { text, is_shortage }
    }

    /// Puts a text before the reason.
    pub(super) fn before(self, text: &str) -> Self {
        Self { text: format!("{text}{}", self.text), ..self }
    }

    /// As bytes for a pipe.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mark = if self.is_shortage { SHORTAGE } else { OTHER };
        [&[mark], self.text.as_bytes()].concat()
    }

    /// Reads what [`StartFailure::to_bytes`] has written; none if nothing was written.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mark, text) = bytes.split_first()?;
        Some(Self { text: String::from_utf8_lossy(text).into_owned(), is_shortage: *mark == SHORTAGE })
    }

    /// The end of a command that was not started.
    pub(super) fn into_end(self) -> CommandEnd {
        CommandEnd { is_shortage: self.is_shortage, ..CommandEnd::failed(self.text) }
    }
}

impl From<String> for StartFailure {
    fn from(text: String) -> Self {
        Self { text, is_shortage: false }
    }
}

impl From<&str> for StartFailure {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<io::Error> for StartFailure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string(), error.raw_os_error().map(Errno::from_raw), None)
    }
}

impl From<Errno> for StartFailure {
    fn from(error: Errno) -> Self {
        Self::new(error.to_string(), Some(error), None)
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_the_machines_unless_the_definition_limits_it() {
        let failure = |error, limits: Option<&ResourceLimits>| StartFailure::new(String::new(), error, limits);
        for error in [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE, Errno::ENOSPC, Errno::EDQUOT] {
            assert!(failure(Some(error), None).is_shortage, "{error}");
        }
        for error in [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC, Errno::E2BIG] {
            assert!(!failure(Some(error), None).is_shortage, "{error}");
        }
        let limits = ResourceLimits { memory: Some(1), processes: Some(1), ..ResourceLimits::default() };
        assert!(!failure(Some(Errno::ENOMEM), Some(&limits)).is_shortage);
        assert!(!failure(Some(Errno::EAGAIN), Some(&limits)).is_shortage);
        assert!(failure(Some(Errno::ENOSPC), Some(&limits)).is_shortage);
    }

    #[test]
    fn a_failure_passes_through_a_pipe() {
        let failure = StartFailure::from(Errno::EAGAIN).before("cannot start a: ");
        assert_eq!(StartFailure::from_bytes(&failure.to_bytes()), Some(failure));
        assert_eq!(StartFailure::from_bytes(b""), None);
    }
}
