//! Schedules of the database that are not in force on a node, and why.

/// A schedule of the database that is not in force on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedSchedule {
    /// The name of its task.
    pub task: String,
    /// The cause.
    pub cause: Unused,
    /// The cause in words.
    pub why: String,
}

/// Why a schedule of the database is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Its settings have mistakes.
    Mistake,
    /// This configuration does not define its task.
    UnknownTask,
    /// A file defines a schedule of its name.
    Shadowed,
}
