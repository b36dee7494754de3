//! What the database says: nodes and their modules, waiting tasks, schedules, failures, problems, its clock.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::{
    node, problem,
    states::{NodeState, ProblemKind, ProblemState},
};

use super::{
    super::{
        event,
        expected::ExpectedSchedules,
        module, problem as problems,
        schedule::place,
        selection::check_values,
        session::{OpenSession, Session, with_advice},
    },
    scope::{Scope, UnknownScope},
};
use crate::{
    clock::machine_time,
    config::Unused,
    daemon::ModuleState,
    domain::{
        check::{CheckReport, Severity, metric::Metric},
        identity::QueueName,
        schedule::{definitions::DefinitionFault, reason::shown},
        text::{duration, plural::counted},
    },
    store::{EventTroubles, HistoryFilter, HistoryOf, QueueBacklog},
};

/// Tasks that were discarded within this time count.
const LATELY: Duration = Duration::from_secs(3_600);
/// A schedule is overdue if its next instant passed longer ago.
const GRACE: TimeDelta = TimeDelta::minutes(5);
/// No node has a schedule, and none is known to have had it.
const NOT_SERVED: DefinitionFault = DefinitionFault::NotServed { node: None, last_seen_at: None };
/// Maximum number of things that one sentence names.
const MAX_NAMED: usize = 3;

/// Asks the database for everything in the scope.
///
/// # Errors
/// If the database does not answer, or the scope names what does not exist.
pub(super) async fn check(session: &Session, scope: Scope<'_>, report: &mut CheckReport) -> anyhow::Result<()> {
    let begun = Instant::now();
    let open = session.open().await?;
    let asked = machine_time();
    let now = open.store.now().await.map_err(with_advice)?;
    let round_trip = machine_time() - asked;
    let took = begun.elapsed().as_secs_f64();
    report.quietly(Metric::DatabaseTime, took, format!("the database took {took:.3} s to answer"));
    if !open.mistakes.is_empty() {
        let count = counted(open.mistakes.0.len(), "mistake");
        report.find(Severity::Warning, format!("the configuration has {count}, see `sexton config check`"));
    }
    check_scope(session, &open, scope).await?;
    let halt = open.store.halt().await.map_err(with_advice)?;
    if halt.pause.is_some() {
        report.find(Severity::Warning, "everything is paused");
    }
    if let Some(maintenance) = &halt.maintenance {
        let until = maintenance.ends_at.map(|at| format!(" until {}", shown(at))).unwrap_or_default();
        let reason = maintenance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        report.find(Severity::Warning, format!("maintenance is on{until}{reason}"));
    }
    let is_paused = halt.is_in_force();
    let view = View { open: &open, scope, now, is_paused };
    view.nodes(report).await?;
    view.load(report).await?;
    view.schedules(report).await?;
    view.history(report).await?;
    view.problems(report).await?;
    view.events(report).await?;
    if matches!(scope, Scope::Everything) && open.store.database() != "sqlite" {
        let ahead = (asked + round_trip / 2 - now).as_seconds_f64();
        let how = if ahead < 0.0 { "behind" } else { "ahead of" };
        let text = format!("the clock of this machine is {:.1} s {how} that of the database", ahead.abs());
        report.quietly(Metric::ClockDifference, ahead, text);
    }
    Ok(())
}

/// Checks that there is what the scope names.
async fn check_scope(session: &Session, open: &OpenSession, scope: Scope<'_>) -> anyhow::Result<()> {
    let mut filter = HistoryFilter::default();
    match scope {
        Scope::Queue(name) => filter.queue = Some(name.into()),
        Scope::Schedule(name) => filter.schedule = Some(name.to_owned()),
        Scope::Task(name) => filter.name = Some(name.to_owned()),
        Scope::Node(_) | Scope::Everything => return Ok(()),
    }
    let checked = check_values(session, open, &filter).await;
    checked.map_err(
        |error| if error.is::<crate::store::StoreError>() { error } else { UnknownScope(error.to_string()).into() },
    )
}

/// What the parts of a check share.
struct View<'a> {
    open: &'a OpenSession,
    scope: Scope<'a>,
    /// Database time.
    now: DateTime<Utc>,
    /// Whether everything is paused, or a maintenance is in force.
    is_paused: bool,
}

impl View<'_> {
    async fn nodes(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        let nodes = self.open.store.nodes().await.map_err(with_advice)?;
        let is_alive = |node: &&node::Model| node.lease_expires_at >= self.now;
        match self.scope {
            Scope::Everything => {
                let live: Vec<&node::Model> = nodes.iter().filter(is_alive).collect();
                report.measure(Metric::Nodes, live.len() as f64, counted(live.len(), "node"));
                for dead in nodes.iter().filter(|node| !is_alive(node)) {
                    report.find(Severity::Warning, format!("node {} has lost its lease", dead.name));
                }
                for node in live {
                    self.node(node, report);
                }
            }
            Scope::Node(name) => {
                let mut found: Vec<&node::Model> =
                    nodes.iter().filter(|node| node.name == name || node.id == name).collect();
                // A node that was restarted may still have the row of its predecessor.
                found.sort_by_key(|node| std::cmp::Reverse(node.heartbeat_at));
                let Some(node) = found.first() else {
                    report.find(Severity::Critical, format!("no node {name} is running"));
                    return Ok(());
                };
                let age = (self.now - node.heartbeat_at).as_seconds_f64().max(0.0);
                report.measure(Metric::Heartbeat, age, format!("node {name}: latest heartbeat {age:.1} s ago"));
                if !is_alive(node) {
                    report.find(Severity::Critical, format!("node {name} has lost its lease"));
                }
                self.node(node, report);
            }
            Scope::Queue(_) | Scope::Schedule(_) | Scope::Task(_) => {}
        }
        Ok(())
    }

    /// What a node says about itself.
    fn node(&self, node: &node::Model, report: &mut CheckReport) {
        if node.state != NodeState::Running {
            report.find(Severity::Warning, format!("node {} claims nothing: it is {}", node.name, node.state));
        }
        for module in module::of_heartbeat(node) {
            if let Some(trouble) = module.trouble() {
                let is_down = module.state == ModuleState::Failed;
                let state = if is_down { Severity::Critical } else { Severity::Warning };
                report.find(state, format!("module {trouble} (node {})", node.name));
            }
        }
    }

    /// Waiting and running tasks. Those in queues that are paused or closed wait by intention.
    async fn load(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        let task = match self.scope {
            Scope::Task(name) => Some(name),
            Scope::Everything | Scope::Queue(_) => None,
            Scope::Schedule(_) | Scope::Node(_) => return Ok(()),
        };
        let mut load = self.open.store.load(task).await.map_err(with_advice)?;
        if let Scope::Queue(name) = self.scope {
            load.retain(|queue| &*queue.queue == name);
        }
        let held = self.held_queues(report).await?;
        let is_free = |queue: &&QueueBacklog| !self.is_paused && !held.contains(&queue.queue);
        let (running, waiting): (i64, i64) =
            load.iter().fold((0, 0), |sum, queue| (sum.0 + queue.running, sum.1 + queue.waiting));
        report.measure(Metric::Running, running as f64, format!("{running} running"));
        report.measure(Metric::Waiting, waiting as f64, format!("{waiting} waiting"));
        let oldest =
            load.iter().filter(is_free).filter_map(|queue| Some((queue.oldest?, queue))).min_by_key(|(at, _)| *at);
        let age = oldest.map_or(0.0, |(at, _)| (self.now - at).as_seconds_f64().max(0.0));
        let text = oldest.map(|(_, queue)| {
            let place =
                if queue.queue.is_empty() { "without a queue".to_owned() } else { format!("in queue {}", queue.queue) };
            format!("the oldest task {place} has waited for {}", duration::text(Duration::from_secs(age as u64)))
        });
        report.quietly(Metric::OldestWaiting, age, text.unwrap_or_default());
        Ok(())
    }

    /// The queues that are paused, or outside their period.
    async fn held_queues(&self, report: &mut CheckReport) -> anyhow::Result<HashSet<QueueName>> {
        let config = &self.open.config;
        let mut held: HashSet<QueueName> = HashSet::new();
        for queue in self.open.store.queues(&[]).await.map_err(with_advice)? {
            if queue.paused {
                if matches!(self.scope, Scope::Queue(name) if &*queue.name == name) {
                    report.find(Severity::Warning, format!("queue {} is paused", queue.name));
                }
                held.insert(queue.name);
            }
        }
        for (name, queue) in &config.queues {
            let period = queue.period.as_ref().and_then(|period| config.periods.get(period));
            if period.is_some_and(|period| period.outside_in_words(self.now).is_some()) {
                held.insert(name.clone());
            }
        }
        Ok(held)
    }

    /// Schedules of this configuration whose next instant has passed, and nobody has fired it.
    async fn schedules(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        let only = match self.scope {
            Scope::Everything => None,
            Scope::Schedule(name) => Some(name),
            Scope::Queue(_) | Scope::Task(_) | Scope::Node(_) => return Ok(()),
        };
        let config = &self.open.config;
        let configured: HashSet<&str> = config.schedules().map(|schedule| schedule.name.as_str()).collect();
        let rows = self.open.store.schedules().await.map_err(with_advice)?;
        let (mut overdue, mut late) = (Vec::new(), HashSet::new());
        for row in rows.iter().filter(|row| only.map_or(configured.contains(&*row.name), |only| only == row.name)) {
            if row.paused {
                if only.is_some() {
                    report.find(Severity::Warning, format!("schedule {} is paused", row.name));
                }
                continue;
            }
            if let Some(next) = row.next_at
                && !self.is_paused
                && !config.is_silent(&row.name)
                && next < self.now - GRACE
                && place(config, &row.name, next).is_empty()
            {
                let behind = Duration::from_secs((self.now - next).num_seconds().unsigned_abs());
                overdue.push(format!("{} for {}", row.name, duration::text(behind)));
                late.insert(row.name.as_str());
            }
        }
        let expected = ExpectedSchedules::load(self.open).await?;
        let is_meant = |name: &str| only.is_none_or(|only| only == name);
        for (name, since) in expected.all_overdue().filter(|(name, _)| is_meant(name) && !late.contains(*name)) {
            overdue.push(format!("{name} (a success was expected by {})", shown(since)));
        }
        let faults = expected.faults().filter(|(name, _)| only.is_none_or(|only| only == *name));
        // Of a schedule that an earlier version left behind, nobody knows whether it is still wanted.
        let faults: Vec<String> = faults
            .filter(|(_, fault)| only.is_some() || **fault != NOT_SERVED)
            .map(|(name, fault)| fault.sentence(name))
            .collect();
        if !faults.is_empty() {
            report.find(Severity::Warning, named(&faults));
        }
        for (name, unused) in config.unused_schedules.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
            if unused.cause == Unused::Mistake {
                let finding = format!("schedule {name} of the database is not in force: {}", unused.why);
                report.find(Severity::Warning, finding);
            }
        }
        let count = counted(overdue.len(), "schedule");
        report.quietly(Metric::Overdue, overdue.len() as f64, format!("{count} overdue: {}", named(&overdue)));
        Ok(())
    }

    /// What ended lately.
    async fn history(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        let of = match self.scope {
            Scope::Everything => HistoryOf::All,
            Scope::Queue(name) => HistoryOf::Queue(name),
            Scope::Schedule(name) => HistoryOf::Schedule(name),
            Scope::Task(name) => HistoryOf::Task(name),
            Scope::Node(_) => return Ok(()),
        };
        let discarded = self.open.store.discarded(LATELY, of).await.map_err(with_advice)?;
        let tasks = counted(discarded.unsigned_abs(), "task");
        report.quietly(Metric::Discarded, discarded as f64, format!("{tasks} discarded within the last hour"));
        if !matches!(self.scope, Scope::Schedule(_) | Scope::Task(_)) {
            return Ok(());
        }
        match self.open.store.last_success(of).await.map_err(with_advice)? {
            Some(at) => {
                let age = (self.now - at).as_seconds_f64().max(0.0);
                let words = duration::text(Duration::from_secs(age as u64));
                report.measure(Metric::LastSuccess, age, format!("the latest success was {words} ago"));
            }
            None => {
                let limits = report.thresholds.of(Metric::LastSuccess);
                let state = match (limits.critical, limits.warning) {
                    (Some(_), _) => Severity::Critical,
                    (None, Some(_)) => Severity::Warning,
                    (None, None) => Severity::Ok,
                };
                report.find(state, "no attempt in the history has succeeded");
            }
        }
        Ok(())
    }

    /// Events that wait for long, or of which no task could be made. One that nobody takes may be meant so.
    async fn events(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        if !matches!(self.scope, Scope::Everything) {
            return Ok(());
        }
        let found = self.open.store.event_troubles().await.map_err(with_advice)?;
        for sentence in event::troubles(&EventTroubles { untaken: 0, ..found }) {
            report.find(Severity::Warning, sentence);
        }
        for sentence in event::troubles(&EventTroubles { untaken: found.untaken, ..EventTroubles::default() }) {
            report.find(Severity::Ok, sentence);
        }
        Ok(())
    }

    async fn problems(&self, report: &mut CheckReport) -> anyhow::Result<()> {
        let open = problems::open(self.open).await?;
        let open: Vec<&problem::Model> =
            open.iter().filter(|row| row.state == ProblemState::Open && self.concerns(row)).collect();
        let words: Vec<String> =
            open.iter().map(|row| format!("{} {}: {}", row.id, problems::of(row.kind, &row.name), row.what)).collect();
        let count = counted(open.len(), "open problem");
        report.quietly(Metric::Problems, open.len() as f64, format!("{count}: {}", named(&words)));
        Ok(())
    }

    /// Whether a problem belongs to what is checked.
    fn concerns(&self, row: &problem::Model) -> bool {
        let is = |column: &Option<String>, name: &str| column.as_deref() == Some(name);
        let of = |kind, name: &str| row.kind == kind && row.name == name;
        match self.scope {
            Scope::Everything => true,
            Scope::Queue(name) => is(&row.queue, name) || of(ProblemKind::Queue, name),
            Scope::Schedule(name) => {
                is(&row.schedule, name) || of(ProblemKind::Schedule, name) || of(ProblemKind::Overdue, name)
            }
            Scope::Task(name) => is(&row.task, name) || of(ProblemKind::Task, name),
            Scope::Node(name) => is(&row.node, name) || of(ProblemKind::Node, name),
        }
    }
}

/// The first few, and how many more there are.
fn named(all: &[String]) -> String {
    let more = all.len().saturating_sub(MAX_NAMED);
    let first = all.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first}, and {more} more") } else { first }
}
