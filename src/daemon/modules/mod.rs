//! The built-in modules: one file is one moving part.
//!
//! They are modules like an application's own. Each factory gives its module the parts that it needs, and nothing else.

mod adopter;
mod config_sync;
mod cron;
mod dispatcher;
mod future;
mod metrics;
mod node;
mod notifier;
mod observer;
mod paths;
mod pinger;
mod process_module;
mod pruner;
mod recorder;
mod rescuer;
mod triggers;
mod wakeup;
mod worker_processes;
mod workers;

use std::{sync::Arc, time::Duration};

use super::{
    components::Components, module::ModuleSpec, stop_stage::Stage, supervision::supervisor_parts::ProcessModuleFactory,
};
use crate::domain::identity::ModuleName;

/// A statement of the module `node` may always take this long.
const MIN_HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(500);

/// Specs of all built-in modules of a daemon.
pub fn built_in(daemon: &Components) -> Vec<ModuleSpec> {
    vec![
        node(daemon),
        recorder(daemon),
        adopter(daemon),
        workers(daemon),
        dispatcher(daemon),
        future(daemon),
        cron(daemon),
        triggers(daemon),
        paths(daemon),
        wakeup(daemon),
        rescuer(daemon),
        config_sync(daemon),
        pruner(daemon),
        notifier(daemon),
        observer(daemon),
        pinger(daemon),
        metrics(daemon),
        worker_processes(daemon),
    ]
}

fn node(daemon: &Components) -> ModuleSpec {
    // Connecting and two statements fit into one lease.
    let limit = (daemon.config().daemon.lease / 3).max(MIN_HEARTBEAT_TIMEOUT);
    let parts = node::NodeParts {
        identity: daemon.identity.clone(),
        in_flight: daemon.in_flight.clone(),
        lease: daemon.lease.clone(),
        lease_files: daemon.lease_files.clone(),
        shepherds: daemon.shepherds.clone(),
        in_force: daemon.in_force.clone(),
        statuses: daemon.modules.clone(),
        wakers: daemon.wakers.clone(),
        all_paused: daemon.all_paused.clone(),
        outlook: daemon.outlook.clone(),
        store: daemon.store.dedicated(limit),
    };
    ModuleSpec::new(ModuleName::NODE, Stage::Life, move || node::NodeModule::new(parts.clone()))
}

fn recorder(daemon: &Components) -> ModuleSpec {
    let (in_flight, spool) = (daemon.in_flight.clone(), daemon.spool.clone());
    let (in_force, wakers) = (daemon.in_force.clone(), daemon.wakers.clone());
    ModuleSpec::new(ModuleName::RECORDER, Stage::Record, move || {
        recorder::Recorder::new(in_flight.clone(), spool.clone(), in_force.clone(), wakers.clone())
    })
}

fn adopter(daemon: &Components) -> ModuleSpec {
    let parts = adopter::AdopterParts {
        node: daemon.identity.id.clone(),
        in_flight: daemon.in_flight.clone(),
        lease: daemon.lease.clone(),
        lease_files: daemon.lease_files.clone(),
        shepherds: daemon.shepherds.clone(),
        milestones: daemon.milestones.clone(),
        executor: Arc::new(daemon.executor()),
        foreign: daemon.foreign.clone(),
        statuses: daemon.modules.clone(),
        wakers: daemon.wakers.clone(),
    };
    ModuleSpec::new(ModuleName::ADOPTER, Stage::Work, move || adopter::Adopter::new(parts.clone()))
}

fn workers(daemon: &Components) -> ModuleSpec {
    let (in_flight, executor) = (daemon.in_flight.clone(), Arc::new(daemon.executor()));
    ModuleSpec::new(ModuleName::WORKERS, Stage::Work, move || {
        workers::Workers::new(in_flight.clone(), executor.clone())
    })
}

fn dispatcher(daemon: &Components) -> ModuleSpec {
    let parts = dispatcher::DispatcherParts {
        node: daemon.identity.id.clone(),
        in_flight: daemon.in_flight.clone(),
        in_force: daemon.in_force.clone(),
        wakers: daemon.wakers.clone(),
        milestones: daemon.milestones.clone(),
        unknown_tasks: daemon.unknown_tasks.clone(),
        unserved: daemon.unserved.clone(),
        rate_waits: daemon.rate_waits.clone(),
        starts: daemon.starts.clone(),
        outlook: daemon.outlook.clone(),
        all_paused: daemon.all_paused.clone(),
    };
    ModuleSpec::new(ModuleName::DISPATCHER, Stage::Intake, move || dispatcher::Dispatcher::new(parts.clone()))
}

fn future(daemon: &Components) -> ModuleSpec {
    let (wakers, outlook) = (daemon.wakers.clone(), daemon.outlook.clone());
    ModuleSpec::new(ModuleName::FUTURE, Stage::Intake, move || {
        future::FutureManager::new(wakers.clone(), outlook.clone())
    })
}

fn cron(daemon: &Components) -> ModuleSpec {
    let (node, milestones) = (daemon.identity.clone(), daemon.milestones.clone());
    let (all_paused, wakers, in_force) = (daemon.all_paused.clone(), daemon.wakers.clone(), daemon.in_force.clone());
    ModuleSpec::new(ModuleName::CRON, Stage::Intake, move || {
        let (node, milestones) = (node.clone(), milestones.clone());
        cron::CronManager::new(node, in_force.clone(), milestones, all_paused.clone(), wakers.clone())
    })
}

fn triggers(daemon: &Components) -> ModuleSpec {
    let node = daemon.identity.name.clone();
    let (outlook, board, wakers) = (daemon.outlook.clone(), daemon.events.clone(), daemon.wakers.clone());
    ModuleSpec::new(ModuleName::TRIGGERS, Stage::Intake, move || {
        triggers::TriggerManager::new(node.clone(), outlook.clone(), board.clone(), wakers.clone())
    })
}

fn paths(daemon: &Components) -> ModuleSpec {
    let (node, milestones) = (daemon.identity.name.clone(), daemon.milestones.clone());
    ModuleSpec::new(ModuleName::PATHS, Stage::Intake, move || paths::PathWatcher::new(node.clone(), milestones.clone()))
}

fn wakeup(daemon: &Components) -> ModuleSpec {
    let (connect, wakers, node) = (daemon.connect.clone(), daemon.wakers.clone(), daemon.identity.id.clone());
    ModuleSpec::new(ModuleName::WAKEUP, Stage::Intake, move || {
        wakeup::WakeupModule::new(connect.clone(), wakers.clone(), node.clone())
    })
}

fn rescuer(daemon: &Components) -> ModuleSpec {
    let parts = rescuer::RescuerParts {
        node: daemon.identity.id.clone(),
        in_flight: daemon.in_flight.clone(),
        in_force: daemon.in_force.clone(),
        lease: daemon.lease.clone(),
        statuses: daemon.modules.clone(),
        milestones: daemon.milestones.clone(),
        wakers: daemon.wakers.clone(),
        outlook: daemon.outlook.clone(),
    };
    ModuleSpec::new(ModuleName::RESCUER, Stage::Life, move || rescuer::Rescuer::new(parts.clone()))
}

fn config_sync(daemon: &Components) -> ModuleSpec {
    let (files, requests) = (daemon.config_files.clone(), daemon.requests.clone());
    let (in_force, wakers) = (daemon.in_force.clone(), daemon.wakers.clone());
    let node = daemon.identity.id.clone();
    ModuleSpec::new(ModuleName::CONFIG_SYNC, Stage::Intake, move || {
        let (in_force, node) = (in_force.clone(), node.clone());
        config_sync::ConfigSync::new(files.clone(), requests.clone(), in_force, wakers.clone(), node)
    })
}

fn pruner(daemon: &Components) -> ModuleSpec {
    let spool = daemon.spool.clone();
    ModuleSpec::new(ModuleName::PRUNER, Stage::Intake, move || pruner::Pruner::new(spool.clone()))
}

fn notifier(daemon: &Components) -> ModuleSpec {
    let parts = notifier::NotifierParts {
        id: daemon.identity.id.clone(),
        node: daemon.identity.name.clone(),
        open: daemon.open_problems.clone(),
        statuses: daemon.modules.clone(),
        outlook: daemon.outlook.clone(),
        in_force: daemon.in_force.clone(),
    };
    ModuleSpec::new(ModuleName::NOTIFIER, Stage::Intake, move || notifier::Notifier::new(parts.clone()))
}

fn observer(daemon: &Components) -> ModuleSpec {
    let (node, in_flight) = (daemon.identity.name.clone(), daemon.in_flight.clone());
    let outlook = daemon.outlook.clone();
    ModuleSpec::new(ModuleName::OBSERVER, Stage::Intake, move || {
        observer::Observer::new(node.clone(), in_flight.clone(), outlook.clone())
    })
}

fn pinger(daemon: &Components) -> ModuleSpec {
    let (node, pings, statuses) = (daemon.identity.name.clone(), daemon.pings.clone(), daemon.modules.clone());
    ModuleSpec::new(ModuleName::PINGER, Stage::Record, move || {
        pinger::Pinger::new(node.clone(), pings.clone(), statuses.clone())
    })
}

fn metrics(daemon: &Components) -> ModuleSpec {
    let source = daemon.metrics_source();
    ModuleSpec::new(ModuleName::METRICS, Stage::Life, move || metrics::Metrics::new(source.clone()))
}

fn worker_processes(daemon: &Components) -> ModuleSpec {
    let parts = worker_processes::WorkerParts {
        node: daemon.identity.id.clone(),
        processes: daemon.processes.clone(),
        lines: daemon.worker_lines.clone(),
        board: daemon.worker_board.clone(),
    };
    ModuleSpec::new(ModuleName::WORKER_PROCESSES, Stage::Work, move || {
        worker_processes::WorkerProcesses::new(parts.clone())
    })
}

/// Makes the process modules of a daemon.
pub(super) fn process_module(daemon: &Components) -> ProcessModuleFactory {
    let parts = process_module::ProcessParts {
        node: daemon.identity.id.clone(),
        processes: daemon.processes.clone(),
        statuses: daemon.modules.clone(),
    };
    Arc::new(move |name, settings| {
        let (spec, parts) = (settings.process.clone()?, parts.clone());
        Some(ModuleSpec::new(name.clone(), Stage::Intake, move || {
            process_module::ProcessModule::new(spec.clone(), parts.clone())
        }))
    })
}
