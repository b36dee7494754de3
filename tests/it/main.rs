//! The integration tests: one binary, so that it is linked once.
//!
//! `support` starts what a test needs; every other module tests one part of the house.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

mod accounts;
mod audit;
mod bench;
mod check;
mod cli;
mod client;
mod commands;
mod completions;
mod config;
mod config_checks;
mod daemon;
mod deployments;
mod despite_mistakes;
mod dialect;
mod docs;
mod doctor;
mod events;
mod first_steps;
mod grants;
mod import;
mod init;
mod isolation;
mod kinds;
mod limit_settings;
mod logs;
mod manual;
mod metrics;
mod modules;
mod notices;
mod otlp;
mod output;
mod periods;
mod plan;
mod recipes;
mod renamed_settings;
mod run_once;
mod secrets;
mod service;
mod stalled_logs;
mod stats;
mod store;
mod stored_schedules;
mod sweeps;
mod switches;
mod traces;
mod upgrade;
