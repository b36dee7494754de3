//! Text: durations, plurals and suggestions as people read them, JSON within limits, and URLs without their passwords.

pub mod database_url;
pub mod duration;
pub mod json;
pub mod plural;
pub mod redact;
pub mod suggest;
