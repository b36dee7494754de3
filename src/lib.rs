//! Sexton is a supervised background-task daemon for applications that have a SQL database: cron, `at` and
//! task queue in one program.
//!
//! * Run it: the binary is [`Sexton::run_cli`] with nothing added.
//! * Enqueue from Rust: [`Client`].
//! * Execute tasks in Rust: implement [`TaskHandler`], and add it with [`Sexton::handler`].
//! * Keep something of your own running inside the daemon: implement [`DaemonModule`], and add it with
//!   [`Sexton::module`].
//!
//! `docs/ARCHITECTURE.md` is the map of the source. The modules that are hidden here are public for the tests and
//! benches of this repository only; they are no stable interface.

#[cfg(not(panic = "unwind"))]
compile_error!(
    "Sexton restarts modules by unwinding: build it with panic = \"unwind\" (the default), not with panic = \"abort\""
);

#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod daemon;
#[doc(hidden)]
pub mod domain;
#[doc(hidden)]
pub mod files;
#[doc(hidden)]
pub mod handler;
#[doc(hidden)]
pub mod import;
#[doc(hidden)]
pub mod service;
mod sexton;
#[doc(hidden)]
pub mod shepherd;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod telemetry;

pub use crate::{
    daemon::{DaemonModule, ModuleContext, ModuleState, Next, WakeReason, WakeReasons, Waker},
    domain::{
        daemon::summary::SummaryTable,
        identity::ModuleName,
        identity::QueueName,
        task::{
            NewTask,
            definition::TaskDefinition,
            retry::{Growth, RetryPolicy},
        },
    },
    handler::{TaskContext, TaskError, TaskHandler},
    sexton::Sexton,
    store::{Enqueued, StoreError, Wakeup},
};
pub use sexton_client::Client;
#[doc(hidden)]
pub use sexton_client::{client, principal};
