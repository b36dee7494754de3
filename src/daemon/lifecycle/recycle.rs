//! Whether this daemon is to restart itself.

use std::time::Duration;

use crate::{
    daemon::components::Components,
    domain::daemon::recycle::{RecycleLimits, recycle_reason},
    service::own_memory,
};

/// The exit code with which a daemon asks to be restarted: `EX_TEMPFAIL` of sysexits.h.
pub const RESTART: i32 = 75;
/// How often age and memory are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Ends when the daemon is to restart itself (`daemon.max_age`, `daemon.max_memory`). Returns the reason.
pub(in crate::daemon) async fn due(daemon: &Components) -> String {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let config = daemon.config();
        let limits = RecycleLimits { age: config.daemon.max_age, memory: config.daemon.max_memory };
        let memory = limits.memory.and_then(|_| own_memory());
        if let Some(why) = recycle_reason(limits, daemon.started.elapsed(), memory) {
            return why;
        }
    }
}
