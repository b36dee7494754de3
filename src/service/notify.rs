//! Messages to the service manager by sd_notify(3). The process supervisor of `sexton start` reads them as systemd does.

use std::time::Duration;

use sd_notify::NotifyState;

/// A message of the daemon to its process supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServiceMessage {
    /// The daemon is ready.
    Ready,
    /// The daemon is stopping.
    Stopping,
    /// The daemon is alive (watchdog).
    Alive,
    /// The daemon's status line.
    Status(String),
    /// The daemon needs this much time for its next step.
    ExtendTimeout(Duration),
}

/// Whether a service manager has started this process.
pub fn has_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Reports that the daemon is ready, at its start and after a reload.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that a reload begins; [`ready`] reports its end.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no monotonic clock: {error}"),
    }
}

/// Reports that the daemon is stopping.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Reports the daemon's status line.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// Reports that the daemon is alive.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// Requests this much time, from now on, for the daemon's next step.
pub fn needs_time(time: Duration) {
    // In microseconds, counted from now.
    send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))]);
}

/// The longest time between two [`alive`] messages that the service manager accepts; none without a watchdog.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn send(states: &[NotifyState<'_>]) {
    // The service manager may be gone; the daemon continues without it.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager cannot be notified: {error}");
    }
}

/// Parses a message. Unknown lines are ignored.
pub(super) fn parse(message: &str) -> Vec<ServiceMessage> {
    let parse_line = |line: &str| match line.split_once('=')? {
        ("READY", "1") => Some(ServiceMessage::Ready),
        ("STOPPING", "1") => Some(ServiceMessage::Stopping),
        ("WATCHDOG", "1") => Some(ServiceMessage::Alive),
        ("STATUS", text) => Some(ServiceMessage::Status(text.to_owned())),
        ("EXTEND_TIMEOUT_USEC", micros) => {
            micros.parse().ok().map(Duration::from_micros).map(ServiceMessage::ExtendTimeout)
        }
        _ => None,
    };
    message.lines().filter_map(parse_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_understood_and_others_left_alone() {
        let messages = parse("READY=1\nSTATUS=3 running = fine\nMAINPID=12\nFDSTORE=1");
        assert_eq!(messages, [ServiceMessage::Ready, ServiceMessage::Status("3 running = fine".to_owned())]);
        assert_eq!(parse("EXTEND_TIMEOUT_USEC=1500000"), [ServiceMessage::ExtendTimeout(Duration::from_millis(1_500))]);
        assert_eq!(parse("STOPPING=1\nWATCHDOG=1"), [ServiceMessage::Stopping, ServiceMessage::Alive]);
        assert!(parse("READY=0\nnonsense\nEXTEND_TIMEOUT_USEC=soon").is_empty());
    }
}
