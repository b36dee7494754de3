//! What worker processes need of the daemon.

use std::sync::Arc;

use crate::{
    daemon::state::{programs::Programs, worker_board::WorkerBoard},
    domain::identity::NodeId,
    handler::WorkerLines,
};

/// What worker processes need of the daemon.
#[derive(Clone)]
pub(in crate::daemon) struct WorkerParts {
    pub(in crate::daemon) node: NodeId,
    /// Starts their shepherds.
    pub(in crate::daemon) processes: Arc<Programs>,
    /// Where tasks wait for them.
    pub(in crate::daemon) lines: WorkerLines,
    pub(in crate::daemon) board: WorkerBoard,
}
