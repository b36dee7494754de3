//! The model's steps: what nodes do, and what happens to them and to the database.

use sexton_entities::states::Outcome;
use stateright::{Model, Property};

use crate::{
    properties,
    rules::{KILL_AFTER, LEASE, Rules},
    state::{BOOTS, Db, Execution, Life, Machine, NODES, NodeKey, Place, Process, State, TASKS, Trouble},
    transactions::release,
};

/// What is explored: the rules, and the trouble that there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    pub(crate) trouble: Trouble,
    /// The last instant. At zero no time passes: then a lease is over as soon as its daemon is gone.
    pub(crate) end: u8,
    /// The most executions.
    pub(crate) most: usize,
    /// Whether at most one of the tasks may run at once.
    pub(crate) is_bounded: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Tick,
    Start(u8),
    Beat(u8),
    Claim { machine: u8, task: u8, is_heard: bool },
    End(u8),
    Finish { execution: u8, is_heard: bool },
    Spool(u8),
    Adopt(u8),
    Rescue { machine: u8, task: u8 },
    ReleaseLost { machine: u8, task: u8 },
    Crash(u8),
    Cut(u8),
    Mend(u8),
    GoAway,
    ComeBack,
    Replicate,
    FailOver,
    Replace,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut db = Db::new(0);
        let machine = Machine { is_up: true, boot: 0, is_cut: false, lease_until: LEASE, back_at: 0 };
        db.leases = [[LEASE, 0]; NODES];
        vec![State {
            now: 0,
            standby: db.clone(),
            db,
            is_away: false,
            generation: 0,
            machines: [machine; NODES],
            executions: Vec::new(),
            trouble: self.trouble,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let left = state.trouble;
        for machine in 0..NODES as u8 {
            let node = state.machine(machine);
            if !node.is_up && (node.boot as usize) + 1 < BOOTS {
                steps.push(Step::Start(machine));
            }
            if node.is_up && left.crashes > 0 {
                steps.push(Step::Crash(machine));
            }
            if node.is_up && left.cuts > 0 && !node.is_cut {
                steps.push(Step::Cut(machine));
            }
            if node.is_cut {
                steps.push(Step::Mend(machine));
            }
            if state.is_served(machine) {
                self.steps_of_node(state, machine, steps);
            }
        }
        for (number, execution) in (0..).zip(&state.executions) {
            self.steps_of_execution(state, number, execution, steps);
        }
        // A heartbeat takes less than a tick.
        let has_beaten = |machine| !state.is_served(machine) || state.machine(machine).lease_until == state.now + LEASE;
        if state.now < self.end && (0..NODES as u8).all(has_beaten) {
            steps.push(Step::Tick);
        }
        if left.outages > 0 && !state.is_away {
            steps.push(Step::GoAway);
        }
        if state.is_away {
            steps.push(Step::ComeBack);
        }
        if left.failovers > 0 {
            if state.standby != state.db {
                steps.push(Step::Replicate);
            }
            steps.push(Step::FailOver);
        }
        if left.replacements > 0 && state.machines.iter().all(|node| !node.is_up) {
            steps.push(Step::Replace);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Tick => self.tick(&mut state),
            Step::Start(machine) => self.start(&mut state, machine),
            Step::Beat(machine) => self.beat(&mut state, machine),
            Step::Claim { machine, task, is_heard } => self.claim(&mut state, machine, task, is_heard),
            Step::End(number) => state.executions[number as usize].process = Process::Ended(Outcome::Succeeded),
            Step::Finish { execution, is_heard } => self.finish(&mut state, execution, is_heard)?,
            Step::Spool(number) => {
                let execution = &mut state.executions[number as usize];
                let Place::Memory(machine) = execution.place else { return None };
                execution.place = Place::Spool(machine);
            }
            Step::Adopt(number) => self.adopt(&mut state, number),
            Step::Rescue { task, .. } | Step::ReleaseLost { task, .. } => release(&mut state, task),
            Step::Crash(machine) => {
                state.trouble.crashes -= 1;
                crash(&mut state, machine);
            }
            Step::Cut(machine) => {
                state.trouble.cuts -= 1;
                state.machines[machine as usize].is_cut = true;
            }
            Step::Mend(machine) => {
                let now = state.now;
                let node = &mut state.machines[machine as usize];
                (node.is_cut, node.back_at) = (false, now);
            }
            Step::GoAway => {
                state.trouble.outages -= 1;
                state.is_away = true;
            }
            Step::ComeBack => {
                let now = state.now;
                state.is_away = false;
                state.machines.iter_mut().for_each(|node| node.back_at = now);
            }
            Step::Replicate => state.standby = state.db.clone(),
            Step::FailOver => {
                state.trouble.failovers -= 1;
                state.db = state.standby.clone();
                forget(&mut state);
            }
            Step::Replace => {
                state.trouble.replacements -= 1;
                state.generation += 1;
                state.db = Db::new(state.generation);
                state.standby = state.db.clone();
                forget(&mut state);
            }
        }
        state.tidy();
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.executions.len() <= self.most
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    fn steps_of_node(&self, state: &State, machine: u8, steps: &mut Vec<Step>) {
        let own = state.key(machine);
        let is_registered = self.end == 0 || state.db.lease(own) > state.now;
        if self.end > 0 && state.db.lease(own) < state.now + LEASE {
            steps.push(Step::Beat(machine));
        }
        let is_free = state.db.rows.iter().all(|row| !matches!(row.life, Life::Running { .. }))
            && (self.end == 0 || self.rules.may_begin(state.now, state.machine(machine).lease_until));
        // Nodes and tasks are alike: without loss, the first claim is the first node's, of the first task.
        let is_first = state.executions.is_empty() && state.db.rows.iter().all(|row| row.fence == 0);
        for task in 0..TASKS as u8 {
            if is_first && (machine, task) != (0, 0) {
                continue;
            }
            match state.db.rows[task as usize].life {
                Life::Available if is_registered && (is_free || !self.is_bounded) => {
                    steps.push(Step::Claim { machine, task, is_heard: true });
                    if state.trouble.lost_answers > 0 {
                        steps.push(Step::Claim { machine, task, is_heard: false });
                    }
                }
                Life::Running { by, .. } if by == own => {
                    let is_known = state.executions.iter().any(|execution| {
                        execution.claim.task == task
                            && execution.claim.fence == state.db.rows[task as usize].fence
                            && matches!(execution.place, Place::Memory(at) | Place::Spool(at) if at == machine)
                    });
                    if !is_known {
                        steps.push(Step::ReleaseLost { machine, task });
                    }
                }
                Life::Running { by, .. } if self.may_rescue(state, machine, by) => {
                    steps.push(Step::Rescue { machine, task });
                }
                _ => {}
            }
        }
    }

    fn steps_of_execution(&self, state: &State, number: u8, execution: &Execution, steps: &mut Vec<Step>) {
        if matches!(execution.process, Process::Running | Process::Stopping(_)) && execution.place != Place::Settled {
            steps.push(Step::End(number));
        }
        let has_ended = matches!(execution.process, Process::Ended(_));
        match execution.place {
            Place::Memory(machine) | Place::Spool(machine) if has_ended && state.is_served(machine) => {
                steps.push(Step::Finish { execution: number, is_heard: true });
                if state.trouble.lost_answers > 0 {
                    steps.push(Step::Finish { execution: number, is_heard: false });
                }
            }
            Place::Memory(_) if has_ended => steps.push(Step::Spool(number)),
            Place::Disk(machine) if state.is_served(machine) => steps.push(Step::Adopt(number)),
            _ => {}
        }
    }

    fn may_rescue(&self, state: &State, machine: u8, by: NodeKey) -> bool {
        if self.end == 0 {
            return !(state.machine(by.machine).is_up && state.machine(by.machine).boot == by.boot);
        }
        state.db.lease(by) <= state.now && state.now >= self.rules.rescues_from(state.machine(machine).back_at)
    }

    /// Time passes, and nodes stop what they may not go on with.
    fn tick(&self, state: &mut State) {
        state.now += 1;
        for number in 0..state.executions.len() {
            let execution = state.executions[number];
            let Place::Memory(machine) = execution.place else { continue };
            let process = match execution.process {
                Process::Running if self.is_bounded => {
                    let is_due = state.now >= self.rules.stops_at(state.machine(machine).lease_until);
                    if is_due { Process::Stopping(state.now) } else { Process::Running }
                }
                Process::Stopping(since) if state.now >= since + KILL_AFTER => Process::Ended(Outcome::Interrupted),
                process => process,
            };
            state.executions[number].process = process;
        }
    }

    fn start(&self, state: &mut State, machine: u8) {
        let node = &mut state.machines[machine as usize];
        (node.is_up, node.boot, node.back_at) = (true, node.boot + 1, state.now);
        node.lease_until = state.now;
        if self.end == 0 {
            let own = state.key(machine);
            *state.db.lease_mut(own) = LEASE;
        }
    }

    /// Renews the lease. A node whose lease was over asks which of its claims still stand.
    fn beat(&self, state: &mut State, machine: u8) {
        let (own, until) = (state.key(machine), state.now + LEASE);
        let was_over = state.machine(machine).lease_until <= state.now;
        *state.db.lease_mut(own) = until;
        state.machines[machine as usize].lease_until = until;
        if !was_over {
            return;
        }
        for execution in &mut state.executions {
            let is_own = execution.place == Place::Memory(machine) && execution.process == Process::Running;
            if is_own && !self.rules.holds(state.db.rows[execution.claim.task as usize], execution.claim) {
                execution.process = Process::Ended(Outcome::Interrupted);
            }
        }
    }
}

/// The daemon dies. Its commands continue, and their directories are left.
fn crash(state: &mut State, machine: u8) {
    state.machines[machine as usize].is_up = false;
    for execution in &mut state.executions {
        if execution.place == Place::Memory(machine) {
            execution.place = Place::Disk(machine);
        }
    }
}

/// What was recorded and is not any more is nobody's fault.
fn forget(state: &mut State) {
    let history = &state.db.history;
    for (number, execution) in (0..).zip(&mut state.executions) {
        let is_on_record = history.iter().any(|entry| entry.execution == Some(number));
        execution.is_forgotten |= execution.place == Place::Settled && !is_on_record;
    }
}
