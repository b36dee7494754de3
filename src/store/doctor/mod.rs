//! What `sexton doctor` asks the database. Every statement only reads.

mod indexes;
mod rights;
mod settings;
mod tables;
mod transactions;

pub use self::indexes::{IndexDefinition, expected_indexes};
