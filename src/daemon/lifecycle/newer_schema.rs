//! Whether a newer version has migrated the database while this daemon runs.

use std::path::Path;

use crate::{
    daemon::components::Components,
    store::{Store, StoreError},
};

/// The exit code of a daemon whose database belongs to a newer version: `EX_PROTOCOL` of sysexits.h. Its program has to
/// be replaced.
pub const NEWER_SCHEMA: i32 = 76;

/// It asks this often for all steps. The newest one comes with the dispatcher's look at the database.
const ASK_EVERY: u32 = 60;

/// Ends when the database has a step that this program does not know. Returns why that ends the daemon. It looks once in
/// a heartbeat.
pub(in crate::daemon) async fn noticed(daemon: &Components) -> String {
    for round in 1_u32.. {
        let heartbeat = daemon.config().daemon.heartbeat;
        tokio::time::sleep(heartbeat).await;
        let newest = daemon.outlook.fresh(heartbeat * 2).and_then(|outlook| outlook.newest_step);
        if newest.is_some_and(|newest| Store::knows_step(&newest)) && !round.is_multiple_of(ASK_EVERY) {
            continue;
        }
        // Outages are the modules' concern.
        if let Err(error @ StoreError::Newer(_)) = daemon.store.migration_status().await {
            return error.to_string();
        }
    }
    std::future::pending().await
}

/// Whether the program of this process has been replaced by another file, which a restart would run.
pub(in crate::daemon) fn is_program_replaced() -> bool {
    // Linux appends this to the path of a file that was replaced or removed.
    let path = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    path.to_string_lossy().strip_suffix(" (deleted)").is_some_and(|path| Path::new(path).exists())
}
