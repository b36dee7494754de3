//! Kind `sql`: executes statements of the configuration in one transaction. On Sexton's own database the same transaction
//! notes the result in the task, so that no later attempt executes them again.

use std::time::Duration;

use sexton_entities::json_text::JsonText;

use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    sweep::application,
    task_handler::TaskHandler,
};
use crate::{
    domain::{
        sql_task::{SqlAttempt, SqlRecord},
        task::definition::SQL,
        text::plural::counted,
    },
    store::{
        ConnectOptions, Store, StoreError,
        application::{SqlEnd, SqlFailure, SqlWork, execute},
    },
};

/// The server ends a statement this much later than the daemon.
const SERVER_GRACE: Duration = Duration::from_secs(2);

/// After this time an attempt asks the database whether the one before has committed.
const IN_DOUBT: Duration = Duration::from_secs(1);

/// Executes kind `sql`.
#[derive(Clone, Copy, Debug)]
pub struct SqlHandler;

impl TaskHandler for SqlHandler {
    const KIND: &'static str = SQL;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(spec) = context.definition().sql.clone() else {
            return Err(TaskError::discard("the definition has no statements"));
        };
        let (Some(store), Some(own)) = (context.app_data::<Store>(), context.app_data::<ConnectOptions>()) else {
            return Err(TaskError::new("this program has no database for statements"));
        };
        let is_own = spec.url.is_none();
        if is_own && let Some(result) = store.applied(context.task_id()).await.map_err(TaskError::new)? {
            context.log("an earlier attempt has executed the statements");
            context.report(|report| report.result = Some(result));
            return Ok(());
        }
        let attempt = SqlAttempt {
            name: context.name(),
            task_id: context.task_id(),
            attempt: context.attempt(),
            fence: context.fence(),
        };
        let values = spec.values(&attempt, &payload).map_err(TaskError::discard)?;
        let work = SqlWork {
            statements: &spec.statements,
            values: &values,
            max_rows: spec.max_rows,
            timeout: context.definition().timeout.map(|limit| limit + SERVER_GRACE),
        };
        let claim = is_own.then(|| (store, context.task().identity()));
        let database = application(spec.url.as_ref(), own);
        match execute(&database, &work, claim, context.cancelled()).await {
            Ok(SqlEnd::Committed(record, result)) => {
                say_what_is_left_out(&record, context);
                context.report(|report| report.result = Some(result));
                Ok(())
            }
            Ok(SqlEnd::LostClaim) => Err(TaskError::new("the statements are rolled back: this attempt lost its claim")),
            Ok(SqlEnd::Stopped) => {
                let reason = context.stop_reason().unwrap_or(StopReason::Interrupted);
                Err(TaskError::new(format!("{}: the statements are rolled back", stop_text(reason, context))))
            }
            Ok(SqlEnd::InDoubt(why)) => {
                let text = format!("the commit had no answer, and whether it took place is not known: {why}");
                // The next attempt finds out, also if it would be one too many.
                Err(if is_own { TaskError::retry_after(IN_DOUBT, text) } else { TaskError::new(text) })
            }
            Err(failure) => Err(failed(&failure)),
        }
    }
}

fn say_what_is_left_out(record: &SqlRecord, context: &TaskContext) {
    for (number, rows) in record.left_out() {
        let rows = counted(rows as usize, "row");
        context.log(format!("statement {number} returned {rows} more than the record takes"));
    }
}

/// What a failure means: a refusal would come again, everything else may pass.
fn failed(SqlFailure { statement, error }: &SqlFailure) -> TaskError {
    let text = match (statement, error) {
        (Some(number), error) => format!("statement {number}: {}", error.cause()),
        (None, StoreError::InvalidUrl(_)) => error.to_string().replace("database.url", "url"),
        (None, error) => error.to_string(),
    };
    match error {
        StoreError::Refused(_) | StoreError::InvalidUrl(_) => TaskError::discard(text),
        _ => TaskError::new(text),
    }
}
