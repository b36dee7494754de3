//! The service notifier: reports readiness, status and liveness to systemd, or to the process supervisor of
//! `sexton start`.
//!
//! It runs on the supervisor's thread, so that a hanging supervisor gives no sign of life.

use std::time::Duration;

use super::status::{DaemonStatus, Phase};
use crate::service::notify;

/// How often the status is compared with the last report, unless the watchdog needs it more often.
const INTERVAL: Duration = Duration::from_secs(1);
/// The extension that a starting or stopping daemon asks for, again and again.
const EXTENSION: Duration = Duration::from_secs(10);

/// Reports until the daemon ends.
pub(in crate::daemon) async fn run(status: DaemonStatus) {
    let watchdog = notify::watchdog();
    let interval = watchdog.map_or(INTERVAL, |watchdog| (watchdog / 4).min(INTERVAL));
    let (mut reported, mut beats) = (String::new(), 0);
    loop {
        let line = status.line();
        let phase = status.phase();
        if line != reported {
            match phase {
                Phase::Stopping => notify::stopping(&line),
                _ => notify::status(&line),
            }
            reported = line;
        }
        // Updating the tables may take any time.
        if matches!(phase, Phase::Starting | Phase::Stopping) {
            notify::needs_time(EXTENSION);
        }
        // In the other phases the modules have limits of their own.
        let beats_now = match status.components() {
            Some(components) if phase == Phase::Running => components.liveness.beats(),
            _ => beats + 1,
        };
        if beats_now != beats {
            beats = beats_now;
            if watchdog.is_some() {
                notify::alive();
            }
        }
        tokio::time::sleep(interval).await;
    }
}
