//! Which events are logged: the filter for all events, and the rules for single modules.

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{control::LogControl, entry};

/// The filter of the log. An event that is not logged costs almost nothing: its callsite caches that.
pub(super) struct LogFilter {
    filter: EnvFilter,
    control: LogControl,
}

impl LogFilter {
    pub(super) fn new(filter: EnvFilter, control: LogControl) -> Self {
        Self { filter, control }
    }

    /// Whether the rules may allow the event, once its module is known.
    fn may_pass(&self, metadata: &Metadata<'_>) -> bool {
        is_own(metadata) && self.control.rules(|rules| *metadata.level() <= rules.ceiling())
    }
}

/// Whether the event comes from Sexton.
fn is_own(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    ["sexton", "sexton_client"]
        .iter()
        .any(|own| target.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for LogFilter {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let usual = Filter::<S>::callsite_enabled(&self.filter, metadata);
        if entry::is_wanted_span(metadata) {
            Interest::always()
        } else if metadata.is_event() && is_own(metadata) && (!usual.is_never() || self.may_pass(metadata)) {
            // Never `always`: only a `sometimes` event is passed to `event_enabled`, where its module is known.
            Interest::sometimes()
        } else {
            usual
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        entry::is_wanted_span(metadata)
            || (metadata.is_event() && self.may_pass(metadata))
            || self.filter.enabled(metadata, context.clone())
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_own(metadata) || self.control.rules(|rules| rules.is_empty()) {
            return true;
        }
        let module = entry::module_of(event, context);
        let decided = self.control.rules(|rules| rules.decide(module.as_deref(), *metadata.level()));
        decided.unwrap_or_else(|| self.filter.enabled(metadata, context.clone()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let usual = Filter::<S>::max_level_hint(&self.filter)?;
        Some(usual.max(self.control.rules(|rules| rules.ceiling())))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        entry::note_span(attributes, id, &context);
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.filter.on_close(id, context);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::Level;
    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    use super::*;
    use crate::{
        clock::machine_time,
        telemetry::{DebugChoice, entry::LogEntry, line::headline},
    };

    /// Keeps the events that pass.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            let entry = LogEntry::new(event, &context, machine_time());
            self.0.lock().push(headline(entry.module.as_deref(), &entry.message));
        }
    }

    impl Seen {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    /// Runs a test with its own log. The caches of callsites are shared by the process: one test at a time.
    fn logged(filter: &str, test: impl FnOnce(&LogControl, &Seen)) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock();
        let (control, seen) = (LogControl::new("test".to_owned(), filter, DebugChoice::Nothing), Seen::default());
        let directives = crate::domain::daemon::log::directives(filter).unwrap();
        let filter = LogFilter::new(EnvFilter::new(directives), control.clone());
        let log = tracing_subscriber::registry().with(seen.clone().with_filter(filter));
        tracing::subscriber::with_default(log, || test(&control, &seen));
    }

    /// The same callsites each time: their caches must not outlive a change.
    fn events() {
        tracing::info!("up");
        tracing::debug!("small");
        tracing::debug!(target: "sqlx::query", "SELECT");
        tracing::debug!(module = %"cron", "named by the event");
        for name in ["cron", "future"] {
            let _life = tracing::error_span!("module", name).entered();
            tracing::info!("works");
            tracing::debug!("looks");
            tracing::trace!("looks closely");
            tracing::debug!(module = "other", "about another");
            tracing::debug!(target: "sqlx::query", "SELECT");
            let _inner = tracing::error_span!("attempt").entered();
            tracing::warn!("inside");
        }
    }

    const DEFAULT_LINES: [&str; 5] = ["up", "cron: works", "cron: inside", "future: works", "future: inside"];

    #[test]
    fn one_module_is_debugged_at_run_time() {
        logged("info", |control, seen| {
            events();
            assert_eq!(seen.take(), DEFAULT_LINES);
            control.set_debug(DebugChoice::Modules(vec!["cron".to_owned()]));
            events();
            let with_cron = [
                "up",
                "cron: named by the event",
                "cron: works",
                "cron: looks",
                "cron: inside",
                "future: works",
                "future: inside",
            ];
            assert_eq!(seen.take(), with_cron);
            control.set_debug(DebugChoice::Everything);
            events();
            let everything = seen.take();
            assert_eq!(everything.len(), 11, "{everything:?}");
            assert!(everything.contains(&"other: about another".to_owned()));
            assert!(!everything.iter().any(|line| line.contains("SELECT") || line.contains("closely")));
            control.set_debug(DebugChoice::Nothing);
            events();
            assert_eq!(seen.take(), DEFAULT_LINES);
        });
    }

    #[test]
    fn levels_of_modules_count_in_place_of_the_filter() {
        logged("info", |control, seen| {
            control.set_module_levels([("cron".to_owned(), Level::TRACE), ("future".to_owned(), Level::WARN)].into());
            events();
            let expected = [
                "up",
                "cron: named by the event",
                "cron: works",
                "cron: looks",
                "cron: looks closely",
                "cron: inside",
                "future: inside",
            ];
            assert_eq!(seen.take(), expected);
            let state = serde_json::to_value(control.describe()).unwrap();
            let expected = serde_json::json!({
                "target": "test", "filter": "info", "module_levels": { "cron": "trace", "future": "warn" },
                "debug": "nothing", "lost_lines": 0, "last_problem": null,
            });
            assert_eq!(state, expected);
            control.set_module_levels([].into());
            events();
            assert_eq!(seen.take(), DEFAULT_LINES);
        });
        logged("error", |_, seen| {
            let _life = tracing::error_span!("module", name = "cron").entered();
            tracing::error!("failed");
            assert_eq!(seen.take(), ["cron: failed"], "the module does not depend on the filter");
        });
    }

    #[test]
    fn unwanted_debug_events_cost_nothing() {
        logged("info", |control, _| {
            let mut asked = 0;
            let mut event = || {
                tracing::debug!(
                    cost = {
                        asked += 1;
                        1
                    },
                    "never seen"
                );
                (LevelFilter::current(), asked)
            };
            assert_eq!(event(), (LevelFilter::INFO, 0));
            control.set_debug(DebugChoice::Everything);
            assert_eq!(event(), (LevelFilter::DEBUG, 1));
            control.set_debug(DebugChoice::Nothing);
            assert_eq!(event(), (LevelFilter::INFO, 1));
        });
    }
}
