//! What a sound configuration will not do here and now: warnings, because another machine or another day may differ.

mod host;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use self::host::Host;
use super::{
    load::{Source, merged},
    mistake::{ConfigWarning, Findings, sort},
    tables::Config,
    tree::TreeNode,
};
use crate::domain::{
    command::CommandSpec,
    identity::QueueName,
    notice::MailOutput,
    schedule::upcoming,
    task::definition::{DEFAULT_QUEUE, TaskDefinition},
    text::{database_url, plural::counted},
};

/// How far the search for an instant inside a period goes: first a little, and far if it finds nothing.
const SEARCHES: [TimeDelta; 2] = [TimeDelta::days(40), TimeDelta::days(9 * 366)];

/// Up to this number of warnings that say the same are listed one by one.
const MOST_ALIKE: usize = 3;

/// The warnings about a configuration without mistakes. `queues` are those of registered handlers.
pub fn advice(source: &Source, config: &Config, queues: &[QueueName], now: DateTime<Utc>) -> Vec<ConfigWarning> {
    let root = merged(source, &mut Findings::default());
    let mut adviser = Adviser { root: &root, host: Host::default(), found: Vec::new() };
    for key in ["url", "url_file", "url_credential"] {
        if root.find(&["database", key]).is_some() {
            adviser.warn(&["database", key], database_url::advice(&config.database.url));
        }
    }
    for (name, task) in &config.tasks {
        if let Some(command) = &task.command {
            adviser.command(&["task", name], command);
        }
        adviser.warn(&["task", name, "period"], never_runs(config, task, now));
        adviser.warn(&["task", name, "mail_output"], mails_nobody(config, task));
    }
    for (name, module) in &config.modules {
        if let Some(process) = &module.process {
            adviser.command(&["module", name], &process.command);
        }
    }
    let used: BTreeSet<&QueueName> = config.tasks.values().map(|task| &task.queue).chain(queues).collect();
    for queue in config.queues.keys() {
        if !used.contains(queue) && **queue != *DEFAULT_QUEUE && root.find(&["queue", queue]).is_some() {
            let text = "no task uses this queue: only tasks that are enqueued with its name run there".to_owned();
            adviser.warn(&["queue", queue], Some(text));
        }
    }
    sort(&mut adviser.found);
    grouped(adviser.found)
}

/// Forty tasks in one missing directory are one warning.
fn grouped(found: Vec<ConfigWarning>) -> Vec<ConfigWarning> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for warning in &found {
        *counts.entry(warning.text.clone()).or_default() += 1;
    }
    let mut kept = Vec::new();
    for mut warning in found {
        match counts.get(&warning.text).copied().unwrap_or(1) {
            // Its first warning stood for it.
            0 => continue,
            count if count > MOST_ALIKE => {
                counts.insert(warning.text.clone(), 0);
                warning.text += &format!("; the same for {}", counted(count - 1, "more setting"));
            }
            _ => {}
        }
        kept.push(warning);
    }
    kept
}

/// Collects warnings with their locations.
struct Adviser<'a> {
    root: &'a TreeNode,
    host: Host,
    found: Vec<ConfigWarning>,
}

impl Adviser<'_> {
    fn warn(&mut self, setting: &[&str], text: Option<String>) {
        let Some(text) = text else { return };
        let location = self.root.location_of(setting).clone();
        self.found.push(ConfigWarning { location, setting: setting.join("."), text });
    }

    /// Checks what a command needs of this machine. `table` is the path of its table.
    fn command(&mut self, table: &[&str], command: &CommandSpec) {
        for (key, problem) in self.host.problems(command) {
            self.warn(&[table, &[key]].concat(), Some(problem));
        }
    }
}

/// That the output of a task is to be mailed, and nobody gets it.
fn mails_nobody(config: &Config, task: &TaskDefinition) -> Option<String> {
    let (output, channels) = config.mail_output_of(&task.name, &task.queue);
    let is_own = task.notices.output.is_some() || task.notices.output_to.is_some() || task.notices.channels.is_some();
    let text = "nobody gets the output: `notify` names no mail channel, and `mail_output_to` no channel";
    (is_own && output != MailOutput::Never && channels.is_empty()).then(|| text.to_owned())
}

/// That no instant of a schedule is inside its period.
fn never_runs(config: &Config, task: &TaskDefinition, now: DateTime<Utc>) -> Option<String> {
    let schedule = task.schedule.as_deref()?;
    let period = config.periods.get(schedule.period.as_ref()?)?;
    // A schedule without a further instant is over, or waits for the next start.
    schedule.next_after(now)?;
    let runs = |length| !upcoming::within(schedule, Some(period), now, now + length, 1).times.is_empty();
    let never =
        || format!("the schedule ({}) never runs: no instant is inside period {}", schedule.spec(), period.name);
    (!SEARCHES.into_iter().any(runs)).then(never)
}
