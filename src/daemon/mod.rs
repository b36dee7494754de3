//! The daemon: a supervisor, its modules, and how they start and stop.
//!
//! `blueprint.rs` is the daemon's life on one page; `components.rs` its parts; `module.rs` what a module is.

mod blueprint;
mod components;
mod control;
mod fault_point;
mod http_connection;
mod inflight;
mod lifecycle;
mod messages;
mod metrics;
mod module;
mod modules;
mod state;
mod stop_stage;
mod supervision;
mod workers;

pub use self::{
    blueprint::{Blueprint, ModuleFactory, with_built_in},
    components::Components,
    control::{Deployment, DisabledTask, Module, PlanInForce, RunningTask, Status},
    inflight::{InFlight, InFlightCounts, Running},
    lifecycle::{
        newer_schema::NEWER_SCHEMA,
        once::Mode,
        recycle::RESTART,
        reload::Loader,
        requests::{MAX_WAITING, Request, ShutdownMode},
        run_lock::RunLock,
        signals::{is_asked_to_end, listen},
        status::{ConfigStatus, Phase, QUIET},
    },
    module::{DaemonModule, ModuleContext, ModuleSpec, Next},
    modules::built_in,
    state::{
        module_status::{ModuleState, ModuleStatus},
        queue_troubles::{FullQueue, UnservedQueue},
        rate_waits::RateWait,
        wakers::{WakeReason, WakeReasons, Waker},
    },
    stop_stage::Stage,
    supervision::supervisor::GAVE_UP,
};
