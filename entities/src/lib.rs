//! Rows of Sexton's tables, and the words that are stored in them.
//!
//! Each file is one table; [`states`] declares every stored word once, and [`json_text`] is the type of payloads. Entities are rows without behaviour:
//! `sexton::domain` decides what happens to a row, and `sexton::store` does it.
//! Instants are UTC with microseconds in the database's own time type (ISO text on SQLite).

pub mod audit;
pub mod baseline;
pub mod bookmark;
pub mod config_version;
pub mod daily;
pub mod database;
pub mod dead_node;
pub mod event;
pub mod event_trigger;
pub mod history;
pub mod json_text;
pub mod maintenance;
pub mod node;
pub mod notice;
pub mod occurrence;
pub mod output;
pub mod problem;
pub mod queue;
pub mod rate;
pub mod schedule;
pub mod states;
pub mod task;
pub mod task_dependency;
pub mod trigger;
pub mod turn;
pub mod unusual;
