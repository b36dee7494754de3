//! Whether this daemon is to start itself anew.

use std::time::Duration;

use crate::{
    daemon::state::shared::Shared,
    domain::daemon::recycle::{RecycleLimits, recycle_reason},
    service::own_memory,
};

/// The exit code of a daemon that is to be started anew: `EX_TEMPFAIL` of sysexits.h.
pub const RESTART: i32 = 75;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Ends when it is time to start anew; says why.
pub(in crate::daemon) async fn due(shared: &Shared) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        let config = shared.config();
        let limits = RecycleLimits { age: config.daemon.max_age, memory: config.daemon.max_memory };
        let memory = limits.memory.and_then(|_| own_memory());
        if let Some(why) = recycle_reason(limits, shared.started.elapsed(), memory) {
            return why;
        }
    }
}
