//! The rules: what follows from what. Pure functions of values and `now`; nothing here waits, reads or writes.

pub mod baseline;
pub mod check;
pub mod command;
pub mod cron;
pub mod daemon;
pub mod deploy;
pub mod doctor;
pub mod email;
pub mod event;
pub mod http;
pub mod identity;
pub mod notice;
pub mod period;
pub mod ping;
pub mod problem;
pub mod schedule;
pub mod sql_task;
pub mod sql_text;
pub mod statistics;
pub mod sweep;
pub mod task;
pub mod text;
pub mod worker;

pub use sexton_client::domain::schema_name;
