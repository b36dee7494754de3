//! What the supervisor needs of the daemon.

use std::sync::Arc;

use crate::{
    config::{Config, ModuleConfig},
    daemon::{
        module::{ModuleSpec, Surroundings},
        state::{liveness::Liveness, module_status::ModuleStatuses, wakers::Wakers},
    },
    domain::identity::ModuleName,
};

/// What the supervisor needs of the daemon.
#[derive(Clone)]
pub(in crate::daemon) struct SupervisorParts {
    pub(in crate::daemon) surroundings: Surroundings,
    pub(in crate::daemon) statuses: ModuleStatuses,
    pub(in crate::daemon) wakers: Wakers,
    pub(in crate::daemon) liveness: Arc<Liveness>,
    /// Makes a process module from its settings; `None` if they name no program.
    pub(in crate::daemon) process_module: ProcessModuleFactory,
}

/// Makes a process module from its name and settings.
pub(in crate::daemon) type ProcessModuleFactory =
    Arc<dyn Fn(&ModuleName, &ModuleConfig) -> Option<ModuleSpec> + Send + Sync>;

impl SupervisorParts {
    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.surroundings.in_force.config()
    }
}
