//! What the module `notifier` needs of the daemon.

use crate::{
    daemon::state::{
        config_in_force::ConfigInForce, latest_outlook::LatestOutlook, module_status::ModuleStatuses,
        open_problems::OpenProblems,
    },
    domain::identity::NodeId,
};

/// What the module needs of the daemon.
#[derive(Clone)]
pub(in crate::daemon::modules) struct NotifierParts {
    /// The node's boot id.
    pub(in crate::daemon::modules) id: NodeId,
    /// The name of the node, for people.
    pub(in crate::daemon::modules) node: String,
    pub(in crate::daemon::modules) open: OpenProblems,
    pub(in crate::daemon::modules) statuses: ModuleStatuses,
    pub(in crate::daemon::modules) outlook: LatestOutlook,
    pub(in crate::daemon::modules) in_force: ConfigInForce,
}
