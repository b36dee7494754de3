//! The herald: tells whoever is above the daemon that it lives and how it does.
//!
//! It lives on the thread of the supervisor, so that a hanging supervisor gives no sign of life.

use std::time::Duration;

use super::status::{DaemonStatus, Phase};
use crate::service::notify;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// A daemon that is coming up or to its end asks for so much time, again and again.
const MORE_TIME: Duration = Duration::from_secs(10);

/// Tells, for ever.
pub(in crate::daemon) async fn tell(desk: DaemonStatus) {
    let watchdog = notify::watchdog();
    let look = watchdog.map_or(LOOK, |watchdog| (watchdog / 4).min(LOOK));
    let (mut said, mut beats) = (String::new(), 0);
    loop {
        let line = desk.status_line();
        let phase = desk.phase();
        let is_stopping = phase == Phase::Stopping;
        if line != said {
            if is_stopping {
                notify::stopping(&line);
            } else {
                notify::status(&line);
            }
            said = line;
        }
        // The tables may have to be brought up to date, however long that takes.
        if matches!(phase, Phase::Starting | Phase::Stopping) {
            notify::needs_time(MORE_TIME);
        }
        // Its modules have limits of their own while it comes up and goes down.
        let beats_now = match desk.shared() {
            Some(shared) if phase == Phase::Running => shared.pulse.beats(),
            _ => beats + 1,
        };
        if beats_now != beats {
            beats = beats_now;
            if watchdog.is_some() {
                notify::alive();
            }
        }
        tokio::time::sleep(look).await;
    }
}
