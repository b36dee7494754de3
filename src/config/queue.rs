//! `[queue.NAME]`.

use std::time::Duration;

use super::{notify, period, rate, section::Section};
use crate::domain::{
    daemon::lease::OnLeaseLost,
    notice::NoticeRule,
    period::Periods,
    task::{limit_key::KeyPath, rate::RateLimit, time_limit::TimeLimit},
};

/// `[queue.NAME]`: a queue on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Number of workers on this node.
    pub workers: usize,
    /// Maximum number of the queue's tasks that run at once in the whole cluster, as seen by this node.
    pub limit: Option<usize>,
    /// How many attempts of its tasks may begin in a length of time, in the whole cluster.
    pub rate: Option<RateLimit>,
    /// The time in which the priority of a waiting task rises by one.
    pub aging: Option<Duration>,
    /// The key by which its tasks take turns.
    pub fair_by: Option<KeyPath>,
    /// Period outside which none of its tasks begins.
    pub period: Option<String>,
    /// What happens to running tasks at the end of the period.
    pub at_period_end: AtPeriodEnd,
    /// What happens to its running attempts when the node cannot keep its lease; absent, the node's setting or the limits
    /// decide.
    pub on_lease_lost: Option<OnLeaseLost>,
    /// Time limit of an attempt whose task has none; absent, the daemon's.
    pub timeout: Option<TimeLimit>,
    /// Whom to tell of problems of the queue and its tasks.
    pub notices: NoticeRule,
}

/// What happens to the running tasks of a queue at the end of its period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtPeriodEnd {
    /// They continue.
    #[default]
    Finish,
    /// They are stopped and released; the attempt does not count.
    Stop,
}

impl QueueConfig {
    /// A queue with that number of workers, no limit and no period.
    pub fn of(workers: usize) -> Self {
        Self {
            workers,
            limit: None,
            rate: None,
            aging: None,
            fair_by: None,
            period: None,
            at_period_end: AtPeriodEnd::Finish,
            on_lease_lost: None,
            timeout: None,
            notices: NoticeRule::default(),
        }
    }

    pub(super) fn read(section: &mut Section<'_>, periods: &Periods, channels: &[String]) -> Self {
        let workers = section.integer("workers", 0..=10_000);
        if workers.is_none() && section.node("workers").is_none() {
            section.refuse(
                "workers",
                "the setting is missing: how many tasks of this queue may run on this node at once?",
            );
        }
        let period = period::named(section, "period", periods);
        let ends = [("finish", AtPeriodEnd::Finish), ("stop", AtPeriodEnd::Stop)];
        let at_period_end = section.choice("at_period_end", &ends).unwrap_or_default();
        if period.is_none() && section.node("at_period_end").is_some() {
            section.refuse("at_period_end", "this setting needs a `period`");
        }
        let limit = section.integer("limit", 1..=1_000_000);
        let rate = rate::read(section);
        let fair_by = section.parsed("fair_by");
        let aging = section.duration("aging", Duration::from_secs(1));
        if fair_by.is_some() && aging.is_some() {
            section.refuse("aging", "a queue with `fair_by` has no `aging`: its keys take turns already");
        }
        let on_lease_lost = section.choice("on_lease_lost", &OnLeaseLost::WORDS);
        let timeout = section.parsed("timeout");
        let notices = notify::rule(section, channels);
        Self {
            workers: workers.unwrap_or(1),
            limit,
            rate,
            aging,
            fair_by,
            period,
            at_period_end,
            on_lease_lost,
            timeout,
            notices,
        }
    }
}
