//! Kind `sweep`: reads rows of the application's database, and enqueues a task of each, or of each batch. The tasks of a round
//! are entered in one transaction, which also notes that it was done: a round is entered once, whatever dies.

use std::time::Duration;

use sexton_client::client::Client;
use sexton_entities::json_text::JsonText;

use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::TaskHandler,
};
use crate::{
    domain::{
        command::capture::Kept,
        notice::channel::Secret,
        sweep::{RowFault, SweepSpec, check_size},
        task::{NewTask, definition::SWEEP},
        text::plural::counted,
    },
    store::{
        ConnectOptions, Store, StoreError, SweepRules, Wakeup,
        application::{ApplicationQuery, SelectedRows, select},
    },
};

/// The server ends a statement this much later than the daemon.
const SERVER_GRACE: Duration = Duration::from_secs(2);
/// The limit for the server, if the task has none.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How many rows without a task are named in the output of an attempt.
const MAX_NAMED: usize = 50;

/// Executes kind `sweep`.
#[derive(Clone, Copy, Debug)]
pub struct SweepHandler;

impl TaskHandler for SweepHandler {
    const KIND: &'static str = SWEEP;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(spec) = context.definition().sweep.clone() else {
            return Err(TaskError::discard("the definition is no sweep"));
        };
        let (Some(store), Some(client), Some(own)) =
            (context.app_data::<Store>(), context.app_data::<Client>(), context.app_data::<ConnectOptions>())
        else {
            return Err(TaskError::new("this program has no database for sweeps"));
        };
        if let Some(result) = store.applied(context.task_id()).await.map_err(TaskError::new)? {
            context.log("an earlier attempt has entered the tasks of this round");
            context.report(|report| report.result = Some(result));
            return Ok(());
        }
        let selected = read(&spec, own, &payload, context).await?;
        let fits = |task: &NewTask| {
            check_size(task, store.max_payload())?;
            client.checked(task.clone()).map(|_| ()).map_err(|error| error.to_string())
        };
        let rules = SweepRules { name: context.name(), spec: &spec, fill: &|task| client.filled_in(task), fits: &fits };
        let round = spec.round(context.name(), selected.rows, selected.has_more, fits);
        let entered = store.enter_round(&rules, &round, context.task().identity()).await.map_err(TaskError::new)?;
        let Some(entered) = entered else {
            return Err(TaskError::new("the tasks of this round are not entered: this attempt lost its claim"));
        };
        if entered.tasks > 0 {
            client.wake_up(Wakeup::Anything);
        }
        report_faults(store, context, &entered.faults);
        context.report(|report| report.result = Some(entered.result));
        Ok(())
    }
}

/// Reads the rows of a round.
async fn read(
    spec: &SweepSpec,
    own: &ConnectOptions,
    payload: &JsonText,
    context: &TaskContext,
) -> Result<SelectedRows, TaskError> {
    let values = spec.bind.values(context.name(), Some(payload)).map_err(TaskError::discard)?;
    let limit = context.definition().timeout.map_or(NO_LIMIT, |limit| limit + SERVER_GRACE);
    let query =
        ApplicationQuery { select: &spec.select, values: &values, key: &spec.key, limit: spec.limit, timeout: limit };
    let database = application(spec.url.as_ref(), own);
    let selected = tokio::select! {
        biased;
        selected = select(&database, &query) => selected,
        () = context.cancelled() => {
            let reason = context.stop_reason().unwrap_or(StopReason::Interrupted);
            return Err(TaskError::new(format!("{}: no task was enqueued", stop_text(reason, context))));
        }
    };
    selected.map_err(|error| match &error {
        // The next attempt would end alike.
        StoreError::Refused(why) => TaskError::discard(format!("the database refused the SELECT: {why}")),
        StoreError::ReadOnly(_) => {
            TaskError::discard(format!("the SELECT writes, and a sweep only reads: {}", error.cause()))
        }
        StoreError::InvalidUrl(_) => TaskError::discard(error.to_string().replace("database.url", "url")),
        error => TaskError::new(error),
    })
}

/// The database of an application; the daemon's own without a URL.
pub fn application(url: Option<&Secret>, own: &ConnectOptions) -> ConnectOptions {
    match url {
        Some(Secret(url)) => {
            ConnectOptions { acquire_timeout: own.acquire_timeout, ..ConnectOptions::new(url.clone()) }
        }
        None => own.clone(),
    }
}

/// Names the rows of which no task was made: each in the output, and in the log once.
fn report_faults(store: &Store, context: &TaskContext, faults: &[RowFault]) {
    let Some(first) = faults.first() else {
        store.isolated().forget(isolated(context));
        return;
    };
    let mut named = Kept::default();
    for fault in faults.iter().take(MAX_NAMED) {
        named.add_line(&fault.to_string());
    }
    if faults.len() > MAX_NAMED {
        named.add_line(&format!("and {} more", counted(faults.len() - MAX_NAMED, "row")));
    }
    context.report(|report| report.stdout.join(named));
    let more =
        if faults.len() > 1 { format!(" and {}", counted(faults.len() - 1, "further row")) } else { String::new() };
    store.isolated().note(isolated(context), format!("no task can be made of {first}{more}"));
}

fn isolated(context: &TaskContext) -> String {
    format!("sweep {}", context.name())
}
