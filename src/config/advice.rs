//! What a sound configuration will not do here and now: warnings, because another machine or another day may differ.

mod host;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::PermissionsExt as _,
};

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
    schedule::{Schedule, upcoming},
    task::definition::{DEFAULT_QUEUE, TaskDefinition},
    text::{database_url, plural::counted, redact::redacted},
};

/// How far the search for an instant inside a period goes: first a little, and far if it finds nothing.
const SEARCHES: [TimeDelta; 2] = [TimeDelta::days(40), TimeDelta::days(9 * 366)];

/// The permission of users who are neither the owner of a file nor in its group.
const READ_BY_OTHERS: u32 = 0o004;

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
    if has_password(&config.database.url) {
        adviser.secret(&["database", "url"], "url_file");
    }
    for name in config.channels.keys() {
        adviser.secret(&["notify", name, "password"], "password_file");
        adviser.secret(&["notify", name, "secret"], "secret_file");
    }
    for (name, task) in &config.tasks {
        if let Some(command) = &task.command {
            adviser.command(&["task", name], command);
        }
        if let Some(script) = &task.script {
            adviser.warn(&["task", name, "script"], host::script_problem(name, script));
        }
        adviser.warn(&["task", name, "period"], never_runs(config, task.schedule.as_deref(), now));
        adviser.warn(&["task", name, "mail_output"], mails_nobody(config, task));
    }
    for (name, program) in &config.worker_programs {
        adviser.command(&["worker", name], &program.command);
    }
    for (name, table) in &config.schedule_tables {
        adviser.warn(&["schedule", name, "period"], never_runs(config, Some(&table.schedule), now));
    }
    for (name, module) in &config.modules {
        if let Some(process) = &module.process {
            adviser.command(&["module", name], &process.command);
        }
    }
    let of_schedules = config.schedule_tables.values().map(|table| &table.definition.queue);
    let of_tasks = config.tasks.values().map(|task| &task.queue);
    let of_triggers = config.triggers.values().map(|trigger| &trigger.queue);
    let used: BTreeSet<&QueueName> = of_tasks.chain(of_schedules).chain(of_triggers).chain(queues).collect();
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

    /// Warns of a secret in a file that every user of the machine can read. `other` is the setting that names a file of its
    /// own for it.
    fn secret(&mut self, setting: &[&str], other: &str) {
        if self.root.find(setting).is_none() {
            return;
        }
        let file = &self.root.location_of(setting).source;
        if fs::metadata(&**file).is_ok_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0) {
            let text = format!("every user of this machine can read this password: chmod o= {file}, or use {other}");
            self.warn(setting, Some(text));
        }
    }

    /// Checks what a command needs of this machine. `table` is the path of its table.
    fn command(&mut self, table: &[&str], command: &CommandSpec) {
        for (key, problem) in self.host.problems(command) {
            // A script's program is its shell.
            let is_shell = key == "command" && self.root.find(&[table, &["script"]].concat()).is_some();
            self.warn(&[table, &[if is_shell { "shell" } else { key }]].concat(), Some(problem));
        }
    }
}

/// Whether a URL has a password.
fn has_password(url: &str) -> bool {
    redacted(url) != *url
}

/// That the output of a task is to be mailed, and nobody gets it.
fn mails_nobody(config: &Config, task: &TaskDefinition) -> Option<String> {
    let (output, channels) = config.mail_output_of(&task.name, &task.queue);
    let is_own = task.notices.output.is_some() || task.notices.output_to.is_some() || task.notices.channels.is_some();
    let text = "nobody gets the output: `notify` names no mail channel, and `mail_output_to` no channel";
    (is_own && output != MailOutput::Never && channels.is_empty()).then(|| text.to_owned())
}

/// That no instant of a schedule is inside its period.
fn never_runs(config: &Config, schedule: Option<&Schedule>, now: DateTime<Utc>) -> Option<String> {
    let schedule = schedule?;
    let period = config.periods.get(schedule.period.as_ref()?)?;
    // A schedule without a further instant is over, or waits for the next start.
    schedule.next_after(now)?;
    let runs = |length| !upcoming::within(schedule, Some(period), now, now + length, 1).times.is_empty();
    let never =
        || format!("the schedule ({}) never runs: no instant is inside period {}", schedule.spec(), period.name);
    (!SEARCHES.into_iter().any(runs)).then(never)
}
