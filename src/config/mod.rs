//! The configuration: files and environment variables, checked as a whole.

mod advice;
mod ca_file;
mod command;
mod daemon;
mod database;
mod diff;
mod expectation;
mod files;
mod load;
mod log;
mod metrics;
mod missed_policy;
mod mistake;
mod module;
mod notify;
mod period;
mod ping;
mod queue;
mod recurrence;
mod schedule;
mod schedule_period;
mod secret;
mod section;
mod show;
mod show_notices;
mod tables;
mod task;
mod toml_values;
mod tree;

pub use self::{
    advice::advice,
    daemon::{DaemonConfig, OnUnknown, SupervisorConfig},
    database::{DatabaseConfig, Pooler},
    diff::{Changes, ConfigDiff},
    files::FileStamp,
    load::{Source, find_file, load, load_anyway},
    log::LogConfig,
    mistake::{ConfigWarning, Mistake, Mistakes, SourceLocation},
    module::ModuleConfig,
    queue::{AtPeriodEnd, QueueConfig},
    tables::{Config, KnownNames},
};
