//! The daemon's life: startup, requests from outside, reload, recycling and shutdown.

pub(super) mod newer_schema;
pub(super) mod once;
pub(super) mod other_database;
pub(super) mod recycle;
pub(super) mod reload;
pub(super) mod requests;
pub(super) mod run_lock;
pub(super) mod same_name;
pub(super) mod service_notifier;
pub(super) mod shutdown;
pub(super) mod signals;
pub(super) mod startup;
pub(super) mod status;
