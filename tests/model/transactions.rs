//! The model's transactions: claim, finish, adoption and release, as `src/store` does them.

use sexton_entities::states::{Outcome, Verdict};

use crate::{
    protocol::Protocol,
    rules::{ClaimedAgain, Identity, verdict},
    state::{Claim, Entry, Execution, Life, NodeKey, Place, Process, State},
};

impl Protocol {
    pub(crate) fn claim(&self, state: &mut State, machine: u8, task: u8, is_heard: bool) {
        let node = state.key(machine);
        let row = &mut state.db.rows[task as usize];
        row.fence = self.rules.next_fence(row.fence, state.now);
        let claim = Claim { task, fence: row.fence, node, enqueued: row.enqueued };
        let is_in_flight = |place| matches!(place, Place::Memory(at) | Place::Spool(at) if at == machine);
        let first = state.executions.iter().position(|execution| {
            is_in_flight(execution.place) && (execution.claim.task, execution.claim.fence) == (task, claim.fence)
        });
        let new = state.executions.len() as u8;
        if !is_heard {
            state.trouble.lost_answers -= 1;
        }
        let number = match first {
            Some(first) if self.rules.claimed_again == ClaimedAgain::Continues => Some(first as u8),
            _ if !is_heard => None,
            Some(first) => {
                state.executions[first].place = Place::Settled;
                Some(new)
            }
            None => Some(new),
        };
        row.life = Life::Running { by: node, execution: number };
        if number == Some(new) {
            // Beside the directory of the first one it cannot begin.
            let process = if first.is_some() { Process::Ended(Outcome::Failed) } else { Process::Running };
            state.executions.push(Execution { claim, place: Place::Memory(machine), process, is_forgotten: false });
        }
    }

    /// One transaction: the verdict for the task if the claim holds, and the row of history.
    pub(crate) fn finish(&self, state: &mut State, number: u8, is_heard: bool) -> Option<()> {
        let Execution { claim, process: Process::Ended(outcome), .. } = state.executions[number as usize] else {
            return None;
        };
        if !is_heard {
            state.trouble.lost_answers -= 1;
        }
        let place = &mut state.executions[number as usize].place;
        if self.rules.identity == Identity::Whole && claim.enqueued != state.generation {
            *place = Place::Aside;
            return Some(());
        }
        if is_heard {
            *place = Place::Settled;
        }
        let db = &mut state.db;
        let row = &mut db.rows[claim.task as usize];
        let is_known = |entry: &Entry, outcomes: &[Outcome]| {
            entry.claim.task == claim.task
                && self.rules.is_same(entry.claim, claim)
                && outcomes.contains(&entry.outcome)
        };
        if self.rules.holds(*row, claim) {
            // A unique key of history refuses the whole transaction.
            if db.history.iter().any(|entry| is_known(entry, &[outcome])) {
                return None;
            }
            let verdict = verdict(outcome);
            let is_final = verdict != Verdict::Released;
            row.life = if is_final { Life::Gone } else { Life::Available };
            db.history.push(Entry { claim, outcome, is_final, execution: Some(number) });
        } else if !db.history.iter().any(|entry| is_known(entry, &[outcome, Outcome::Superseded])) {
            let outcome = Outcome::Superseded;
            db.history.push(Entry { claim, outcome, is_final: false, execution: Some(number) });
        }
        Some(())
    }

    /// A daemon follows an execution that another one began on its machine.
    pub(crate) fn adopt(&self, state: &mut State, number: u8) {
        let execution = &mut state.executions[number as usize];
        let Place::Disk(machine) = execution.place else { return };
        let node = NodeKey { machine, boot: state.machines[machine as usize].boot };
        if self.rules.identity == Identity::Whole && execution.claim.enqueued != state.generation {
            execution.place = Place::Aside;
            return;
        }
        execution.place = Place::Memory(machine);
        let row = &mut state.db.rows[execution.claim.task as usize];
        if self.rules.holds(*row, execution.claim) {
            row.life = Life::Running { by: node, execution: Some(number) };
            execution.claim.node = node;
        } else if !matches!(execution.process, Process::Ended(_)) {
            execution.process = Process::Ended(Outcome::Interrupted);
        }
    }
}

/// A rescue, or the release of a claim whose answer was lost: the claim ends as interrupted.
pub(crate) fn release(state: &mut State, task: u8) {
    let row = &mut state.db.rows[task as usize];
    let Life::Running { by, execution } = row.life else { return };
    let claim = Claim { task, fence: row.fence, node: by, enqueued: row.enqueued };
    row.life = Life::Available;
    state.db.history.push(Entry { claim, outcome: Outcome::Interrupted, is_final: false, execution });
}
