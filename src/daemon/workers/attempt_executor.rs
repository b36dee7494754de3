//! One attempt from its start to its end. Its end is in flight whatever happens to the worker that makes it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sexton_entities::states::Outcome;
use tracing::Instrument as _;

use super::attempt_log::{log_end, span_of};

use crate::{
    clock::Clock,
    daemon::{
        inflight::InFlight,
        state::{
            begun_attempts::BegunAttempts,
            command_starts::CommandStarts,
            config_in_force::ConfigInForce,
            pings::{Pings, SchedulePing},
            this_node::NodeIdentity,
        },
    },
    domain::{
        command::capture::without_nul,
        daemon::lease::OnLeaseLost,
        ping::PingSignal,
        task::{
            ClaimedTask, FinishedAttempt, Report,
            definition::TaskDefinition,
            pickups::judge_dead_node,
            snooze,
            verdict::{self, Wish},
        },
    },
    handler::{AppData, Attempt, AttemptEnd, DynHandler, TaskContext},
    shepherd::AttemptDir,
    telemetry::AttemptSpans,
};

/// Maximum delay before the next attempt, whatever a handler asks for: ten years.
const MAX_DELAY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Makes attempts: what a worker needs of the daemon.
pub(in crate::daemon) struct Executor {
    pub(in crate::daemon) node: NodeIdentity,
    pub(in crate::daemon) in_force: ConfigInForce,
    pub(in crate::daemon) in_flight: InFlight,
    pub(in crate::daemon) starts: CommandStarts,
    pub(in crate::daemon) begun: Arc<BegunAttempts>,
    pub(in crate::daemon) pings: Pings,
    pub(in crate::daemon) spans: AttemptSpans,
    pub(in crate::daemon) clock: Clock,
    pub(in crate::daemon) app_data: AppData,
}

impl Executor {
    /// Makes one attempt, and puts its end in flight for the recorder.
    pub(super) async fn execute(&self, task: ClaimedTask) {
        if self.in_flight.lease().holds_back() {
            // Other nodes may take it: it waits until the database says whose it is.
            return self.in_flight.requeue(task);
        }
        let mut guard = AttemptGuard::new(self, &task);
        let definition = self.in_force.definition_of_run(&task.name, task.schedule.as_deref());
        let handler = definition.as_ref().and_then(|definition| self.in_force.registry().get(&definition.kind));
        let enabled = definition.filter(|definition| definition.disabled.is_none());
        let (Some(definition), Some(handler)) = (enabled, handler) else {
            // A reload has removed or disabled the definition since the claim.
            tracing::debug!(
                task.id = task.claim.task_id,
                "given back: task `{}` is not defined here any more, or disabled",
                task.name
            );
            return guard.give_back();
        };
        let definition = self.in_force.with_time_limit(definition, &task.queue);
        if definition.runs_under_shepherd() && self.starts.is_open() {
            self.starts.note_given_back();
            return guard.give_back();
        }
        let (end, report) = match unfit(&task, &definition) {
            Some(end) => (end, Report::default()),
            None => {
                tracing::debug!(task.id = task.claim.task_id, task.attempt, "{} starts", task.name);
                let context = guard.begin(definition.clone(), false);
                if task.attempt <= 1 {
                    let text = || format!("task {} of schedule {} begins", task.claim.task_id, task.name);
                    self.ping(&task.name, task.schedule.as_deref(), PingSignal::Start, text);
                }
                if let Some(ignored) = &context.trace().ignored {
                    tracing::warn!(task.id = task.claim.task_id, "{}: {ignored}", task.name);
                }
                let end = Attempt { handler: &*handler, context: &context }.call().instrument(span_of(&context)).await;
                (end, context.take_report())
            }
        };
        self.conclude(guard, &definition, end, report);
    }

    /// Pings for a run of a schedule that wants it.
    fn ping(&self, name: &str, schedule: Option<&str>, signal: PingSignal, text: impl FnOnce() -> String) {
        // The schedule that the definition itself has: others of the same task have no address.
        let Some(schedule) = schedule.filter(|schedule| *schedule == name) else { return };
        if let Some(url) = self.in_force.config().tasks.get(name).and_then(|task| task.ping_url.clone()) {
            self.pings.push(SchedulePing { schedule: schedule.to_owned(), signal, url, text: text() });
        }
    }

    /// Puts the end of an attempt in flight for the recorder, or gives the task back.
    fn conclude(&self, guard: AttemptGuard<'_>, definition: &TaskDefinition, mut end: AttemptEnd, report: Report) {
        let task_id = guard.task.as_ref().map_or(0, |task| task.claim.task_id);
        if end.wish == Wish::GiveBack && end.outcome == Outcome::Interrupted {
            let why = end.error.clone().unwrap_or_default();
            if self.starts.note_failure(task_id, &why) {
                if let Some(dir) = report.attempt_dir {
                    AttemptDir::at(dir).remove();
                }
                return guard.give_back();
            }
            end.outcome = Outcome::Failed;
            end.error = Some(format!("{why}; this node can start other commands"));
        } else if definition.runs_under_shepherd() {
            self.starts.note_start(task_id);
        }
        guard.end(Some(definition.kind.clone()), definition, end, report);
    }

    /// Follows an attempt that another daemon or worker began.
    pub(in crate::daemon) async fn adopt(
        &self,
        task: ClaimedTask,
        definition: TaskDefinition,
        handler: &dyn DynHandler,
    ) {
        let mut guard = AttemptGuard::new(self, &task);
        guard.started_at = task.started_at;
        let definition = Arc::new(definition);
        let context = guard.begin(definition.clone(), true);
        let end = Attempt { handler, context: &context }.call().instrument(span_of(&context)).await;
        let report = context.take_report();
        self.conclude(guard, &definition, end, report);
    }
}

/// The end of a task that would fail every time: its payload cannot be read, or does not fit its schema.
fn unfit(task: &ClaimedTask, definition: &TaskDefinition) -> Option<AttemptEnd> {
    let unreadable = task.unreadable.as_ref().map(|why| format!("the payload cannot be read: {why}"));
    let schema = definition.payload_schema.as_ref();
    let error = unreadable.or_else(|| schema?.check(task.payload.as_ref()).err())?;
    Some(AttemptEnd { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(error) })
}

/// An attempt that is being made. If its worker is gone before its end, it is recorded as interrupted, or detached for
/// the adopter.
struct AttemptGuard<'a> {
    executor: &'a Executor,
    task: Option<ClaimedTask>,
    context: Option<Arc<TaskContext>>,
    started_at: chrono::DateTime<chrono::Utc>,
    since: Instant,
}

impl<'a> AttemptGuard<'a> {
    fn new(executor: &'a Executor, task: &ClaimedTask) -> Self {
        let started_at = executor.clock.now();
        Self { executor, task: Some(task.clone()), context: None, started_at, since: Instant::now() }
    }

    /// The attempt runs from now on.
    fn begin(&mut self, definition: Arc<TaskDefinition>, is_adopted: bool) -> Arc<TaskContext> {
        let Some(task) = self.task.clone() else { unreachable!("an attempt begins once") };
        let claim = task.claim;
        let mut context = TaskContext::new(task, definition, self.executor.app_data.clone());
        if self.executor.spans.is_on() {
            context.open_span();
        }
        let context = Arc::new(context);
        if self.executor.in_force.on_lease_lost(context.task()) == OnLeaseLost::Stop
            && let Some(grant) = self.executor.in_flight.lease().grant()
        {
            context.end_with_lease(grant);
        }
        self.executor.begun.enter(claim, &self.executor.in_flight);
        self.executor.in_flight.begin(claim, context.clone(), is_adopted);
        self.context = Some(context.clone());
        context
    }

    /// The attempt was not made, and the task is for another node, or for later.
    fn give_back(mut self) {
        if let Some(task) = self.task.take() {
            self.executor.in_flight.give_back(&task);
        }
    }

    /// The attempt has ended.
    fn end(mut self, kind: Option<String>, definition: &TaskDefinition, mut end: AttemptEnd, report: Report) {
        let Some(task) = self.task.take() else { return };
        if end.outcome == Outcome::Snoozed
            && let Some(refusal) = snooze::refusal(task.snoozes, definition.max_snoozes)
        {
            end.outcome = Outcome::Failed;
            end.error = Some(end.error.map_or_else(|| refusal.clone(), |error| format!("{refusal}: {error}")));
        }
        let took = report.took.unwrap_or_else(|| self.since.elapsed());
        let max_attempts = task.max_attempts.unwrap_or(definition.max_attempts);
        let judgement =
            verdict::judge(end.outcome, end.wish, task.attempt, max_attempts, &definition.retry, fastrand::f64());
        let finished_at = match report.took {
            Some(took) => self.started_at + chrono::TimeDelta::from_std(took).unwrap_or_default(),
            None => self.executor.clock.now(),
        };
        let finished = FinishedAttempt {
            claim: task.claim,
            name: task.name,
            kind,
            queue: task.queue,
            schedule: task.schedule,
            due_at: task.due_at,
            enqueued_at: task.enqueued_at,
            claimed_at: Some(task.started_at),
            started_at: self.started_at,
            finished_at,
            duration_ms: took.as_millis() as i64,
            node: self.executor.node.id.clone(),
            attempt: task.attempt,
            outcome: end.outcome,
            verdict: judgement.verdict,
            retry_ms: judgement.delay.min(MAX_DELAY).as_millis() as u64,
            error: end.error.map(without_nul),
            trace: self.context.as_ref().and_then(|context| context.trace().passed_on),
            payload: task.payload,
            report,
        };
        let finished = match finished.report.node_died && finished.outcome == Outcome::Interrupted {
            true => judge_dead_node(finished, task.pickups, self.executor.in_force.max_pickups(&definition.name)),
            false => finished,
        };
        if let Some(signal) = PingSignal::of_end(finished.verdict) {
            // Errors may be confidential, and the receiver is a stranger.
            let text =
                || format!("task {} of schedule {}: {}", finished.claim.task_id, finished.name, finished.outcome);
            self.executor.ping(&finished.name, finished.schedule.as_deref(), signal, text);
        }
        let is_lost = self.executor.in_flight.lease().is_lost();
        match &self.context {
            Some(context) => {
                span_of(context).in_scope(|| log_end(&finished, is_lost));
                self.executor.spans.push(context.trace(), &finished);
            }
            None => log_end(&finished, is_lost),
        }
        self.executor.in_flight.end(finished, took);
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        if self.context.as_ref().is_some_and(|context| context.outlives_worker()) {
            self.executor.in_flight.detach(task.claim);
            return;
        }
        let kind = self.context.as_ref().map(|context| context.definition().kind.clone());
        let took = self.since.elapsed();
        let now = self.executor.clock.now();
        let interrupted = task.interrupted(&self.executor.node.id, kind, "the worker was lost", now, took);
        self.executor.in_flight.end(interrupted, took);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        clock::uptime,
        config::Config,
        daemon::state::wakers::{WakeReason, Wakers},
        domain::{
            daemon::lease::Grant,
            identity::{ModuleName, QueueName},
            task::{claim::Claim, definition::COMMAND},
        },
        handler::Registry,
        shepherd::Shepherds,
    };

    /// Executes a claimed task of that name, on a node that defines only the command `it` and cannot start it.
    async fn executed(name: &str, trip: bool) -> (InFlight, Wakers) {
        let mut config = Config::default_for("sqlite::memory:");
        let it = TaskDefinition::new("it", COMMAND);
        config.tasks.insert("it".to_owned(), it.into());
        let (wakers, queue) = (Wakers::default(), QueueName::from("q"));
        let in_flight = InFlight::new("n".into(), &wakers);
        in_flight.configure(&BTreeMap::from([(queue.clone(), 1)]));
        let task = ClaimedTask { name: name.to_owned(), ..ClaimedTask::sample(7) };
        in_flight.reserve(&queue).fill(1, vec![task]);
        let task = in_flight.next(&queue, 0).expect("it is waiting");
        let shepherds = Shepherds::new("/nowhere".as_ref(), "n".into(), "/nowhere".into());
        let starts = CommandStarts::new(shepherds.clone());
        if trip {
            starts.note_failure(1, "no space");
        }
        let executor = Executor {
            node: NodeIdentity::new(&config),
            in_force: ConfigInForce::new(config, Registry::new()),
            in_flight: in_flight.clone(),
            starts,
            begun: Arc::new(BegunAttempts::new(shepherds, None)),
            pings: Pings::default(),
            spans: AttemptSpans::default(),
            clock: Clock::system(),
            app_data: AppData::default(),
        };
        in_flight.lease().renew(Grant { asked_at: uptime(), length: Duration::from_secs(60), is_alone: true });
        executor.execute(task).await;
        (in_flight, wakers)
    }

    fn is_given_back(in_flight: &InFlight, wakers: &Wakers) {
        assert!(in_flight.contains(Claim::new(7, 1)), "until it is released");
        assert!(in_flight.take_finished(9).attempts().is_empty(), "nothing is on record");
        assert!(wakers.of(&ModuleName::RECORDER).take().contains(WakeReason::Finished));
        assert_eq!(in_flight.reserve(&"q".into()).count(), 1, "its worker is free");
    }

    #[actix_rt::test]
    async fn a_task_that_a_reload_made_unknown_is_given_back() {
        let (in_flight, wakers) = executed("removed", false).await;
        is_given_back(&in_flight, &wakers);
    }

    #[actix_rt::test]
    async fn a_claimed_command_is_given_back_while_none_can_be_started() {
        let (in_flight, wakers) = executed("it", true).await;
        is_given_back(&in_flight, &wakers);
    }
}
