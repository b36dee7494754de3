//! The identity of this boot: a process that was started in another boot of the machine or of the container is gone.

use std::{fs, sync::OnceLock};

/// The kernel's identity of this boot, and the start time of the first process, which tells containers apart.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let first = fs::read_to_string("/proc/1/stat").unwrap_or_default();
        // `starttime` is field 22 (proc(5)).
        let started =
            first.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(22 - 3)).unwrap_or_default();
        format!("{}:{started}", kernel.trim())
    })
}

/// Whether the kernel has run without a break since that boot identity was written, also if the container was restarted:
/// what was written to files then is still there, flushed or not.
pub(super) fn is_same_kernel(other: &str) -> bool {
    let kernel = |id: &str| id.split(':').next().unwrap_or_default().to_owned();
    !kernel(other).is_empty() && kernel(other) == kernel(boot_id())
}
