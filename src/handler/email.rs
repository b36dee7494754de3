//! Kind `email`: fills a mail from the payload, and sends it by the settings of a channel. The same task has the same
//! `Message-ID` in each attempt.

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use serde_json::{Value, json};
use sexton_entities::json_text::JsonText;

use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    idempotency::idempotency_key,
    task_handler::TaskHandler,
};
use crate::{
    clock::machine_time,
    domain::{email::EmailSpec, task::definition::EMAIL},
    mail_client::send_one,
};

/// Executes kind `email`.
#[derive(Clone, Copy, Debug)]
pub struct EmailHandler;

impl TaskHandler for EmailHandler {
    const KIND: &'static str = EMAIL;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(spec) = context.definition().email.clone() else {
            return Err(TaskError::discard("the definition has no mail"));
        };
        let payload: Value = payload.decode().map_err(TaskError::discard)?;
        // What cannot be written cannot be written the next time either.
        let Written { message, id, recipients } = write(&spec, &payload, context).map_err(TaskError::discard)?;
        let sent = tokio::select! {
            biased;
            sent = send_one(&spec.settings.transport, spec.timeout, &message) => sent,
            () = context.cancelled() => {
                let reason = context.stop_reason().unwrap_or(StopReason::Interrupted);
                let what = "whether the mail was taken is not known";
                return Err(TaskError::new(format!("{}: {what}", stop_text(reason, context))));
            }
        };
        context.result(json!({ "message_id": id, "recipients": recipients }));
        sent.map_err(|error| if error.is_permanent { TaskError::discard(error) } else { TaskError::new(error) })
    }
}

/// A mail that is ready to be sent.
struct Written {
    message: Message,
    id: String,
    recipients: Vec<String>,
}

/// Writes the mail of an attempt.
fn write(spec: &EmailSpec, payload: &Value, context: &TaskContext) -> Result<Written, String> {
    let mailbox = |text: &str| -> Result<Mailbox, String> {
        text.parse().map_err(|error| format!("`{text}` is not a mail address: {error}"))
    };
    let named = spec.named_by(payload)?;
    let mut to = spec.to.iter().map(|text| mailbox(text)).collect::<Result<Vec<Mailbox>, _>>()?;
    for (place, address) in named.iter().enumerate() {
        let address = address.parse().map_err(|error| format!("recipient {} of the payload: {error}", place + 1))?;
        to.push(Mailbox::new(None, address));
    }
    let task = json!({ "id": context.task_id(), "name": context.name(), "attempt": context.attempt() });
    let text = spec.templates.fill(payload, &task)?;
    let from = mailbox(&spec.settings.from)?;
    let id = format!("<{}@{}>", idempotency_key(context), from.email.domain());
    let mut builder =
        Message::builder().from(from).subject(text.subject).message_id(Some(id.clone())).date(machine_time().into());
    let recipients = to.iter().map(|mailbox| mailbox.email.to_string()).collect();
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    let message = match text.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text.text, html)),
        None => builder.singlepart(SinglePart::plain(text.text)),
    };
    let mut message = message.map_err(|error| error.to_string())?;
    let name = HeaderName::new_from_ascii("Auto-Submitted".to_owned()).map_err(|error| error.to_string())?;
    message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(Written { message, id, recipients })
}
