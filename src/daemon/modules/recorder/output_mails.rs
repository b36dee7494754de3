//! Which ended attempts have their output mailed, and to which channels.

use crate::{
    config::Config,
    domain::{
        notice::{MailOutput, channel::Means, output},
        task::FinishedAttempt,
    },
    store::OutputNotice,
};

/// Maximum number of characters of a command in a mail.
const MAX_COMMAND: usize = 200;

/// The mails with the output of a batch of attempts.
pub(super) fn output_mails(config: &Config, batch: &[FinishedAttempt]) -> Vec<OutputNotice> {
    let (tasks, queues) = (config.tasks.values(), config.queues.values());
    let mut rules = tasks.map(|task| &task.notices).chain(queues.map(|queue| &queue.notices));
    let is_set = config.daemon.notices.output.is_some() || rules.any(|rule| rule.output.is_some());
    if config.channels.is_empty() || !is_set {
        return Vec::new();
    }
    batch.iter().flat_map(|attempt| of_attempt(config, attempt)).collect()
}

fn of_attempt(config: &Config, attempt: &FinishedAttempt) -> Vec<OutputNotice> {
    let rule = config.notices_of(Some(&attempt.name), Some(&attempt.queue));
    if !rule.output.unwrap_or(MailOutput::Never).is_wanted(attempt) {
        return Vec::new();
    }
    let is_mail =
        |name: &String| config.channels.get(name).is_some_and(|channel| matches!(channel.means, Means::Mail(_)));
    // Those that are named explicitly may be of any kind.
    let channels = match rule.output_to {
        Some(names) => names.into_iter().filter(|name| config.channels.contains_key(name)).collect(),
        None => rule.channels.unwrap_or_default().into_iter().filter(is_mail).collect::<Vec<_>>(),
    };
    let command = config.tasks.get(&attempt.name).and_then(|task| task.command.as_ref()).map(|command| {
        // Of a command for a shell, what the shell reads.
        let is_shell = command.argv.get(1).is_some_and(|option| option == "-c");
        let words = if is_shell { command.argv.get(2..).unwrap_or_default() } else { &command.argv };
        words.join(" ").chars().take(MAX_COMMAND).collect()
    });
    let facts = serde_json::to_value(output::facts(attempt, command)).unwrap_or_default();
    channels.into_iter().map(|channel| OutputNotice { claim: attempt.claim, channel, facts: facts.clone() }).collect()
}
