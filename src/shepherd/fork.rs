//! The fork: the only unsafe call of this crate.

use std::sync::{Arc, atomic::AtomicBool};

use nix::unistd::{ForkResult, Pid, User, fork};

use super::title::Title;

/// What the fork server has found out once, for all its shepherds.
pub(super) struct ForkContext {
    pub(super) title: Title,
    pub(super) single_threaded: SingleThreaded,
    /// The user of this process.
    pub(super) user: Option<User>,
    /// The process of the fork server.
    pub(super) server: Pid,
    /// Set by a signal that no loop waited for, in a process that is about to become its command.
    pub(super) interrupted: Arc<AtomicBool>,
}

/// The proof that this process has one thread. The code in this directory starts no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct SingleThreaded(());

impl SingleThreaded {
    /// Checks that this process has one thread.
    ///
    /// # Errors
    /// If there is another thread. The child of such a process may find locks (of the allocator, for example) that are
    /// never released.
    pub(super) fn verify() -> std::io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            _ => Err(std::io::Error::other("a process with several threads must not fork")),
        }
    }

    /// Forks. Returns `None` in the child.
    ///
    /// # Errors
    /// The error of the operating system.
    #[expect(unsafe_code, reason = "there is no safe way to fork")]
    pub(super) fn fork(self) -> nix::Result<Option<Pid>> {
        // SAFETY: the child may do whatever its parent may, because the parent's only thread continues in it: no lock
        // is held by a thread that does not exist in the child.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Some(child)),
            ForkResult::Child => Ok(None),
        }
    }
}
