//! `triggers`: the trigger manager. Turns events into tasks, by the triggers of the configuration.
//!
//! A node first enters for which triggers of the whole cluster each new event is to wait. Then each node deals with those
//! that wait for triggers of its own. A node without triggers leaves events alone.
//!
//! Settings: `[trigger.NAME]`, `daemon.keep_events`. It is woken when an event is sent, and by the dispatcher's look at the
//! database; by itself it looks only while that does not. Logs events of which no task can be made, and opens problems of their
//! triggers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{
    config::Config,
    daemon::{
        fault_point::fault_point,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            event_board::EventBoard,
            latest_outlook::LatestOutlook,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{daemon::summary::SummaryTable, event::Trigger},
    store::Wakeup,
};

/// Maximum time between two looks at whether the dispatcher looks.
const MAX_REST: Duration = Duration::from_secs(30);
/// How old the dispatcher's look may be: it is as old as a long poll at the most.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The number of events of one transaction.
const BATCH: usize = 100;
/// How often a node confirms that it still has its triggers.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often it counts the events that need a look, while there are some.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// Events that were refused are shown by this number of the latest.
const MAX_SHOWN: usize = 10;

pub(super) struct TriggerManager {
    node: String,
    outlook: LatestOutlook,
    board: EventBoard,
    wakers: Wakers,
    config: Option<Arc<Config>>,
    triggers: Vec<Arc<Trigger>>,
    /// Whether this node may have triggers in the database.
    is_registered: bool,
    confirmed: Option<Instant>,
    counted: Option<Instant>,
    /// When it dealt with events last, until that is long ago and they were counted.
    worked: Option<Instant>,
    looked: Option<Instant>,
    tasks: u64,
    taken: u64,
}

#[async_trait(?Send)]
impl DaemonModule for TriggerManager {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let is_new = !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &context.config()));
        if is_new {
            self.load(context).await?;
        }
        if self.triggers.is_empty() {
            return Ok(());
        }
        let is_told = context.wake_reasons().contains(WakeReason::EventSent);
        let is_alone = self.outlook.fresh(MAX_AGE).is_none() && self.looked.is_none_or(|at| at.elapsed() >= MAX_REST);
        if is_new || is_told || is_alone {
            self.looked = Some(Instant::now());
            self.consume(context).await?;
        }
        if self.confirmed.is_none_or(|at| at.elapsed() >= CONFIRM_INTERVAL) {
            context.store().confirm_triggers(&self.node).await?;
            self.confirmed = Some(Instant::now());
        }
        self.count(context).await
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(MAX_REST))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["Triggers", "Dealt with", "Tasks", "Waiting", "Untaken", "Refused"];
        let mut table = SummaryTable::new("Events", &columns, "No trigger is configured.");
        if !self.triggers.is_empty() {
            let troubles = self.board.troubles();
            table.row([
                self.triggers.len().to_string(),
                self.taken.to_string(),
                self.tasks.to_string(),
                troubles.waiting.to_string(),
                troubles.untaken.to_string(),
                troubles.refused.to_string(),
            ]);
        }
        vec![table]
    }
}

impl TriggerManager {
    pub(super) fn new(node: String, outlook: LatestOutlook, board: EventBoard, wakers: Wakers) -> Self {
        Self {
            node,
            outlook,
            board,
            wakers,
            config: None,
            triggers: Vec::new(),
            is_registered: true,
            confirmed: None,
            counted: None,
            worked: Some(Instant::now()),
            looked: None,
            tasks: 0,
            taken: 0,
        }
    }

    /// Takes the triggers of the configuration, and enters them in the database.
    async fn load(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let config = context.config();
        let triggers: Vec<Arc<Trigger>> = config.triggers.values().cloned().collect();
        if self.is_registered || !triggers.is_empty() {
            context.store().register_triggers(&self.node, &triggers).await?;
            self.confirmed = Some(Instant::now());
        }
        self.is_registered = !triggers.is_empty();
        self.triggers = triggers;
        self.config = Some(config);
        if self.triggers.is_empty() {
            self.board.note(Default::default());
        }
        Ok(())
    }

    /// Deals with the events that there are.
    async fn consume(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let store = context.store();
        loop {
            fault_point("events due");
            let distributed = store.distribute_events(&self.node, BATCH).await?;
            fault_point("events distributed");
            let taken = store.take_events(&self.node, &self.triggers, BATCH).await?;
            fault_point("events taken");
            if taken.tasks > 0 {
                context.client().wake_up(if taken.is_any_later { Wakeup::Anything } else { Wakeup::Now });
            }
            for (event, trigger, why) in &taken.refused {
                tracing::error!("event {event}, trigger {trigger}: no task can be made of it: {why}");
                self.board.note_refused(format!("event {event}, trigger {trigger}: {why}"), MAX_SHOWN);
            }
            if !taken.refused.is_empty() {
                self.wakers.announce_problem();
            }
            self.tasks += taken.tasks as u64;
            self.taken += taken.taken as u64;
            if distributed > 0 || taken.taken > 0 {
                self.worked = Some(Instant::now());
            }
            context.progress();
            if distributed > taken.taken
                && !taken.has_more
                // Other nodes may have the triggers for which some of them wait.
                && let Err(error) = store.wake(Wakeup::Events).await
            {
                tracing::debug!("cannot tell other nodes of events: {error}");
            }
            if distributed < BATCH && !taken.has_more {
                return Ok(());
            }
        }
    }

    /// Counts the events that need a look, after new ones and while there are some.
    async fn count(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let is_due = self.counted.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL);
        if !is_due || self.worked.is_none() && self.board.troubles().is_empty() {
            return Ok(());
        }
        // An event that waits counts after a minute only.
        self.worked = self.worked.filter(|at| at.elapsed() < COUNT_INTERVAL * 2);
        let found = context.store().event_troubles().await?;
        self.counted = Some(Instant::now());
        self.board.note(found);
        Ok(())
    }
}
