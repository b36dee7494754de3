//! Which ended attempts have their output mailed, and to which channels.

use crate::{
    config::Config,
    domain::{notice::output, task::FinishedAttempt},
    store::OutputNotice,
};

/// Maximum number of characters of a command in a mail.
const MAX_COMMAND: usize = 200;

/// The mails with the output of a batch of attempts.
pub(super) fn output_mails(config: &Config, batch: &[FinishedAttempt]) -> Vec<OutputNotice> {
    if !config.mails_output() {
        return Vec::new();
    }
    batch.iter().flat_map(|attempt| of_attempt(config, attempt)).collect()
}

fn of_attempt(config: &Config, attempt: &FinishedAttempt) -> Vec<OutputNotice> {
    let (wanted, channels) = config.mail_output_of(&attempt.name, &attempt.queue);
    if !output::is_wanted(wanted, attempt) {
        return Vec::new();
    }
    let task = config.tasks.get(&attempt.name);
    let command = task.and_then(|task| task.command.as_ref()).map(|command| {
        if let Some(script) = task.and_then(|task| task.script.as_ref()) {
            return script.text.trim().chars().take(MAX_COMMAND).collect();
        }
        // Of a command for a shell, what the shell reads.
        let is_shell = command.argv.get(1).is_some_and(|option| option == "-c");
        let words = if is_shell { command.argv.get(2..).unwrap_or_default() } else { &command.argv };
        words.join(" ").chars().take(MAX_COMMAND).collect()
    });
    let facts = serde_json::to_value(output::facts(attempt, command)).unwrap_or_default();
    channels.into_iter().map(|channel| OutputNotice { claim: attempt.claim, channel, facts: facts.clone() }).collect()
}
