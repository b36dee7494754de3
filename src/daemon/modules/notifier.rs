//! `notifier`: closes problems that are over, notices queues that stand still, modules that fail again and again, disks that
//! are nearly full, a configuration that was refused, and outages of the database; and sends notices of problems.
//!
//! Every node does this: what it does is harmless when it is repeated. Failed attempts, missed instants and dead nodes
//! become problems in the transactions that record them, and wake this module. A notice is written once, and sent by the
//! node that leases it.
//!
//! Settings: `daemon.report_stalled_after` (15m), `[notify.NAME]`, `notify`, `notify_on`, `notify_after` and `escalate`.
//! Logs each problem that is new to this node, and that it is over.

mod debounce;
mod digests;
mod disks;
mod host_watch;
mod parts;
mod planner;
mod sender;
mod unrecorded;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sexton_entities::{problem, states::ProblemState};

pub(super) use self::parts::NotifierParts;
use self::{
    debounce::Debounce, digests::Digests, host_watch::HostWatch, sender::ChannelRecord, unrecorded::Unrecorded,
    watch::Watch,
};
use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next, is_outage},
        state::wakers::WakeReason,
    },
    domain::{daemon::summary::SummaryTable, problem::thing, text::plural::times},
    store::ProblemFilter,
};

/// The interval between two rounds while a problem lasts.
const INTERVAL: Duration = Duration::from_secs(5);
/// The interval between two rounds while all is well, if nothing wakes it.
const IDLE_INTERVAL: Duration = Duration::from_secs(15);
/// How often it asks the database while all is well and this node notes no problem: others may have noted one, and the
/// dispatcher may be too busy to look for it.
const ASK_INTERVAL: Duration = Duration::from_secs(120);
/// The same while the dispatcher looks for problems, and nobody waits for notices.
const LOOKED_INTERVAL: Duration = Duration::from_secs(900);
/// A look of the dispatcher that is older says nothing.
const LOOK_AGE: Duration = Duration::from_secs(20);
/// For how long it asks in each round after this node has noted a problem: what notes it has to commit.
const NOTED_FOR: Duration = Duration::from_secs(30);
/// Maximum number of problems that are looked at.
const LIMIT: u64 = 1_000;
/// An outage of the database that is shorter is no problem.
const MIN_OUTAGE: Duration = Duration::from_secs(30);

pub(super) struct Notifier {
    parts: NotifierParts,
    watch: Watch,
    host: HostWatch,
    /// Since when the database is away.
    away_since: Option<Instant>,
    /// The episodes of problems that this node has logged, with what it calls them.
    logged: HashMap<(i64, i32), String>,
    channels: BTreeMap<String, ChannelRecord>,
    /// When it last asked the database, and whether there was nothing to tell or to send.
    asked: Option<(Instant, bool)>,
    /// The number of problems that this node had noted, and when that last rose.
    noted: (u64, Option<Instant>),
    debounce: Debounce,
    digests: Digests,
    unrecorded: Unrecorded,
}

#[async_trait(?Send)]
impl DaemonModule for Notifier {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(since) = self.away_since else { return Ok(()) };
        // It answers again, or the module would not be here for long.
        let now = context.store().now().await?;
        self.away_since = None;
        let length = since.elapsed();
        if length >= MIN_OUTAGE {
            watch::note_outage(context.store(), &self.parts.node, now, length).await?;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if self.debounce.waits(context.wake_reasons(), Instant::now()) {
            return Ok(());
        }
        let result = self.round(context).await;
        if result.as_ref().is_err_and(is_outage) {
            self.away_since.get_or_insert_with(Instant::now);
        }
        result
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        let interval = if self.parts.open.count() == 0 { IDLE_INTERVAL } else { INTERVAL };
        Ok(Next::After(self.debounce.rest(Instant::now()).unwrap_or(interval)))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Problems", &["Open"], "No problem is open.");
        if let count @ 1.. = self.parts.open.count() {
            table.row([count.to_string()]);
        }
        let mut channels = SummaryTable::new("Notices", &["Channel", "Sent", "Failure"], "No notice was sent.");
        for (name, record) in &self.channels {
            let failure = record.failure.clone().unwrap_or_else(|| "-".to_owned());
            channels.row([name.clone(), record.sent.to_string(), failure]);
        }
        vec![table, channels]
    }
}

impl Notifier {
    pub(super) fn new(parts: NotifierParts) -> Self {
        Self {
            parts,
            watch: Watch::default(),
            host: HostWatch::default(),
            away_since: None,
            logged: HashMap::new(),
            channels: BTreeMap::new(),
            debounce: Debounce::default(),
            digests: Digests::default(),
            unrecorded: Unrecorded::default(),
            asked: None,
            noted: (0, None),
        }
    }

    async fn round(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let store = context.store();
        let looked = self.watch.look(context, &self.parts, &self.channels).await;
        store.isolated().part("problems of queues, modules and channels", looked)?;
        let looked = self.host.look(context, &self.parts).await;
        store.isolated().part("problems of this machine", looked)?;
        if !self.has_to_ask(context) {
            return Ok(());
        }
        let filter = ProblemFilter { limit: LIMIT, ..ProblemFilter::default() };
        let mut lasting = store.problems(&filter).await?;
        if !lasting.is_empty() && store.isolated().part("the end of problems", store.close_problems().await)? > 0 {
            lasting = store.problems(&filter).await?;
        }
        self.parts.open.replace(lasting.iter());
        self.log(&lasting);
        store.isolated().part("the notices that are due", planner::write_due(context).await)?;
        store.isolated().part("the digests that are due", self.digests.write_due(context).await)?;
        sender::send_next(context, &self.parts.id, &mut self.channels, &self.unrecorded).await?;
        let is_quiet = lasting.is_empty() && (context.config().channels.is_empty() || !store.has_notices().await?);
        self.asked = Some((Instant::now(), is_quiet));
        Ok(())
    }

    /// Whether the database has to be asked in this round.
    fn has_to_ask(&mut self, context: &ModuleContext) -> bool {
        let noted = context.store().problems_noted();
        if noted != self.noted.0 {
            self.noted = (noted, Some(Instant::now()));
        }
        let is_noted = self.noted.1.is_some_and(|at| at.elapsed() < NOTED_FOR);
        let config = context.config();
        let is_heard = !config.channels.is_empty();
        let looked = self.parts.outlook.fresh(LOOK_AGE);
        let is_seen = looked.as_ref().is_some_and(|seen| seen.has_problems || is_heard && seen.has_notices);
        let usual = if looked.is_some() && !is_heard { LOOKED_INTERVAL } else { ASK_INTERVAL };
        let interval = config.module(context.name()).interval.unwrap_or(usual);
        let is_rested = self.asked.is_none_or(|(at, is_quiet)| !is_quiet || is_seen || at.elapsed() >= interval);
        let reasons = context.wake_reasons();
        is_noted
            || is_rested
            || [WakeReason::Requested, WakeReason::ProblemSeen].iter().any(|why| reasons.contains(*why))
    }

    /// Logs which problems are new, and which are over.
    fn log(&mut self, lasting: &[problem::Model]) {
        let is_over = |known: &(i64, i32)| !lasting.iter().any(|row| (row.id, row.episode) == *known);
        for (_, name) in self.logged.extract_if(|known, _| is_over(known)) {
            tracing::info!("{name} is over");
        }
        for row in lasting.iter().filter(|row| row.state == ProblemState::Open) {
            self.logged.entry((row.id, row.episode)).or_insert_with(|| {
                let name = format!("problem {} ({})", row.id, thing(row.kind, &row.name));
                tracing::warn!("{name} is open, {}: {}", times(row.times.unsigned_abs()), row.what);
                name
            });
        }
    }
}
