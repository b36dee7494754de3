//! The light crate for applications that enqueue tasks for [Sexton](https://docs.rs/sexton): it has the client, and not
//! the daemon.
//!
//! ```no_run
//! # async fn enqueue() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use sexton_client::{Client, NewTask};
//!
//! let client = Client::connect("postgres://shop@localhost/shop")?;
//! let enqueued = client.enqueue(NewTask::new("cleanup").delay(Duration::from_secs(60))).await?;
//! let end = client.wait(enqueued.id(), Duration::from_secs(600)).await?;
//! println!("task {} is {}", enqueued.id(), end.verdict);
//! # Ok(())
//! # }
//! ```
//!
//! * Enqueue alone: [`Client::enqueue`], [`Client::enqueue_all`].
//! * Enqueue in your own transaction: [`Client::enqueue_in`] with SeaORM, [`Client::enqueue_in_sqlx`] with plain sqlx.
//! * Chains and groups: [`NewTask::after`], [`NewTask::group`], [`NewTask::after_group`].
//! * Follow a task: [`Client::status`], [`Client::wait`], [`Client::result`], [`Client::cancel`].
//! * Schedules in the database: [`Client::add_schedule`], [`Client::edit_schedule`], [`Client::remove_schedule`],
//!   [`Client::schedules`].
//! * Events, of which triggers make tasks: [`Client::send_event`], [`Client::send_event_in`], [`Client::send_event_in_sqlx`].
//! * Give tasks types: [`Task`].
//!
//! The modules that are hidden here are shared with the daemon; they are no stable interface.

#[doc(hidden)]
pub mod client;
#[doc(hidden)]
pub mod domain;
#[doc(hidden)]
pub mod principal;
#[doc(hidden)]
pub mod store;
mod typed_task;

pub use sea_orm::{self, sqlx};
pub use sexton_entities::{
    json_text::JsonText,
    states::{Outcome, Required, TaskState, Verdict},
};

#[doc(hidden)]
pub use crate::typed_task::decode_payload;
pub use crate::{
    client::{Client, TaskEnd, TaskStatus, WaitError},
    domain::{
        identity::QueueName,
        json::BadJson,
        new_event::{InvalidEvent, NewEvent},
        new_task::{InvalidTask, NewTask},
        schedule_definition::{InvalidSchedule, ScheduleDefinition},
        schema_name::SchemaName,
    },
    store::{
        StoreError,
        cancel::CancelResult,
        connection::{ConnectOptions, Connection, DatabaseTransaction, SqlxConnection},
        enqueue::Enqueued,
        events::SentEvent,
        schedules::ScheduleChange,
        wakeup::Wakeup,
    },
    typed_task::Task,
};
