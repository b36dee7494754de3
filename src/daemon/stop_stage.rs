//! The order in which modules are stopped.

/// When a module is stopped. The stages are stopped one after the other, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Brings work in, or has nothing to do with work: stopped first.
    Intake,
    /// Carries work out.
    Work,
    /// Records what was done.
    Record,
    /// Keeps the node's place among the others: stopped last.
    Life,
}
