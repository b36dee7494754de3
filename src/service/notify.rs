//! Signs of life to whoever is above the daemon, in the words of sd_notify(3): systemd, or the process supervisor of
//! `sexton start`, which speaks the same language.

use std::time::Duration;

use sd_notify::NotifyState;

/// What a daemon has said to its process supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is at work.
    Ready,
    /// It is coming to its end.
    Stopping,
    /// It lives.
    Alive,
    /// How it does, in words.
    Status(String),
    /// It needs so long for what it is about to do.
    NeedsTime(Duration),
}

/// Says that the daemon is at work; also after a reload.
pub fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the configuration is being read anew; [`ready`] says that it is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no monotonic clock: {error}"),
    }
}

/// Says that the daemon is coming to its end.
pub fn stopping(status: &str) {
    say(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says how the daemon does, in words.
pub fn status(status: &str) {
    say(&[NotifyState::Status(status)]);
}

/// Says that the daemon lives.
pub fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// Asks for so much time for what the daemon is about to do.
pub fn needs_time(time: Duration) {
    // systemd takes the time from now on, in microseconds.
    say(&[NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))]);
}

/// How often at least somebody above wants a sign of life; none if nobody does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn say(words: &[NotifyState<'_>]) {
    // Whoever was above may be gone: the daemon goes on without.
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!("nobody hears the signs of life: {error}");
    }
}

/// Understands one message.
pub(super) fn understand(message: &str) -> Vec<Said> {
    let word = |line: &str| match line.split_once('=')? {
        ("READY", "1") => Some(Said::Ready),
        ("STOPPING", "1") => Some(Said::Stopping),
        ("WATCHDOG", "1") => Some(Said::Alive),
        ("STATUS", text) => Some(Said::Status(text.to_owned())),
        ("EXTEND_TIMEOUT_USEC", micros) => micros.parse().ok().map(Duration::from_micros).map(Said::NeedsTime),
        _ => None,
    };
    message.lines().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_understood_and_others_left_alone() {
        let said = understand("READY=1\nSTATUS=3 running = fine\nMAINPID=12\nFDSTORE=1");
        assert_eq!(said, [Said::Ready, Said::Status("3 running = fine".to_owned())]);
        assert_eq!(understand("EXTEND_TIMEOUT_USEC=1500000"), [Said::NeedsTime(Duration::from_millis(1_500))]);
        assert_eq!(understand("STOPPING=1\nWATCHDOG=1"), [Said::Stopping, Said::Alive]);
        assert!(understand("READY=0\nnonsense\nEXTEND_TIMEOUT_USEC=soon").is_empty());
    }
}
