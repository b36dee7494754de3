//! Sexton is a supervised background-task daemon for applications that have a SQL database: cron, `at` and
//! task queue in one program.
//!
//! * Run it: the binary is [`Sexton::run_cli`] with nothing added.
//! * Run it inside a program with a runtime of its own: [`Sexton::run`].
//! * Enqueue from Rust: [`Client`]. Applications apart from the daemon use the light crate `sexton-client`.
//! * Execute tasks in Rust: implement [`TypedHandler`] or [`TaskHandler`], and add it with [`Sexton::typed_handler`] or
//!   [`Sexton::handler`].
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
mod http_client;
#[doc(hidden)]
pub mod import;
mod mail_client;
#[doc(hidden)]
pub mod notice;
#[doc(hidden)]
pub mod service;
mod sexton;
#[doc(hidden)]
pub mod shepherd;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod telemetry;

pub use anyhow;
pub use async_trait::async_trait;
pub use sexton_client::{
    BadJson, CancelResult, Client, ConnectOptions, Connection, DatabaseTransaction, Enqueued, InvalidTask, JsonText,
    NewTask, Outcome, QueueName, SchemaName, SqlxConnection, StoreError, Task, TaskEnd, TaskState, TaskStatus, Verdict,
    WaitError, Wakeup, sea_orm, sqlx,
};
#[doc(hidden)]
pub use sexton_client::{client, principal};
pub use tokio_util::sync::CancellationToken;

pub use crate::{
    clock::Clock,
    daemon::{DaemonModule, ModuleContext, ModuleState, Next, WakeReason, WakeReasons, Waker},
    domain::{
        command::answer::Progress,
        daemon::{lease::OnLeaseLost, summary::SummaryTable},
        identity::ModuleName,
        notice::{Escalation, MailOutput, NoticeEvent, NoticeRule},
        task::{
            definition::TaskDefinition,
            disabled::WhenDisabled,
            limit_key::KeyPath,
            rate::{Rate, RateLimit},
            retry::{Growth, RetryPolicy},
        },
    },
    handler::{StopReason, TaskContext, TaskError, TaskHandler, TypedHandler},
    sexton::{RunEnd, Sexton},
};

/// The code of that page is compiled, and so are the examples above it.
#[cfg(doctest)]
#[doc = include_str!("../docs/EXTENDING.md")]
pub struct ExtendingPage;
