//! Queue hours: which queues are closed because they are outside their period, and when that changes.
//!
//! A period is evaluated only when its next change has come, or when the clock or the configuration has changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    config::{AtPeriodEnd, Config},
    domain::identity::QueueName,
};

/// Maximum time between two checks if any queue has a period: the clock may be set.
const MAX_REST: Duration = Duration::from_secs(60);

/// The queues with a period, and whether they are open.
#[derive(Default)]
pub(in crate::daemon) struct QueueHours {
    config: Option<Arc<Config>>,
    queues: BTreeMap<QueueName, OpenState>,
}

/// A time in which a queue is open, or closed.
struct OpenState {
    is_open: bool,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

/// A queue that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct ClosedQueue {
    pub(in crate::daemon) queue: QueueName,
    pub(in crate::daemon) at_period_end: AtPeriodEnd,
}

impl QueueHours {
    /// The queues that are closed now. Logs each change.
    pub(in crate::daemon) fn closed(&mut self, config: &Arc<Config>, now: DateTime<Utc>) -> Vec<ClosedQueue> {
        if self.config.as_ref().is_none_or(|known| !Arc::ptr_eq(known, config)) {
            self.config = Some(config.clone());
            self.queues.clear();
        }
        let mut closed = Vec::new();
        for (queue, settings) in &config.queues {
            let Some(period) = settings.period.as_ref().and_then(|name| config.periods.get(name)) else { continue };
            let known = self.queues.get(queue);
            let is_over = known.is_none_or(|known| now < known.since || known.until.is_some_and(|until| until <= now));
            if is_over {
                let state = OpenState { is_open: period.is_inside(now), since: now, until: period.next_change(now) };
                log_change(queue, &period.name, known, &state);
                self.queues.insert(queue.clone(), state);
            }
            if self.queues.get(queue).is_some_and(|state| !state.is_open) {
                closed.push(ClosedQueue { queue: queue.clone(), at_period_end: settings.at_period_end });
            }
        }
        closed
    }

    /// How long at most nothing changes; none if no queue has a period.
    pub(in crate::daemon) fn until_change(&self, now: DateTime<Utc>) -> Option<Duration> {
        let changes = self.queues.values().filter_map(|state| state.until);
        let next = changes.map(|until| (until - now).to_std().unwrap_or_default()).min();
        (!self.queues.is_empty()).then(|| next.map_or(MAX_REST, |next| next.min(MAX_REST)))
    }
}

fn log_change(queue: &str, period: &str, before: Option<&OpenState>, now: &OpenState) {
    let until =
        now.until.map_or("for ever".to_owned(), |until| format!("until {}", until.format("%Y-%m-%d %H:%M:%SZ")));
    match (before.map(|before| before.is_open), now.is_open) {
        (Some(false), true) => tracing::info!("queue {queue} opens: inside period {period} {until}"),
        (None | Some(true), false) => tracing::info!("queue {queue} closes: outside period {period} {until}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::{config::QueueConfig, domain::period::sample};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn config() -> Arc<Config> {
        let mut config = Config::default_for("sqlite://x");
        config.periods = sample("office", "monday", "09:00-17:00");
        config.queues.insert("q".into(), QueueConfig { period: Some("office".to_owned()), ..QueueConfig::of(1) });
        Arc::new(config)
    }

    #[test]
    fn a_queue_is_closed_outside_its_period_until_the_next_change() {
        let (mut hours, config) = (QueueHours::default(), config());
        let mut closed_at =
            |now: &str| (hours.closed(&config, at(now)).len(), hours.until_change(at(now)).expect("a rest"));
        assert_eq!(closed_at("2026-11-23T08:59:50Z"), (1, Duration::from_secs(10)));
        assert_eq!(closed_at("2026-11-23T08:59:59.5Z"), (1, Duration::from_millis(500)));
        assert_eq!(closed_at("2026-11-23T09:00:00Z"), (0, MAX_REST));
        assert_eq!(closed_at("2026-11-23T17:00:00Z"), (1, MAX_REST));
        // The clock is set back.
        assert_eq!(closed_at("2026-11-23T12:00:00Z").0, 0);
    }

    #[test]
    fn without_periods_there_is_nothing_to_wait_for() {
        let mut hours = QueueHours::default();
        assert!(hours.closed(&Arc::new(Config::default_for("sqlite://x")), at("2026-11-23T12:00:00Z")).is_empty());
        assert_eq!(hours.until_change(at("2026-11-23T12:00:00Z")), None);
    }
}
