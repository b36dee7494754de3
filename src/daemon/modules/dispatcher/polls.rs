//! The polls of the dispatcher: what there is to do, for itself and for other modules.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    Dispatcher,
    front_search::{SEARCH, SearchReport},
};
use crate::{
    clock::uptime,
    daemon::{module::ModuleContext, state::wakers::WakeReason},
    domain::identity::{ModuleName, QueueName},
    store::{NodeOutlook, OutlookOf, Peek, Store, StoreError},
};

/// The factor after which a poll also asks for the outlook.
const OUTLOOK_FACTOR: u32 = 32;
/// A poll that reads past many tasks of unknown names takes long. The rest after it is this many times as long.
const REST_FACTOR: u32 = 20;

impl Dispatcher {
    /// From time to time, a poll whose statement also says what the other modules need.
    pub(super) async fn look(
        &mut self,
        context: &ModuleContext,
        claimable: &[QueueName],
    ) -> Result<Option<Peek>, StoreError> {
        let interval = context.config().daemon.poll_interval;
        if self.outlook.age().is_some_and(|age| age < interval * OUTLOOK_FACTOR) {
            return Ok(None);
        }
        let (store, asked) = (context.store(), (Instant::now(), uptime()));
        let of = OutlookOf { node: &self.node, set_aside: self.unknown.is_review_due() };
        let seen = store.peek_and_look(&self.names(), claimable, of).await?;
        self.note_search(store, claimable, asked.0);
        self.note_peek(&seen, asked.0);
        if let Some(at) = seen.outlook.at.filter(|_| store.dialect.has_server()) {
            context.clock().correct(at, asked.1, uptime());
        }
        let before = self.outlook.note(seen.outlook.clone(), asked.0);
        let expiry = seen.outlook.next_expiry;
        if before.is_some_and(|before| expiry.is_some() && before.next_expiry.is_none_or(|known| expiry < Some(known)))
        {
            // A lease ends sooner than any that was known.
            self.wakers.wake(&ModuleName::RESCUER, WakeReason::Requested);
        }
        self.note_halt(store, &seen, Some(&seen.outlook)).await?;
        if seen.outlook.has_waiting_events {
            self.wakers.wake(&ModuleName::TRIGGERS, WakeReason::EventSent);
        }
        if seen.outlook.has_schedules && self.in_force.database_schedules().is_empty() {
            self.wakers.wake(&ModuleName::CONFIG_SYNC, WakeReason::SchedulesChanged);
        }
        if seen.outlook.is_unpublished {
            self.unknown.publish_again();
            self.watch.publish_again();
        }
        Ok(Some(seen))
    }

    /// Asks whether there is anything to do.
    pub(super) async fn peek(&mut self, store: &Store, claimable: &[QueueName]) -> Result<Peek, StoreError> {
        let began = Instant::now();
        let names = self.names();
        let seen = match self.front.positions(began) {
            Some(positions) => {
                let seen = store.peek_behind(positions, &names, claimable).await?;
                self.front.note_search_behind(began.elapsed());
                seen
            }
            None => {
                let seen = store.peek_known(&names, claimable).await?;
                self.note_search(store, claimable, began);
                seen
            }
        };
        self.note_peek(&seen, began);
        self.note_halt(store, &seen, None).await?;
        Ok(seen)
    }

    /// Reads what keeps everything from beginning, if that has changed.
    async fn note_halt(&self, store: &Store, seen: &Peek, outlook: Option<&NodeOutlook>) -> Result<(), StoreError> {
        if self.all_paused.differs(seen, outlook) && self.all_paused.note(store.halt().await?) {
            store.remove_ended_maintenance().await?;
            self.wakers.wake(&ModuleName::CRON, WakeReason::Requested);
        }
        Ok(())
    }

    /// These queues were searched from their front.
    fn note_search(&mut self, store: &Store, claimable: &[QueueName], began: Instant) {
        if !store.claims_behind() || claimable.is_empty() {
            return;
        }
        let took = began.elapsed();
        let searched: HashSet<&QueueName> = claimable.iter().collect();
        let is_searched = |queue: &QueueName| !self.front.has_position(queue) || searched.contains(queue);
        let is_whole = self.in_flight.workers().iter().all(|queue| is_searched(&queue.queue));
        match self.front.note_search(Instant::now(), took, is_whole) {
            Some(SearchReport::Slow(rest)) => store.isolated().note(
                SEARCH,
                format_args!(
                    "takes {} ms: before them stand dead rows that an open transaction keeps (`sexton doctor` names it), or tasks \
                     that this node does not define. New tasks are claimed as ever; those that are tried again may begin {} ms late",
                    took.as_millis(),
                    rest.as_millis()
                ),
            ),
            Some(SearchReport::Fast) => {
                store.isolated().forget(SEARCH);
                tracing::info!("{SEARCH} is fast again");
            }
            None => {}
        }
    }

    fn note_peek(&mut self, seen: &Peek, began: Instant) {
        if seen.events {
            self.wakers.wake(&ModuleName::TRIGGERS, WakeReason::EventSent);
        }
        if seen.schedules.is_some() && seen.schedules != self.schedules {
            self.schedules.clone_from(&seen.schedules);
            self.wakers.wake(&ModuleName::CONFIG_SYNC, WakeReason::SchedulesChanged);
        }
        self.polled = Some(Instant::now());
        self.rest = if seen.unknown.is_empty() { Duration::ZERO } else { began.elapsed() * REST_FACTOR };
        if self.outlook.note_next(seen.next) || seen.due || seen.next.is_cancel_requested {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
    }

    /// Returns those of the `claimable` queues that have available tasks. Assigns a queue to tasks without one.
    pub(super) async fn sort_out(
        &mut self,
        store: &Store,
        seen: Peek,
        claimable: &[QueueName],
    ) -> Result<Vec<QueueName>, StoreError> {
        self.unknown.note(seen.unknown, []);
        let mut found = seen.queues;
        if seen.without_queue {
            for name in store.names_without_queue().await? {
                // Its queue is in its definition.
                let Some(definition) = self.in_force.definition(&name) else {
                    self.unknown.note([], [name]);
                    continue;
                };
                let queue = &definition.queue;
                store.assign_queue(&name, queue, definition.priority).await?;
                if claimable.contains(queue) && !found.contains(queue) {
                    found.push(queue.clone());
                }
            }
        }
        Ok(found)
    }
}
