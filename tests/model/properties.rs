//! What must hold in every state, and what must be possible at all.

use sexton_entities::states::Outcome;
use stateright::Property;

use crate::{
    protocol::Protocol,
    state::{Life, Place, Process, State, TASKS},
};

/// An accepted task is there until an execution of its own has finished it.
pub(crate) const NOTHING_LOST: &str = "no accepted task is lost";
pub(crate) const FINISHED_ONCE: &str = "at most one finish of a task counts";
pub(crate) const ON_RECORD: &str = "every execution is on record";
pub(crate) const ONE_HOLDER: &str = "no two hold a bound of one";
/// If nothing but the database fails, and it forgets nothing, no task is begun twice.
pub(crate) const NOT_REPEATED: &str = "an outage repeats nothing";
/// What the checker must find nothing against.
pub(crate) const ALWAYS: [&str; 5] = [NOTHING_LOST, FINISHED_ONCE, ON_RECORD, ONE_HOLDER, NOT_REPEATED];

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(NOTHING_LOST, |_, state| (0..TASKS as u8).all(|task| is_there_or_done(state, task))),
        Property::always(FINISHED_ONCE, |_, state| (0..TASKS as u8).all(|task| finishes(state, task) <= 1)),
        Property::always(ON_RECORD, |_, state| every_settled_execution_is_on_record(state)),
        Property::always(ONE_HOLDER, |protocol: &Protocol, state: &State| !protocol.is_bounded || holders(state) <= 1),
        Property::always(NOT_REPEATED, |protocol: &Protocol, state: &State| {
            !is_only_an_outage(protocol) || state.executions.len() <= began(state)
        }),
        Property::sometimes("all is done", |_, state: &State| {
            (0..TASKS)
                .all(|task| state.db.rows[task].life == Life::Gone && state.db.rows[task].enqueued == state.generation)
        }),
    ]
}

fn is_there_or_done(state: &State, task: u8) -> bool {
    let row = state.db.rows[task as usize];
    row.life != Life::Gone
        || state.db.history.iter().any(|entry| {
            let execution = entry.execution.map(|number| state.executions[number as usize]);
            entry.is_final
                && entry.outcome == Outcome::Succeeded
                && execution
                    .is_some_and(|execution| (execution.claim.task, execution.claim.enqueued) == (task, row.enqueued))
        })
}

fn finishes(state: &State, task: u8) -> usize {
    state.db.history.iter().filter(|entry| entry.is_final && entry.claim.task == task).count()
}

fn every_settled_execution_is_on_record(state: &State) -> bool {
    (0..).zip(&state.executions).all(|(number, execution)| {
        execution.place != Place::Settled
            || execution.is_forgotten
            || state.db.history.iter().any(|entry| entry.execution == Some(number))
    })
}

fn holders(state: &State) -> usize {
    let runs = |process| matches!(process, Process::Running | Process::Stopping(_));
    state.executions.iter().filter(|execution| runs(execution.process)).count()
}

fn is_only_an_outage(protocol: &Protocol) -> bool {
    let trouble = protocol.trouble;
    let others = [trouble.crashes, trouble.lost_answers, trouble.failovers, trouble.replacements, trouble.cuts];
    others == [0; 5] && !protocol.is_bounded
}

/// How many tasks have an execution.
fn began(state: &State) -> usize {
    (0..TASKS as u8).filter(|task| state.executions.iter().any(|execution| execution.claim.task == *task)).count()
}
