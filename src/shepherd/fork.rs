//! The fork, and with it the only unsafe call of the house.

use nix::unistd::{ForkResult, Pid, fork};

/// Forks. `None` in the child.
///
/// # Errors
/// What the operating system says, and if this process has a second thread: the child of such a process may find
/// locks held (by the allocator, for one) that nobody will ever let go of.
#[expect(unsafe_code, reason = "there is no safe way to fork")]
pub(super) fn fork_alone() -> std::io::Result<Option<Pid>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(std::io::Error::other("a process with several threads must not fork"));
    }
    // SAFETY: the child may do whatever its parent may, because this thread is the only one (see above): no lock is
    // held by a thread that does not exist in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}
