//! `dispatcher`: claims as many tasks as the node has credits for, and wakes the workers.

mod queue_hours;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use self::queue_hours::{QueueHours, Shut};
use super::rescuer::give_back_lost;
use crate::{
    config::AtPeriodEnd,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::shared::Shared,
    },
    domain::{identity::QueueName, task::definition::DEFAULT_QUEUE},
    store::StoreError,
};

/// For so long after the last task the database is asked at the poll interval; then less often.
const LIVELY: Duration = Duration::from_secs(10);
/// How much less often.
const IDLE_FACTOR: u32 = 8;

pub(super) struct Dispatcher {
    /// Queues that probably have more: claimed from without a look.
    hot: HashSet<QueueName>,
    looked: Option<Instant>,
    found: Instant,
    hours: QueueHours,
    /// The outcome of a claim is unknown: rows may be ours that are not in hand.
    in_doubt: bool,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Self { hot: HashSet::new(), looked: None, found: Instant::now(), hours: QueueHours::default(), in_doubt: true }
    }
}

#[async_trait(?Send)]
impl DaemonModule for Dispatcher {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        shared.hand.forget_asking();
        if std::mem::take(&mut self.in_doubt)
            && let Err(error) = give_back_lost(shared, Duration::ZERO).await
        {
            self.in_doubt = true;
            return Err(error.into());
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        self.keep_hours(shared);
        let open = shared.hand.open_queues();
        if open.is_empty() {
            return Ok(());
        }
        let interval = context.config().daemon.poll_interval;
        let news = shared.bells.take_news();
        let is_hot = open.iter().any(|(queue, _)| self.hot.contains(queue));
        let look = news || !is_hot || self.looked.is_none_or(|at| at.elapsed() >= interval);
        let mut queues: Vec<QueueName> =
            open.iter().filter(|(queue, _)| self.hot.contains(queue)).map(|(queue, _)| queue.clone()).collect();
        if look {
            let names: Vec<QueueName> = open.into_iter().map(|(queue, _)| queue).collect();
            for queue in self.look(shared, &names).await? {
                if !queues.contains(&queue) {
                    queues.push(queue);
                }
            }
        }
        for queue in queues {
            self.claim(shared, &queue).await?;
            context.progress();
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let open = context.shared().hand.open_queues();
        if open.iter().any(|(queue, _)| self.hot.contains(queue)) {
            return Ok(Next::After(Duration::ZERO));
        }
        let interval = context.config().daemon.poll_interval;
        let is_lively = self.found.elapsed() < LIVELY;
        let rest = if is_lively { interval } else { interval * context.shared().idle_factor(IDLE_FACTOR) };
        let change = self.hours.rest(context.clock().now());
        Ok(Next::After(change.map_or(rest, |change| rest.min(change))))
    }
}

impl Dispatcher {
    /// Shuts the queues that are outside their period, and opens the others.
    fn keep_hours(&mut self, shared: &Shared) {
        let shut = self.hours.look(&shared.config(), shared.clock.now());
        shared.hand.shut(&shut.iter().map(|shut| shut.queue.clone()).collect::<Vec<_>>());
        for Shut { queue, .. } in shut.iter().filter(|shut| shut.at_period_end == AtPeriodEnd::Stop) {
            let stopped = shared.hand.stop_queue(queue);
            if stopped > 0 {
                tracing::warn!(
                    "{stopped} tasks of queue {queue} still run: its period is over, they are ended and given back"
                );
            }
        }
    }

    /// Asks the database what there is; files tasks that came without a queue.
    async fn look(&mut self, shared: &Shared, queues: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        self.looked = Some(Instant::now());
        let seen = shared.store.peek(queues).await?;
        if seen.due {
            shared.bells.ring("future");
        }
        if !seen.without_queue {
            return Ok(seen.queues);
        }
        let mut found = seen.queues;
        for name in shared.store.names_without_queue().await? {
            let definition = shared.definition(&name);
            let (queue, priority) = definition
                .as_ref()
                .map_or((DEFAULT_QUEUE.into(), 0), |definition| (definition.queue.clone(), definition.priority));
            shared.store.assign_queue(&name, &queue, priority).await?;
            if queues.contains(&queue) && !found.contains(&queue) {
                found.push(queue);
            }
        }
        Ok(found)
    }

    /// Claims for one queue.
    async fn claim(&mut self, shared: &Shared, queue: &QueueName) -> Result<(), StoreError> {
        let asked = shared.hand.ask(queue);
        if asked.count() == 0 {
            return Ok(());
        }
        let bounds = shared.bounds();
        let is_free = bounds.is_unlimited(queue);
        let claimed = match is_free {
            true => shared.store.claim(&shared.node, queue, asked.count()).await,
            false => shared.store.claim_within(&bounds, &shared.node, queue, asked.count()).await,
        };
        let claimed = claimed.inspect_err(|_| self.in_doubt = true)?;
        let found = claimed.tasks.len() + claimed.postponed;
        if !is_free && found == 0 {
            // There are some, and their turn comes as soon as another one ends, here or elsewhere.
            self.found = Instant::now();
        }
        if claimed.postponed > 0 {
            shared.bells.ring("future");
        }
        if found > 0 {
            self.found = Instant::now();
        }
        // What was only sorted stood before others.
        match found == asked.count() || claimed.postponed > 0 {
            true => self.hot.insert(queue.clone()),
            false => self.hot.remove(queue),
        };
        asked.take_in(found, claimed.tasks);
        Ok(())
    }
}
