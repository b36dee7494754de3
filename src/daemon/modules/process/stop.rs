//! An order to end, and what follows if it is not obeyed: a shepherd that was stopped itself (SIGSTOP) hears nothing.

use std::time::{Duration, Instant};

use crate::{
    domain::command::Stopped,
    shepherd::{Shepherd, StopOrder},
};

/// Beyond a program's own time to end, its shepherd is waited for no longer than this: it has killed it long ago.
const HOPELESS: Duration = Duration::from_secs(15);
/// A shepherd that was continued has so long to do what it was told.
const LAST_CHANCE: Duration = Duration::from_secs(2);
/// When the daemon is to end at once, this is all that is left.
const HURRY: Duration = Duration::from_secs(2);
/// The longest time that is reckoned with.
const DAY: Duration = Duration::from_secs(86_400);

/// An order to end that was given to a shepherd.
pub(super) struct StopSequence {
    /// When the next step is due.
    due: Instant,
    step: StopStep,
    grace: Duration,
    is_hurried: bool,
}

/// How far it has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopStep {
    Told,
    Continued,
    Killed,
    Hopeless,
}

impl StopSequence {
    /// Tells a shepherd to end its program within that time.
    pub(super) fn give(module: &str, shepherd: &Shepherd, grace: Duration) -> Self {
        tell(module, shepherd, grace);
        Self { due: Instant::now() + grace.min(DAY) + HOPELESS, step: StopStep::Told, grace, is_hurried: false }
    }

    /// The daemon is to end at once.
    pub(super) fn hurry(&mut self, module: &str, shepherd: &Shepherd) {
        if !std::mem::replace(&mut self.is_hurried, true) {
            let grace = HURRY.min(self.grace);
            tell(module, shepherd, grace);
            self.due = self.due.min(Instant::now() + grace + HOPELESS);
        }
    }

    /// Takes the next step, if it is due: a shepherd that does not stir is continued, and killed if that is of no use.
    /// False if nothing has helped.
    pub(super) fn press(&mut self, module: &str, shepherd: &Shepherd) -> bool {
        if Instant::now() < self.due {
            return true;
        }
        self.due = Instant::now() + LAST_CHANCE;
        self.step = match self.step {
            StopStep::Told => {
                tracing::warn!(module, "the shepherd of its program does not stir: it is told to continue");
                shepherd.resume();
                StopStep::Continued
            }
            StopStep::Continued => {
                tracing::warn!(module, "the shepherd of its program does not stir: it is killed");
                shepherd.kill();
                StopStep::Killed
            }
            StopStep::Killed | StopStep::Hopeless => StopStep::Hopeless,
        };
        self.step != StopStep::Hopeless
    }
}

fn tell(module: &str, shepherd: &Shepherd, grace: Duration) {
    if let Err(error) = shepherd.stop(&StopOrder { why: Stopped::Interrupted, grace }) {
        tracing::warn!(module, "the order to stop cannot be written down: {error}");
    }
}
