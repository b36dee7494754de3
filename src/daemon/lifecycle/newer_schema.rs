//! Whether a newer version has migrated the database while this daemon runs.

use std::path::Path;

use crate::{daemon::components::Components, store::StoreError};

/// The exit code of a daemon whose database belongs to a newer version: `EX_PROTOCOL` of sysexits.h. Its program has to
/// be replaced.
pub const NEWER_SCHEMA: i32 = 76;

/// Ends when the database has a step that this program does not know. Returns why that ends the daemon. It looks once in
/// a heartbeat.
pub(in crate::daemon) async fn noticed(daemon: &Components) -> String {
    loop {
        tokio::time::sleep(daemon.config().daemon.heartbeat).await;
        // Outages are the modules' concern.
        if let Err(error @ StoreError::Newer(_)) = daemon.store.migration_status().await {
            return error.to_string();
        }
    }
}

/// Whether the program of this process has been replaced by another file, which a restart would run.
pub(in crate::daemon) fn is_program_replaced() -> bool {
    // Linux appends this to the path of a file that was replaced or removed.
    let path = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    path.to_string_lossy().strip_suffix(" (deleted)").is_some_and(|path| Path::new(path).exists())
}
