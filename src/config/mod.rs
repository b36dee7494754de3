//! The configuration: files and environment variables, checked as a whole.

mod advice;
mod beside;
mod ca_file;
mod command;
mod daemon;
mod database;
mod database_schedule;
mod deploy;
mod deployed;
mod diff;
mod email;
mod expectation;
mod files;
mod follow;
mod http;
mod kind;
mod known_names;
mod load;
mod log;
mod metrics;
mod missed_policy;
mod mistake;
mod module;
mod notify;
mod path_watch;
mod payload_schema;
mod period;
mod ping;
mod queue;
mod rate;
mod recurrence;
mod schedule;
mod schedule_period;
mod schedule_table;
mod scheduled;
mod script;
mod secret;
mod section;
mod show;
mod show_email;
mod show_http;
mod show_notices;
mod show_program;
mod show_sql;
mod show_sweep;
mod sql;
mod sql_settings;
mod sweep;
mod tables;
mod task;
mod toml_values;
mod trace;
mod tree;
mod trigger;
mod unused_schedule;
mod worker;

pub use self::{
    advice::advice,
    daemon::{DaemonConfig, OnUnknown, SupervisorConfig},
    database::{DatabaseConfig, Pooler},
    database_schedule::{schedule_toml, schedules_of_toml},
    deploy::DeployConfig,
    deployed::{DEPLOYABLE, DeployedChoice, highest_number, keep_version, kept_version, put_version_aside},
    diff::{Changes, ConfigDiff},
    files::{FileStamp, files_of},
    known_names::KnownNames,
    load::{Source, find_file, load, load_anyway},
    log::LogConfig,
    mistake::{ConfigWarning, Mistake, Mistakes, SourceLocation},
    module::ModuleConfig,
    queue::{AtPeriodEnd, QueueConfig},
    schedule_table::ScheduledTask,
    scheduled::Scheduled,
    tables::Config,
    trace::TraceConfig,
    unused_schedule::{Unused, UnusedSchedule},
};
