//! The rows of Sexton's tables, and the words that are stored in them.
//!
//! One file is one table; [`states`] holds every stored word exactly once. Entities are rows only:
//! what may happen to a row is decided in `sexton::domain`, and done in `sexton::store`.
//! Instants are UTC with microseconds in the database's own time type (ISO text on SQLite).

pub mod history;
pub mod node;
pub mod occurrence;
pub mod output;
pub mod queue;
pub mod schedule;
pub mod states;
pub mod task;
pub mod turn;
