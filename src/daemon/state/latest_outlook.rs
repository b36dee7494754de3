//! What the dispatcher's last look at the database said, for the modules that would ask the same one by one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::store::{NextInstants, NodeOutlook};

/// What an idle node needs one statement for. Clones share it.
#[derive(Clone, Default)]
pub(in crate::daemon) struct LatestOutlook(Arc<Mutex<Latest>>);

struct Latest {
    seen: Option<(NodeOutlook, Instant)>,
    next: NextInstants,
    /// When the node last found a task, or one waited for a limit, or when it started; and when it last claimed one.
    found: Option<Instant>,
    claimed: Option<Instant>,
}

impl Default for Latest {
    /// A daemon that has just started looks as often as one that has found a task.
    fn default() -> Self {
        Self { seen: None, next: NextInstants::default(), found: Some(Instant::now()), claimed: None }
    }
}

impl LatestOutlook {
    /// Notes what the database said at `at`. Returns what was known before.
    pub(in crate::daemon) fn note(&self, outlook: NodeOutlook, at: Instant) -> Option<NodeOutlook> {
        self.0.lock().seen.replace((outlook, at)).map(|(before, _)| before)
    }

    /// What the database said, if that is not older than `age`.
    pub(in crate::daemon) fn fresh(&self, age: Duration) -> Option<NodeOutlook> {
        let state = self.0.lock();
        let (outlook, at) = state.seen.as_ref()?;
        (at.elapsed() <= age).then(|| outlook.clone())
    }

    /// Its age, once the database was asked.
    pub(in crate::daemon) fn age(&self) -> Option<Duration> {
        Some(self.0.lock().seen.as_ref()?.1.elapsed())
    }

    /// Notes the next instants. Returns whether they are others than before.
    pub(in crate::daemon) fn note_next(&self, next: NextInstants) -> bool {
        std::mem::replace(&mut self.0.lock().next, next) != next
    }

    /// The next instants, as far as they are known.
    pub(in crate::daemon) fn next(&self) -> NextInstants {
        self.0.lock().next
    }

    /// The node found a task, or one waits for a limit.
    pub(in crate::daemon) fn note_found(&self) {
        self.0.lock().found = Some(Instant::now());
    }

    /// The node claimed a task.
    pub(in crate::daemon) fn note_claimed(&self) {
        self.0.lock().claimed = Some(Instant::now());
    }

    /// For how long it has found no task, and claimed none; none if it never did.
    pub(in crate::daemon) fn quiet_for(&self) -> (Option<Duration>, Option<Duration>) {
        let state = self.0.lock();
        let (found, claimed) = (state.found, state.claimed);
        (found.map(|at| at.elapsed()), claimed.map(|at| at.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_is_not_told() {
        let latest = LatestOutlook::default();
        assert_eq!((latest.fresh(Duration::MAX), latest.age()), (None, None));
        let outlook = NodeOutlook { is_paused: true, ..NodeOutlook::default() };
        let long_ago = Instant::now().checked_sub(Duration::from_secs(10)).expect("an instant");
        assert_eq!(latest.note(outlook.clone(), long_ago), None);
        assert_eq!(latest.fresh(Duration::from_secs(60)), Some(outlook));
        assert_eq!(latest.fresh(Duration::from_secs(9)), None);
    }

    #[test]
    fn the_next_instants_are_new_once() {
        let latest = LatestOutlook::default();
        let next = NextInstants { due: chrono::DateTime::from_timestamp(1, 0), ..NextInstants::default() };
        assert!(latest.note_next(next));
        assert!(!latest.note_next(next));
        assert_eq!(latest.next(), next);
    }
}
