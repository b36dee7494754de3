//! Kind `http`: sends a request, and judges the answer. The same task has the same idempotency key in each attempt.

mod exchange;
mod request;

use std::{sync::Arc, time::Duration};

use sexton_entities::json_text::JsonText;

use self::{
    exchange::{Received, exchange},
    request::Prepared,
};
use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::TaskHandler,
};
use crate::domain::{
    command::capture::Kept,
    http::HttpSpec,
    task::{definition::HTTP, verdict::Wish},
    text::duration,
};

/// The time limit of a request whose task has none.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of an answer's body is on record, in bytes.
const KEPT_BODY: usize = 1024;

/// Executes kind `http`.
#[derive(Clone, Copy, Debug)]
pub struct HttpHandler;

impl TaskHandler for HttpHandler {
    const KIND: &'static str = HTTP;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(spec) = context.definition().http.clone() else {
            return Err(TaskError::discard("the definition has no request"));
        };
        let prepared = Prepared::new(&spec, &payload, context).map_err(TaskError::discard)?;
        let host = prepared.host();
        let limit = if context.definition().timeout.is_some() || context.definition().is_unlimited {
            None
        } else {
            Some(TIMEOUT)
        };
        let late = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let received = tokio::select! {
            biased;
            received = exchange(&spec, prepared) => received,
            () = context.cancelled() => {
                let reason = context.stop_reason().unwrap_or(StopReason::Interrupted);
                let what = "the request was dropped, and what the server made of it is not known";
                return Err(TaskError::new(format!("{}: {what}", stop_text(reason, context))));
            }
            () = late => return Err(TaskError::new(format!("{host}: no answer within {}", duration::text(TIMEOUT)))),
        };
        let received = received.map_err(|error| TaskError::new(format!("{host}: {error}")))?;
        conclude(&spec, &host, received, context)
    }
}

/// Puts the answer on record, and judges it.
fn conclude(spec: &Arc<HttpSpec>, host: &str, received: Received, context: &TaskContext) -> Result<(), TaskError> {
    context.result(serde_json::json!({ "status": received.answer.status }));
    context.report(|report| report.stdout = kept(&received, spec.max_response));
    let judged = received.answer.judge(&spec.success_codes);
    if judged.is_ok() && received.body.len() as u64 > spec.max_response {
        let (words, most) = (received.answer.words(), spec.max_response);
        let error = format!("{host}: the server answered {words}, with more than {most} bytes (max_response)");
        return Err(TaskError::new(error));
    }
    judged.map_err(|failure| {
        let error = format!("{host}: {}", failure.error);
        match failure.wish {
            Wish::Discard => TaskError::discard(error),
            Wish::NotBefore(delay) => TaskError::not_before(delay, error),
            _ => TaskError::new(error),
        }
    })
}

/// The status and the first bytes of the body.
fn kept(received: &Received, max_response: u64) -> Kept {
    let end = received.body.len().min(KEPT_BODY);
    let text = String::from_utf8_lossy(&received.body[..end]);
    let mut kept = Kept { text: format!("HTTP {}\n", received.answer.words()), ..Kept::default() };
    if !text.is_empty() {
        kept.text += &format!("\n{text}");
    }
    if received.body.len() > end {
        kept.truncated = true;
        let or_more = if received.body.len() as u64 > max_response { " or more" } else { "" };
        kept.add_line(&format!("sexton: {}{or_more} further bytes are left out", received.body.len() - end));
    }
    kept
}
