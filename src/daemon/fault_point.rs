//! Fault points: places at which a test has the daemon killed. A released program has none.

/// Kills this process at once, as `kill -9` does, if the environment variable `SEXTON_FAULT_POINT` names this place.
#[cfg(debug_assertions)]
pub(in crate::daemon) fn fault_point(place: &str) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    if std::env::var_os("SEXTON_FAULT_POINT").is_some_and(|wanted| wanted == place) {
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(in crate::daemon) const fn fault_point(_: &str) {}
