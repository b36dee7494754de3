//! The fork, and with it the only unsafe call of the house.

use std::sync::{Arc, atomic::AtomicBool};

use nix::unistd::{ForkResult, Pid, User, fork};

use super::title::Title;

/// What the fork server has found out once, for all its shepherds.
pub(super) struct ForkContext {
    pub(super) title: Title,
    pub(super) single_threaded: SingleThreaded,
    /// Whose process this is.
    pub(super) user: Option<User>,
    /// The fork server.
    pub(super) server: Pid,
    /// Whether a signal has come that nobody waited for: in a process that is about to become its command.
    pub(super) interrupted: Arc<AtomicBool>,
}

/// The knowledge that this process has one thread. It makes none as long as it keeps to this room.
#[derive(Clone, Copy, Debug)]
pub(super) struct SingleThreaded(());

impl SingleThreaded {
    /// Makes sure of it.
    ///
    /// # Errors
    /// If there is another thread: the child of such a process may find locks held (by the allocator, for one) that
    /// nobody will ever let go of.
    pub(super) fn verify() -> std::io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            _ => Err(std::io::Error::other("a process with several threads must not fork")),
        }
    }

    /// Forks. `None` in the child.
    ///
    /// # Errors
    /// What the operating system says.
    #[expect(unsafe_code, reason = "there is no safe way to fork")]
    pub(super) fn fork(self) -> nix::Result<Option<Pid>> {
        // SAFETY: the child may do whatever its parent may, because the parent's only thread is the one that goes on
        // in it: no lock is held by a thread that does not exist in the child.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Some(child)),
            ForkResult::Child => Ok(None),
        }
    }
}
