//! Text: durations as people write them, JSON within bounds, and addresses without their passwords.

pub mod count;
pub mod duration;
pub mod json;
pub mod redact;
