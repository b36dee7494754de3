//! Warnings about a configuration, in the log.

use crate::config::ConfigWarning;

/// Logs the warnings about a configuration: the daemon does so at its start and at each reload.
pub(super) fn log_warnings(warnings: &[ConfigWarning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}
