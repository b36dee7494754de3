//! The opening hours of the queues: which of them are outside their period, and when that changes.
//!
//! A period is asked only when its next change has come, or when the clock or the configuration have been changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    config::{AtPeriodEnd, Config},
    domain::identity::QueueName,
};

/// With opening hours, the clock is looked at this often: it may have been set.
const LOOK: Duration = Duration::from_secs(60);

/// What is known of the opening hours.
#[derive(Default)]
pub(super) struct QueueHours {
    config: Option<Arc<Config>>,
    queues: BTreeMap<QueueName, Stretch>,
}

/// A stretch of time in which a queue is open, or shut.
struct Stretch {
    is_open: bool,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

/// A queue that is shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shut {
    pub(super) queue: QueueName,
    pub(super) at_period_end: AtPeriodEnd,
}

impl QueueHours {
    /// The queues that are shut now.
    pub(super) fn look(&mut self, config: &Arc<Config>, now: DateTime<Utc>) -> Vec<Shut> {
        if self.config.as_ref().is_none_or(|known| !Arc::ptr_eq(known, config)) {
            self.config = Some(config.clone());
            self.queues.clear();
        }
        let mut shut = Vec::new();
        for (queue, settings) in &config.queues {
            let Some(period) = settings.period.as_ref().and_then(|name| config.periods.get(name)) else { continue };
            let known = self.queues.get(queue);
            let is_over = known.is_none_or(|known| now < known.since || known.until.is_some_and(|until| until <= now));
            if is_over {
                let stretch = Stretch { is_open: period.is_inside(now), since: now, until: period.next_change(now) };
                tell(queue, &period.name, known, &stretch);
                self.queues.insert(queue.clone(), stretch);
            }
            if self.queues.get(queue).is_some_and(|stretch| !stretch.is_open) {
                shut.push(Shut { queue: queue.clone(), at_period_end: settings.at_period_end });
            }
        }
        shut
    }

    /// How long nothing changes at most.
    pub(super) fn rest(&self, now: DateTime<Utc>) -> Option<Duration> {
        let changes = self.queues.values().filter_map(|stretch| stretch.until);
        let next = changes.map(|until| (until - now).to_std().unwrap_or_default()).min();
        (!self.queues.is_empty()).then(|| next.map_or(LOOK, |next| next.min(LOOK)))
    }
}

fn tell(queue: &str, period: &str, before: Option<&Stretch>, now: &Stretch) {
    let until =
        now.until.map_or("for good".to_owned(), |until| format!("until {}", until.format("%Y-%m-%d %H:%M:%SZ")));
    match (before.map(|before| before.is_open), now.is_open) {
        (Some(false), true) => tracing::info!("queue {queue} begins: inside period {period} {until}"),
        (None | Some(true), false) => tracing::info!("queue {queue} waits: outside period {period} {until}"),
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
    fn a_queue_is_shut_outside_its_period_and_the_rest_ends_with_it() {
        let (mut hours, config) = (QueueHours::default(), config());
        let mut is_shut = |now: &str| (hours.look(&config, at(now)).len(), hours.rest(at(now)).expect("a rest"));
        assert_eq!(is_shut("2026-11-23T08:59:50Z"), (1, Duration::from_secs(10)));
        assert_eq!(is_shut("2026-11-23T08:59:59.5Z"), (1, Duration::from_millis(500)));
        assert_eq!(is_shut("2026-11-23T09:00:00Z"), (0, LOOK));
        assert_eq!(is_shut("2026-11-23T17:00:00Z"), (1, LOOK));
        // The clock is set back.
        assert_eq!(is_shut("2026-11-23T12:00:00Z").0, 0);
    }

    #[test]
    fn without_periods_there_is_nothing_to_wait_for() {
        let mut hours = QueueHours::default();
        assert!(hours.look(&Arc::new(Config::default_for("sqlite://x")), at("2026-11-23T12:00:00Z")).is_empty());
        assert_eq!(hours.rest(at("2026-11-23T12:00:00Z")), None);
    }
}
