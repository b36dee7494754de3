//! What worker processes do, for `sexton summary`, `sexton status` and the doctor.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::text::plural::counted;

/// This number of failures in a row is a trouble, although another process has started.
const MANY: u32 = 3;

/// The worker processes of one daemon. Clones share it.
#[derive(Clone, Default)]
pub struct WorkerBoard {
    slots: Arc<Mutex<BTreeMap<(String, u64), SlotState>>>,
}

/// What one place for a worker process does.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct SlotState {
    /// The process, once known.
    pub(in crate::daemon) pid: Option<i32>,
    /// What it does.
    pub(in crate::daemon) doing: Doing,
    /// How many tasks the process has executed.
    pub(in crate::daemon) tasks: u64,
    /// When the process was started.
    pub(in crate::daemon) since: Instant,
    /// The memory of its process tree, if it was measured.
    pub(in crate::daemon) memory: u64,
    /// Failures in a row.
    pub(in crate::daemon) failures: u32,
    /// How the process before it ended.
    pub(in crate::daemon) last_end: Option<String>,
}

/// What a place for a worker process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Doing {
    /// Its process has not said hello.
    Starting,
    /// Its process waits for a task.
    Idle,
    /// Its process executes this task.
    Task(i64),
    /// It waits before it starts another process.
    Waiting(Instant),
    /// It finishes, and no process follows.
    Ending,
}

/// A worker program with a place whose processes fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTrouble {
    /// The name of the program.
    pub worker: String,
    /// How many of its processes are ready or at work.
    pub ready: usize,
    /// How many there are to be.
    pub processes: usize,
    /// How often in a row processes have failed, at the place where it is worst.
    pub failures: u32,
    /// How the last one ended.
    pub reason: String,
    /// The next start, in milliseconds from now.
    #[serde(default)]
    pub next_try_ms: u64,
}

impl WorkerTrouble {
    /// The trouble in words.
    pub fn words(&self) -> String {
        let (ready, processes) = (self.ready, counted(self.processes, "process"));
        let failures = counted(self.failures, "failure");
        format!("{ready} of {processes} can work: a process {} ({failures} in a row)", self.reason)
    }
}

impl SlotState {
    fn is_ready(&self) -> bool {
        matches!(self.doing, Doing::Idle | Doing::Task(_))
    }

    /// One crash that another process has followed is the trouble of its task.
    fn is_failing(&self) -> bool {
        self.failures >= MANY || (self.failures > 0 && !self.is_ready())
    }
}

impl WorkerBoard {
    /// Changes the state of a place.
    pub(in crate::daemon) fn update(&self, program: &str, slot: u64, change: impl FnOnce(&mut SlotState)) {
        let fresh = || SlotState {
            pid: None,
            doing: Doing::Starting,
            tasks: 0,
            since: Instant::now(),
            memory: 0,
            failures: 0,
            last_end: None,
        };
        change(self.slots.lock().entry((program.to_owned(), slot)).or_insert_with(fresh));
    }

    /// A place is gone.
    pub(in crate::daemon) fn remove(&self, program: &str, slot: u64) {
        self.slots.lock().remove(&(program.to_owned(), slot));
    }

    /// All places are gone.
    pub(in crate::daemon) fn clear(&self) {
        self.slots.lock().clear();
    }

    /// How many processes of a program are ready or at work.
    pub(in crate::daemon) fn ready(&self, program: &str) -> usize {
        self.slots.lock().iter().filter(|((name, _), slot)| name == program && slot.is_ready()).count()
    }

    /// Every place with its program.
    pub(in crate::daemon) fn all(&self) -> Vec<(String, SlotState)> {
        self.slots.lock().iter().map(|((name, _), slot)| (name.clone(), slot.clone())).collect()
    }

    /// The programs whose processes fail.
    pub fn troubles(&self) -> Vec<WorkerTrouble> {
        let mut troubles: BTreeMap<String, WorkerTrouble> = BTreeMap::new();
        let all = self.all();
        for (name, slot) in all.iter().filter(|(_, slot)| slot.is_failing()) {
            let of_program = || all.iter().filter(|(other, _)| other == name);
            let trouble = troubles.entry(name.clone()).or_insert_with(|| WorkerTrouble {
                worker: name.clone(),
                ready: of_program().filter(|(_, slot)| slot.is_ready()).count(),
                processes: of_program().count(),
                failures: 0,
                reason: String::new(),
                next_try_ms: 0,
            });
            if slot.failures > trouble.failures {
                trouble.failures = slot.failures;
                trouble.reason = slot.last_end.clone().unwrap_or_default();
                let wait = if let Doing::Waiting(until) = slot.doing {
                    until.saturating_duration_since(Instant::now())
                } else {
                    Duration::ZERO
                };
                trouble.next_try_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            }
        }
        troubles.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_processes_fail_is_named_with_the_reason() {
        let board = WorkerBoard::default();
        board.update("shop", 1, |slot| slot.doing = Doing::Idle);
        board.update("shop", 2, |slot| {
            slot.doing = Doing::Waiting(Instant::now());
            slot.failures = 3;
            slot.last_end = Some("died: exit code 255".to_owned());
        });
        board.update("mail", 3, |slot| {
            slot.doing = Doing::Task(7);
            slot.failures = 1;
        });
        let troubles = board.troubles();
        let [trouble] = &troubles[..] else { panic!("{troubles:?}") };
        assert_eq!((trouble.worker.as_str(), trouble.ready, trouble.processes, trouble.failures), ("shop", 1, 2, 3));
        assert_eq!((trouble.reason.as_str(), board.ready("mail")), ("died: exit code 255", 1));
        let expected = "1 of 2 processes can work: a process died: exit code 255 (3 failures in a row)";
        assert_eq!(trouble.words(), expected);
        board.remove("shop", 2);
        assert_eq!(board.troubles(), []);
    }
}
