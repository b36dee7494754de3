//! Kind `shell`: a script of the configuration, run as a command is. The payload reaches it in variables and on its
//! standard input only.

use sexton_entities::json_text::JsonText;

use super::{command::CommandHandler, context::TaskContext, error::TaskError, task_handler::TaskHandler};
use crate::domain::task::definition::SHELL;

/// Executes kind `shell`.
#[derive(Clone, Copy, Debug)]
pub struct ShellHandler;

impl TaskHandler for ShellHandler {
    const KIND: &'static str = SHELL;
    const ENDS_BY_ITSELF: bool = true;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        CommandHandler.run(payload, context).await
    }
}
