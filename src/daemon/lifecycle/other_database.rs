//! Whether the database was replaced by another one while this daemon runs, such as by another SQLite file.

use crate::daemon::components::Components;

/// Ends when the database is another one than at the start. Returns why that restarts the daemon: what it has in flight
/// is of the earlier one. It looks once in a heartbeat.
pub(in crate::daemon) async fn noticed(daemon: &Components) -> String {
    loop {
        let heartbeat = daemon.config().daemon.heartbeat;
        tokio::time::sleep(heartbeat).await;
        let told = daemon.outlook.fresh(heartbeat * 2).and_then(|outlook| outlook.database);
        if told.is_some() && told.as_ref() == daemon.store.known_database_id() {
            continue;
        }
        // Outages are the modules' concern.
        if let Ok(Some(other)) = daemon.store.other_database_id().await {
            let known = daemon.store.known_database_id().map(ToString::to_string).unwrap_or_default();
            return format!("the database was replaced by another one (identity {other}, before {known})");
        }
    }
}
