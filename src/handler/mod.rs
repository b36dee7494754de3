//! Handlers: how work is declared, registered and executed. They do not know the database.

mod attempt;
mod command;
mod context;
mod error;
mod noop;
mod registry;
mod task_handler;
mod typed_handler;

pub use self::{
    attempt::{Attempt, AttemptEnd},
    command::{AdoptedCommand, CommandHandler, CommandInfo},
    context::{AppData, StopReason, TaskContext},
    error::TaskError,
    noop::NoopHandler,
    registry::Registry,
    task_handler::{DynHandler, TaskHandler},
    typed_handler::{TypedAdapter, TypedHandler},
};
