//! The model's state: the database, its standby, the nodes, and every execution that was ever begun.

use sexton_entities::states::Outcome;

pub(crate) const NODES: usize = 2;
pub(crate) const TASKS: usize = 2;
/// How often a node may start.
pub(crate) const BOOTS: usize = 2;

/// A running daemon: the machine, and the number of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeKey {
    pub(crate) machine: u8,
    pub(crate) boot: u8,
}

/// The identity of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) task: u8,
    pub(crate) fence: u8,
    pub(crate) node: NodeKey,
    /// Stands for the enqueue time, and for the database: it differs in another database.
    pub(crate) enqueued: u8,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Available,
    Running {
        by: NodeKey,
        /// The execution of this claim, which only the model knows.
        execution: Option<u8>,
    },
    Gone,
}

/// A row of `sexton_task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) life: Life,
    pub(crate) fence: u8,
    pub(crate) enqueued: u8,
}

/// A row of `sexton_history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) claim: Claim,
    pub(crate) outcome: Outcome,
    /// Whether it finished the task.
    pub(crate) is_final: bool,
    /// The execution that it is about, which only the model knows.
    pub(crate) execution: Option<u8>,
}

/// What the database knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Db {
    pub(crate) rows: [Row; TASKS],
    pub(crate) history: Vec<Entry>,
    /// For each machine and boot, when the lease is over; zero if it is not registered.
    pub(crate) leases: [[u8; BOOTS]; NODES],
}

/// A machine, and the daemon on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    pub(crate) is_up: bool,
    pub(crate) boot: u8,
    /// Whether it is cut off from the database.
    pub(crate) is_cut: bool,
    /// When its lease is over, as it knows.
    pub(crate) lease_until: u8,
    /// When it saw the database come back.
    pub(crate) back_at: u8,
}

/// Where an execution is known, beside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In flight in the daemon of a machine.
    Memory(u8),
    /// In an attempt directory, whose daemon is gone.
    Disk(u8),
    /// In a file of the spool.
    Spool(u8),
    /// Recorded, as far as the daemon knows.
    Settled,
    /// Put aside as another database's.
    Aside,
}

/// What an execution does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Running,
    /// Was asked to stop at this time.
    Stopping(u8),
    Ended(Outcome),
}

/// One execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Execution {
    pub(crate) claim: Claim,
    pub(crate) place: Place,
    pub(crate) process: Process,
    /// The database forgot its record, or was replaced.
    pub(crate) is_forgotten: bool,
}

/// How much trouble is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trouble {
    pub(crate) crashes: u8,
    pub(crate) lost_answers: u8,
    pub(crate) failovers: u8,
    pub(crate) replacements: u8,
    pub(crate) outages: u8,
    pub(crate) cuts: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: u8,
    pub(crate) db: Db,
    pub(crate) standby: Db,
    pub(crate) is_away: bool,
    pub(crate) generation: u8,
    pub(crate) machines: [Machine; NODES],
    pub(crate) executions: Vec<Execution>,
    pub(crate) trouble: Trouble,
}

impl Db {
    /// A database with new tasks.
    pub(crate) fn new(enqueued: u8) -> Self {
        let row = Row { life: Life::Available, fence: 0, enqueued };
        Self { rows: [row; TASKS], history: Vec::new(), leases: [[0; BOOTS]; NODES] }
    }

    pub(crate) fn lease(&self, node: NodeKey) -> u8 {
        self.leases[node.machine as usize][node.boot as usize]
    }

    pub(crate) fn lease_mut(&mut self, node: NodeKey) -> &mut u8 {
        &mut self.leases[node.machine as usize][node.boot as usize]
    }
}

impl State {
    pub(crate) fn machine(&self, machine: u8) -> Machine {
        self.machines[machine as usize]
    }

    pub(crate) fn key(&self, machine: u8) -> NodeKey {
        NodeKey { machine, boot: self.machine(machine).boot }
    }

    /// Makes states equal whose difference has no consequence.
    pub(crate) fn tidy(&mut self) {
        if self.trouble.failovers == 0 {
            self.standby = Db::new(0);
        }
        for db in [&mut self.db, &mut self.standby] {
            db.history.sort_unstable_by_key(|entry| (entry.claim, entry.execution, entry.outcome.as_str()));
        }
        let nobody = NodeKey { machine: 0, boot: 0 };
        for execution in &mut self.executions {
            if matches!(execution.place, Place::Settled | Place::Aside) {
                (execution.claim.fence, execution.claim.node) = (0, nobody);
            }
        }
    }

    /// Whether a daemon runs there and reaches the database.
    pub(crate) fn is_served(&self, machine: u8) -> bool {
        let node = self.machine(machine);
        node.is_up && !node.is_cut && !self.is_away
    }
}
