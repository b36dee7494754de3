//! Text: durations, instants, plurals and suggestions as people read them, what fits on a terminal and may be printed
//! there, JSON within limits, and URLs without their passwords.

pub mod clean;
pub mod columns;
pub mod database_url;
pub mod duration;
pub mod instant;
pub mod plural;
pub mod suggest;
pub mod wrap;

pub use sexton_client::domain::{json, redact};
