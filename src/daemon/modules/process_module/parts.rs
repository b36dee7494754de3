//! What a process module needs of the daemon.

use std::{sync::Arc, time::Duration};

use crate::{
    daemon::state::{module_status::ModuleStatuses, programs::Programs},
    domain::identity::NodeId,
};

/// How often a program is checked, unless it has been silent.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What a process module needs of the daemon.
#[derive(Clone)]
pub(in crate::daemon) struct ProcessParts {
    pub(in crate::daemon) node: NodeId,
    pub(in crate::daemon) processes: Arc<Programs>,
    pub(in crate::daemon) statuses: ModuleStatuses,
}
