//! The options of `sexton bench`, and the names of its tasks.

use std::time::Duration;

use clap::Args;

use crate::domain::text::duration;

/// The queue of the benchmark's tasks, so that no other tasks are touched.
pub(super) const QUEUE: &str = "sexton-bench";
/// The task that does nothing.
pub(super) const NOOP_TASK: &str = "sexton-bench-nothing";
/// The task that records its start.
pub(super) const STAMP_TASK: &str = "sexton-bench-stamp";

#[derive(Args)]
pub(in crate::cli) struct BenchArgs {
    /// The database to measure [default: the configuration's]; the benchmark deletes its own rows at the end
    #[arg(long, value_name = "URL")]
    pub(super) database: Option<String>,
    /// Tasks to drain
    #[arg(long, default_value_t = 50_000)]
    pub(super) tasks: usize,
    /// Tasks to enqueue one by one
    #[arg(long, default_value_t = 1_000)]
    pub(super) singles: usize,
    /// Tasks to enqueue one by one for the pick-up latency
    #[arg(long, default_value_t = 300)]
    pub(super) pickups: usize,
    /// Time from one task of the pick-up latency to the next
    #[arg(long, default_value = "10ms", value_parser = duration::parse)]
    pub(super) pace: Duration,
    /// How long to watch an idle daemon
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    pub(super) idle: Duration,
    /// Workers of the daemon [default: that of the configuration]
    #[arg(long)]
    pub(super) workers: Option<usize>,
}
