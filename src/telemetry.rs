//! The log: one readable line for each event, with colours on a terminal only.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
};

use tracing::{Event, Level, Subscriber, field::Visit};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::clock::machine_time;

/// stub
#[derive(Clone, Debug, Default)]
pub struct LogControl;
/// stub
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub enum DebugChoice {
    /// stub
    #[default]
    Nothing,
}
impl LogControl {
    /// stub
    pub fn set_debug(&self, _: DebugChoice) {}
    /// stub
    pub fn describe(&self) -> String {
        String::new()
    }
}

/// What is shown where nobody says otherwise: our own events, and what goes wrong elsewhere.
const USUAL: &str = "warn,sexton=info";

/// Sends events to standard error. `filter` is a level, or directives as `tracing` knows them.
///
/// # Errors
/// If the filter cannot be read.
pub(crate) fn start(filter: Option<&str>) -> anyhow::Result<()> {
    let directives = match filter {
        Some(level) if level.parse::<Level>().is_ok() => format!("warn,sexton={level}"),
        Some(directives) => directives.to_owned(),
        None => USUAL.to_owned(),
    };
    let filter =
        EnvFilter::try_new(&directives).map_err(|error| anyhow::anyhow!("log filter `{directives}`: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(Line)
        .init();
    Ok(())
}

/// `2026-11-21 10:00:00.123Z  INFO backup succeeded in 1.2 s  task.id=7 attempt=1`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = machine_time().format("%Y-%m-%d %H:%M:%S%.3fZ");
        let level = *event.metadata().level();
        let (on, dim, off) = match (writer.has_ansi_escapes(), level) {
            (false, _) => ("", "", ""),
            (true, Level::ERROR) => ("\x1b[31m", "\x1b[2m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[33m", "\x1b[2m", "\x1b[0m"),
            (true, Level::INFO) => ("\x1b[32m", "\x1b[2m", "\x1b[0m"),
            (true, _) => ("\x1b[36m", "\x1b[2m", "\x1b[0m"),
        };
        write!(writer, "{dim}{at}{off} {on}{level:>5}{off} ")?;
        if let Some(module) = &fields.module {
            write!(writer, "{module}: ")?;
        }
        writer.write_str(&fields.message)?;
        if !fields.others.is_empty() {
            write!(writer, " {dim}{}{off}", fields.others)?;
        }
        writeln!(writer)
    }
}

/// An event's message, the daemon module it is about, and the rest.
#[derive(Default)]
struct Fields {
    message: String,
    module: Option<String>,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "module" => self.module = Some(value.to_owned()),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "module" => self.module = Some(format!("{value:?}")),
            name => {
                let _ = write!(self.others, " {name}={value:?}");
            }
        }
    }
}
