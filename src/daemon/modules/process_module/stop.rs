//! The stop of a program, step by step: a shepherd that is stopped itself (SIGSTOP) does not react.

use std::time::{Duration, Instant};

use crate::{
    domain::{command::Stopped, identity::ModuleName},
    shepherd::{Shepherd, StopOrder},
};

/// Time beyond a program's own `stop_timeout` that its shepherd has: it has killed the program by then.
const SHEPHERD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that a continued shepherd has.
const CONTINUED_TIMEOUT: Duration = Duration::from_secs(2);
/// Grace of a program when the daemon stops by force.
const FORCED_GRACE: Duration = Duration::from_secs(2);
/// Maximum grace.
const MAX_GRACE: Duration = Duration::from_secs(86_400);

/// The stop of one program.
pub(in crate::daemon::modules) struct StopSequence {
    /// When the next step is due.
    due: Instant,
    step: StopStep,
    grace: Duration,
    is_forced: bool,
}

/// What was done last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopStep {
    Asked,
    Continued,
    Killed,
    Failed,
}

impl StopSequence {
    /// Asks a shepherd to stop its program within that time.
    pub(in crate::daemon::modules) fn begin(module: &ModuleName, shepherd: &Shepherd, grace: Duration) -> Self {
        ask(module, shepherd, grace);
        Self {
            due: Instant::now() + grace.min(MAX_GRACE) + SHEPHERD_TIMEOUT,
            step: StopStep::Asked,
            grace,
            is_forced: false,
        }
    }

    /// The daemon stops by force.
    pub(super) fn force(&mut self, module: &ModuleName, shepherd: &Shepherd) {
        if !std::mem::replace(&mut self.is_forced, true) {
            let grace = FORCED_GRACE.min(self.grace);
            ask(module, shepherd, grace);
            self.due = self.due.min(Instant::now() + grace + SHEPHERD_TIMEOUT);
        }
    }

    /// Takes the next step if it is due: continues a shepherd that does not react, then kills it. False if it does not end
    /// even then.
    pub(in crate::daemon::modules) fn press(&mut self, module: &ModuleName, shepherd: &Shepherd) -> bool {
        if Instant::now() < self.due {
            return true;
        }
        self.due = Instant::now() + CONTINUED_TIMEOUT;
        self.step = match self.step {
            StopStep::Asked => {
                tracing::warn!(%module, "the shepherd of its program does not react: sending CONT");
                shepherd.resume();
                StopStep::Continued
            }
            StopStep::Continued => {
                tracing::warn!(%module, "the shepherd of its program does not react: killing it");
                shepherd.kill();
                StopStep::Killed
            }
            StopStep::Killed | StopStep::Failed => StopStep::Failed,
        };
        self.step != StopStep::Failed
    }
}

fn ask(module: &ModuleName, shepherd: &Shepherd, grace: Duration) {
    if let Err(error) = shepherd.stop(&StopOrder { why: Stopped::Interrupted, grace }) {
        tracing::warn!(%module, "cannot write the request to stop: {error}");
    }
}
