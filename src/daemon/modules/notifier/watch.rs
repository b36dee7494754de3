//! What becomes a problem because nothing happens: queues that stand still; and modules that fail again and again.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::ProblemKind;

use super::{parts::NotifierParts, sender::ChannelRecord};
use crate::{
    daemon::{module::ModuleContext, state::module_status::ModuleStatus},
    domain::{
        identity::ModuleName,
        problem::Sighting,
        schedule::reason::shown,
        text::{duration, plural::counted},
    },
    store::{Store, StoreError},
};

/// How often it looks at the queues.
const QUEUES_INTERVAL: Duration = Duration::from_secs(60);
/// A module that fails this often within [`FAILING_FOR`] is a problem.
const MANY_FAILURES: usize = 3;
/// The time over which the failures of a module are counted.
const FAILING_FOR: Duration = Duration::from_secs(600);

/// What it saw before.
#[derive(Default)]
pub(super) struct Watch {
    queues_at: Option<Instant>,
    modules: HashMap<String, SeenModule>,
    /// The modules whose failures are a problem; none before the first look, because an earlier daemon may have left some.
    failing: Option<Vec<String>>,
}

#[derive(Default)]
struct SeenModule {
    failures: u64,
    latest: VecDeque<Instant>,
}

impl SeenModule {
    /// Counts the failures since the last look. Returns whether there are new ones, and whether they are many.
    fn count(&mut self, failures: u64, now: Instant) -> (bool, bool) {
        let new = failures.saturating_sub(self.failures);
        self.failures = failures;
        let more = usize::try_from(new).unwrap_or(usize::MAX).min(MANY_FAILURES);
        self.latest.extend(std::iter::repeat_n(now, more));
        self.latest.retain(|at| now.saturating_duration_since(*at) < FAILING_FOR);
        (new > 0, self.latest.len() >= MANY_FAILURES)
    }
}

impl Watch {
    /// Looks at queues, modules and channels.
    pub(super) async fn look(
        &mut self,
        context: &ModuleContext,
        parts: &NotifierParts,
        channels: &BTreeMap<String, ChannelRecord>,
    ) -> Result<(), StoreError> {
        let now = context.clock().now();
        let broken = channels
            .iter()
            .filter_map(|(name, record)| Some((format!("{}/notify.{name}", parts.node), record.trouble(name, now)?)));
        let modules = self.look_at_modules(context.store(), parts, &broken.collect::<Vec<_>>()).await;
        context.store().isolated().part("problems of modules and channels", modules)?;
        let age = context.config().daemon.report_stalled_after;
        if self.queues_at.is_none_or(|at| at.elapsed() >= QUEUES_INTERVAL.min(age)) {
            self.queues_at = Some(Instant::now());
            // A queue without a task stands still as well as it can. Only a problem that is open has to be closed.
            let is_empty = parts.outlook.fresh(QUEUES_INTERVAL.min(age)).is_some_and(|outlook| !outlook.has_waiting);
            if !is_empty || parts.open.count() > 0 {
                look_at_queues(context, age).await?;
            }
        }
        Ok(())
    }

    /// `broken` are the channels that send nothing, as parts of module `notifier`.
    async fn look_at_modules(
        &mut self,
        store: &Store,
        parts: &NotifierParts,
        broken: &[(String, String)],
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let (mut sightings, mut failing) = (Vec::new(), Vec::new());
        for (channel, what) in broken {
            if !self.failing.as_ref().is_some_and(|known| known.contains(channel)) {
                let node = Some(parts.node.clone());
                sightings.push(Sighting { node, ..Sighting::now(ProblemKind::Module, channel.clone(), what.as_str()) });
            }
            failing.push(channel.clone());
        }
        for ModuleStatus { name, failures, last_error, .. } in parts.statuses.all() {
            let (is_new, are_many) = self.modules.entry(name.clone()).or_default().count(failures, now);
            // The notifier itself begins to count again after each failure.
            if are_many && name != ModuleName::NOTIFIER.as_str() {
                let module = format!("{}/{name}", parts.node);
                if is_new {
                    let what = format!("the module failed: {}", last_error.as_deref().unwrap_or("unknown reason"));
                    let node = Some(parts.node.clone());
                    sightings.push(Sighting { node, ..Sighting::now(ProblemKind::Module, module.clone(), what) });
                }
                failing.push(module);
            }
        }
        store.note_problems(&sightings).await?;
        if self.failing.as_ref() != Some(&failing) {
            store.close_others(ProblemKind::Module, Some(&parts.node), &failing).await?;
            self.failing = Some(failing);
        }
        Ok(())
    }
}

async fn look_at_queues(context: &ModuleContext, age: Duration) -> Result<(), StoreError> {
    let (store, config, now) = (context.store(), context.config(), context.clock().now());
    let mut stalled = store.stalled_queues(age).await?;
    stalled.retain(|(queue, ..)| config.rules_of(queue, now).closed.is_none());
    let sightings: Vec<Sighting> = stalled
        .iter()
        .map(|(queue, tasks, since)| {
            let tasks = counted(usize::try_from(*tasks).unwrap_or_default(), "task");
            let since = since.map(|since| format!(", the first since {}", shown(since))).unwrap_or_default();
            let what = format!("nothing begins or ends, with {tasks} waiting{since}");
            Sighting { queue: Some(queue.clone()), ..Sighting::now(ProblemKind::Queue, queue.clone(), what) }
        })
        .collect();
    store.note_problems(&sightings).await?;
    let lasting: Vec<String> = stalled.into_iter().map(|(queue, ..)| queue).collect();
    store.close_others(ProblemKind::Queue, None, &lasting).await
}

/// Notes an outage of the database that is over `now`.
pub(super) async fn note_outage(
    store: &Store,
    node: &str,
    now: DateTime<Utc>,
    length: Duration,
) -> Result<(), StoreError> {
    let what = format!("the database did not answer for {}", duration::text(Duration::from_secs(length.as_secs())));
    let outage = Sighting {
        node: Some(node.to_owned()),
        first_at: TimeDelta::from_std(length).ok().and_then(|length| now.checked_sub_signed(length)),
        ..Sighting::now(ProblemKind::Database, node, what)
    };
    store.note_problems(std::slice::from_ref(&outage)).await?;
    store.close_others(ProblemKind::Database, Some(node), &[]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_fails_again_and_again_is_a_problem_and_one_that_has_failed_is_none() {
        let (mut seen, begin) = (SeenModule::default(), Instant::now());
        assert_eq!(seen.count(1, begin), (true, false));
        assert_eq!(seen.count(1, begin), (false, false));
        let later = begin + FAILING_FOR;
        assert_eq!(seen.count(3, later), (true, false), "the first failure was long ago");
        assert_eq!(seen.count(4, later), (true, true));
        assert_eq!(seen.count(4, later + FAILING_FOR), (false, false), "it is over");
        assert_eq!(SeenModule::default().count(9, begin), (true, true));
    }
}
