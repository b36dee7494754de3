//! `sexton task cancel` and `retry`: of tasks by their ids, or of all that filters select.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget, TaskState, Verdict};

use super::{
    lookup,
    output::Printer,
    selection::{FILTERS, SelectionArgs, check_values},
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::{identity::QueueName, task::NewTask, text::plural::counted},
    store::{
        CancelResult, Deed, Enqueued, FinishedSelection, HistoryFilter, Store, TaskSelection, Wakeup, in_portions,
    },
};

#[derive(Args)]
pub(super) struct CancelArgs {
    /// The tasks' ids
    #[arg(required_unless_present_any = FILTERS, conflicts_with_all = FILTERS)]
    ids: Vec<i64>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Only say how many tasks are selected
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct RetryArgs {
    /// The tasks' ids
    #[arg(required_unless_present_any = RETRY_FILTERS, conflicts_with_all = RETRY_FILTERS)]
    ids: Vec<i64>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Discarded tasks, as new tasks; without it, tasks that wait for their next attempt
    #[arg(long, conflicts_with = "state")]
    discarded: bool,
    /// Only say how many tasks are selected
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

const RETRY_FILTERS: [&str; 6] = ["name", "queue", "state", "schedule", "since", "discarded"];

/// Tasks that the database refuses to change, and its answer to the first of them.
#[derive(Default)]
struct RefusedTasks {
    count: usize,
    first: Option<(i64, String)>,
}

impl RefusedTasks {
    fn add(&mut self, refused: Vec<(&i64, String)>) {
        self.count += refused.len();
        self.first = self.first.take().or_else(|| refused.into_iter().next().map(|(id, why)| (*id, why)));
    }

    fn words(&self) -> String {
        match &self.first {
            Some((id, why)) => format!("; the database refuses {}, first {id}: {why}", counted(self.count, "task")),
            None => String::new(),
        }
    }
}

pub(super) async fn cancel(
    session: &Session,
    open: &OpenSession,
    output: Printer,
    args: &CancelArgs,
) -> anyhow::Result<u8> {
    let store = open.because(&args.reason);
    if !args.ids.is_empty() {
        return cancel_ids(open, &store, output, &args.ids).await;
    }
    let selection = args.selection.selection(open, output).await?;
    let counts = checked_counts(session, open, &selection).await?;
    if args.dry_run {
        let running = counts.get(TaskState::Running.as_str()).copied().unwrap_or(0);
        let waiting = counts.values().sum::<u64>() - running;
        let sentence =
            format!("{} would be cancelled: {waiting} waiting, {running} running", counted(waiting + running, "task"));
        output.report(&sentence, &json!({ "dry_run": true, "waiting": waiting, "running": running }))?;
        return Ok(0);
    }
    cancel_selected(open, &store, output, &selection).await
}

/// Cancels all tasks that are selected.
pub(super) async fn cancel_selected(
    open: &OpenSession,
    store: &Store,
    output: Printer,
    selection: &TaskSelection,
) -> anyhow::Result<u8> {
    let (mut cancelled, mut requested, mut left) = (0, 0, 0);
    let mut refused = RefusedTasks::default();
    let mut selected = store.selected(selection).await.map_err(with_advice)?;
    loop {
        let so_far = || stopped_after(cancelled + requested);
        let ids = selected.next().await.with_context(so_far)?;
        if ids.is_empty() {
            break;
        }
        let work = async |portion: &[i64]| store.cancel_all(portion, selection).await;
        let results = in_portions([&ids[..]], work).await.with_context(so_far)?;
        for (_, result) in results.done.into_iter().flatten() {
            match result {
                CancelResult::Cancelled => cancelled += 1,
                CancelResult::Requested => requested += 1,
                CancelResult::NotThere => left += 1,
            }
        }
        refused.add(results.refused);
    }
    if requested > 0 {
        open.client.wake_up_now(Wakeup::Cancel).await?;
    }
    let running =
        if requested > 0 { format!("; {requested} running: their nodes will stop them") } else { String::new() };
    let sentence = format!("{} cancelled{running}{}{}", counted(cancelled, "task"), left_words(left), refused.words());
    let object = json!({ "cancelled": cancelled, "requested": requested, "left": left, "refused": refused.count });
    output.report(&sentence, &object)?;
    Ok(u8::from(refused.count > 0))
}

/// What was done when the database failed. The portion in which it failed is done as a whole, or not at all.
fn stopped_after(done: usize) -> String {
    format!("the command stopped after {}; call it again for the rest", counted(done, "task"))
}

fn left_words(left: usize) -> String {
    if left > 0 { format!("; {left} left, because they began or ended meanwhile") } else { String::new() }
}

/// The number of selected tasks by state. A filter that selects nothing because its value is unknown is an error.
async fn checked_counts(
    session: &Session,
    open: &OpenSession,
    selection: &TaskSelection,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let counts = open.store.count_selected(selection).await.map_err(with_advice)?;
    if counts.is_empty() {
        let TaskSelection { name, queue, schedule, .. } = selection.clone();
        check_values(session, open, &HistoryFilter { name, queue, schedule, ..HistoryFilter::default() }).await?;
    }
    Ok(counts)
}

async fn cancel_ids(open: &OpenSession, store: &Store, output: Printer, ids: &[i64]) -> anyhow::Result<u8> {
    let mut failed = 0;
    for id in ids {
        let (sentence, result) = match store.cancel(*id).await.map_err(with_advice)? {
            CancelResult::Cancelled => (format!("task {id} is cancelled"), "cancelled"),
            CancelResult::Requested => {
                open.client.wake_up_now(Wakeup::Cancel).await?;
                (format!("task {id} is running; its node will stop it"), "requested")
            }
            CancelResult::NotThere => {
                failed = 1;
                (format!("there is no unfinished task {id}"), "not_there")
            }
        };
        output.report(&sentence, &json!({ "id": id, "result": result }))?;
    }
    Ok(failed)
}

pub(super) async fn retry(
    session: &Session,
    open: &OpenSession,
    output: Printer,
    args: &RetryArgs,
) -> anyhow::Result<u8> {
    let store = open.because(&args.reason);
    if !args.ids.is_empty() {
        return retry_ids(open, &store, output, args).await;
    }
    let selection = args.selection.selection(open, output).await?;
    if args.discarded {
        return retry_discarded(session, open, &store, output, args, selection).await;
    }
    let wanted = args.selection.state.unwrap_or(TaskState::Retryable);
    if matches!(wanted, TaskState::Available | TaskState::Running) {
        anyhow::bail!("--state {wanted}: such a task needs no retry; retryable, scheduled and waiting ones wait");
    }
    let everything = TaskSelection { states: Vec::new(), ..selection.clone() };
    let mut counts = checked_counts(session, open, &everything).await?;
    let count = counts.remove(wanted.as_str()).unwrap_or(0);
    let selection = TaskSelection { states: vec![wanted], ..selection };
    let others: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let others = if others.is_empty() { String::new() } else { format!("; left as they are: {}", others.join(", ")) };
    if args.dry_run {
        let sentence = format!("{} would be available at once{others}", counted(count, &format!("{wanted} task")));
        output.report(&sentence, &json!({ "dry_run": true, "available": count, "others": counts }))?;
        return Ok(0);
    }
    let (mut available, mut left) = (0, 0);
    let mut refused = RefusedTasks::default();
    let mut selected = store.selected(&selection).await.map_err(with_advice)?;
    loop {
        let so_far = || stopped_after(available);
        let ids = selected.next().await.with_context(so_far)?;
        if ids.is_empty() {
            break;
        }
        let work = async |portion: &[i64]| store.run_all_now(portion, &selection).await;
        let results = in_portions([&ids[..]], work).await.with_context(so_far)?;
        let changed = results.done.iter().map(Vec::len).sum::<usize>();
        available += changed;
        left += ids.len() - changed - results.refused.len();
        refused.add(results.refused);
    }
    open.client.wake_up_now(Wakeup::Now).await?;
    let sentence = format!(
        "{} available now{}{others}{}",
        counted(available, &format!("{wanted} task")),
        left_words(left),
        refused.words()
    );
    let object = json!({ "available": available, "left": left, "others": counts, "refused": refused.count });
    output.report(&sentence, &object)?;
    Ok(u8::from(refused.count > 0))
}

/// Enqueues discarded tasks again, each once.
async fn retry_discarded(
    session: &Session,
    open: &OpenSession,
    store: &Store,
    output: Printer,
    args: &RetryArgs,
    selection: TaskSelection,
) -> anyhow::Result<u8> {
    let TaskSelection { name, queue, schedule, since, .. } = selection;
    let filter = HistoryFilter {
        name: name.clone(),
        queue: queue.clone(),
        schedule: schedule.clone(),
        ..HistoryFilter::default()
    };
    let selection = FinishedSelection { verdict: Verdict::Discarded, name, queue, schedule, since, group: None };
    let retried = retry_selected(open, store, &selection, args.dry_run).await?;
    let (refused, words) = retried.refused();
    let Retried { found, enqueued, before, .. } = retried;
    if found == 0 {
        check_values(session, open, &filter).await?;
    }
    let retried = if before > 0 { format!("; {before} left, because they were retried before") } else { String::new() };
    if args.dry_run {
        let count = found - before;
        let sentence = format!("{} would be enqueued again{retried}", counted(count, "discarded task"));
        output.report(&sentence, &json!({ "dry_run": true, "enqueued": count, "retried_before": before }))?;
        return Ok(0);
    }
    open.client.wake_up_now(Wakeup::Now).await?;
    let sentence = format!("{} enqueued again{retried}{words}", counted(enqueued, "discarded task"));
    let object = json!({ "enqueued": enqueued, "retried_before": before, "refused": refused });
    output.report(&sentence, &object)?;
    Ok(u8::from(refused > 0))
}

/// What a retry of finished tasks did.
#[derive(Default)]
pub(super) struct Retried {
    /// The number of tasks that were selected.
    pub(super) found: usize,
    /// The number of new tasks.
    pub(super) enqueued: usize,
    /// The number of those that were retried before.
    pub(super) before: usize,
    /// Those that the database refuses.
    refused: RefusedTasks,
    /// Those that the definition refuses as it is now.
    unfit: RefusedTasks,
}

impl Retried {
    /// The number of those that are refused, and a sentence part about them.
    pub(super) fn refused(&self) -> (usize, String) {
        let unfit = match &self.unfit.first {
            Some((id, why)) => {
                format!("; {} left that the definition refuses, first {id}: {why}", counted(self.unfit.count, "task"))
            }
            None => String::new(),
        };
        (self.refused.count + self.unfit.count, unfit + &self.refused.words())
    }
}

/// Enqueues finished tasks again, each once. With `is_dry`, it only counts them.
pub(super) async fn retry_selected(
    open: &OpenSession,
    store: &Store,
    selection: &FinishedSelection,
    is_dry: bool,
) -> anyhow::Result<Retried> {
    let mut retried = Retried::default();
    let mut finished = store.finished(selection).await.map_err(with_advice)?;
    loop {
        let enqueued = retried.enqueued;
        let so_far = || stopped_after(enqueued);
        let ids = finished.next().await.with_context(so_far)?;
        if ids.is_empty() {
            return Ok(retried);
        }
        retried.found += ids.len();
        if is_dry {
            retried.before += store.count_retried(&ids).await.with_context(so_far)?;
            continue;
        }
        let mut rows = Vec::new();
        for row in store.history_rows(&ids).await.with_context(so_far)? {
            match open.client.checked(again(&row)) {
                Ok(task) => rows.push((row, task)),
                Err(why) => retried.unfit.add(vec![(&row.task_id.unwrap_or_default(), why.to_string())]),
            }
        }
        let work = async |portion: &[_]| store.retry_finished(portion).await;
        let results = in_portions([&rows[..]], work).await.with_context(so_far)?;
        let done = results.done.iter().sum::<u64>() as usize;
        retried.enqueued += done;
        retried.before += rows.len() - done - results.refused.len();
        let numbers: Vec<(i64, String)> =
            results.refused.into_iter().map(|((row, _), why)| (row.task_id.unwrap_or_default(), why)).collect();
        retried.refused.add(numbers.iter().map(|(id, why)| (id, why.clone())).collect());
    }
}

/// A new task like the finished one.
pub(super) fn again(row: &sexton_entities::history::Model) -> NewTask {
    let queue = row.queue.clone().map(QueueName::from);
    NewTask {
        payload: row.payload.clone(),
        queue,
        traceparent: row.traceparent.clone(),
        group: row.group_name.clone(),
        ..NewTask::new(row.name.clone())
    }
}

async fn retry_ids(open: &OpenSession, store: &Store, output: Printer, args: &RetryArgs) -> anyhow::Result<u8> {
    let mut failed = 0;
    for id in &args.ids {
        // First, because it needs nothing of the task but its number.
        let is_available = store.run_now(*id).await.map_err(with_advice)?;
        let (sentence, object) = if is_available {
            (format!("task {id} is available now"), json!({ "id": id, "new": false }))
        } else if let Some(task) = store.task(*id).await.map_err(with_advice)? {
            (format!("task {id} is already {}", task.state), json!({ "id": id, "new": false }))
        } else if let Some(last) = open.attempts(*id).await?.pop() {
            let deed = Deed::new(AuditAction::Retry, AuditTarget::Task, last.name.as_str()).of_task(*id);
            let deed = deed.from_to(json!({ "verdict": last.verdict }), None);
            match open.client.checked(again(&last)) {
                Ok(task) => {
                    let enqueued = open.enqueue(task, &deed, &args.reason).await?;
                    let (Enqueued::New(new) | Enqueued::AlreadyThere(new)) = enqueued;
                    let sentence = format!("task {id} was finished; it is enqueued again as task {new}");
                    (sentence, json!({ "id": new, "new": true }))
                }
                Err(why) => {
                    failed = 1;
                    let object = json!({ "id": id, "new": false, "refused": why.to_string() });
                    (format!("task {id} is not enqueued again: {why}"), object)
                }
            }
        } else {
            failed = 1;
            (lookup::unknown_task(*id), json!({ "id": id, "new": false }))
        };
        output.report(&sentence, &object)?;
    }
    open.client.wake_up_now(Wakeup::Now).await?;
    Ok(failed)
}
