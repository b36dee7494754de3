//! The built-in modules: one file is one moving part. They are modules like any stranger's.

mod adopter;
mod config_sync;
mod cron;
mod dispatcher;
mod future;
mod node;
pub(super) mod process;
mod pruner;
mod recorder;
mod rescuer;
mod wakeup;
mod workers;

pub(super) use self::{recorder::spool_finished, workers::give_back};
use super::module::{ModuleSpec, Stage};

/// All of them.
pub fn standard() -> Vec<ModuleSpec> {
    vec![
        ModuleSpec::new("node", Stage::Life, node::NodeModule::default),
        ModuleSpec::new("recorder", Stage::Record, recorder::Recorder::default),
        ModuleSpec::new("adopter", Stage::Work, adopter::Adopter::default),
        ModuleSpec::new("workers", Stage::Work, workers::Workers::default),
        ModuleSpec::new("dispatcher", Stage::Intake, dispatcher::Dispatcher::default),
        ModuleSpec::new("future", Stage::Intake, future::Future::default),
        ModuleSpec::new("cron", Stage::Intake, cron::Cron::default),
        ModuleSpec::new("wakeup", Stage::Intake, wakeup::WakeupModule::default),
        ModuleSpec::new("rescuer", Stage::Life, rescuer::Rescuer::default),
        ModuleSpec::new("config_sync", Stage::Intake, config_sync::ConfigSync::default),
        ModuleSpec::new("pruner", Stage::Intake, || pruner::Pruner),
    ]
}
