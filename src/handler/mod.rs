//! Handlers: how work is declared, registered and executed. They do not know the database.

mod attempt;
mod command;
mod context;
mod email;
mod error;
mod http;
mod idempotency;
mod noop;
mod registry;
mod shell;
mod sql;
mod sweep;
mod task_handler;
mod typed_handler;
mod worker;

pub use self::{
    attempt::{Attempt, AttemptEnd},
    command::{AdoptedCommand, CommandHandler, CommandInfo},
    context::{AppData, StopReason, TaskContext},
    email::EmailHandler,
    error::TaskError,
    http::HttpHandler,
    noop::NoopHandler,
    registry::Registry,
    shell::ShellHandler,
    sql::SqlHandler,
    sweep::{SweepHandler, application},
    task_handler::{DynHandler, TaskHandler},
    typed_handler::{TypedAdapter, TypedHandler},
    worker::{Assignment, WaitingLine, WorkerHandler, WorkerLines, WorkerMessage},
};
