//! `sexton schedule add`, `edit`, `remove`, `export` and `import`: schedules of the database.

use std::{io::Read as _, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use sexton_client::ScheduleChange;
use sexton_entities::states::Origin;

use super::{
    lookup,
    output::{Printer, print_text},
    payload,
    session::{OpenSession, ReasonArgs, with_advice},
};
use crate::{
    config::{schedule_toml, schedules_of_toml},
    domain::{schedule::ScheduleDefinition, text::plural::counted},
    store::Wakeup,
};

/// The settings that are a recurrence, or a part of one. A new recurrence takes the place of all of them.
const RECURRENCE: [&str; 9] = ["every", "anchor", "at", "week_days", "time", "days", "hours", "minutes", "schedule"];

#[derive(Args)]
pub(super) struct ScheduleSettings {
    /// Crontab expression, such as "0 2 * * *"
    #[arg(long, value_name = "EXPR", group = "recurrence")]
    cron: Option<String>,
    /// Interval, such as 15m
    #[arg(long, value_name = "DURATION", group = "recurrence")]
    every: Option<String>,
    /// One single time, such as 2026-12-24T18:00
    #[arg(long, value_name = "TIME", group = "recurrence")]
    at: Option<String>,
    /// Time zone of the recurrence [default: `daemon.timezone`]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Payload of its tasks: JSON, `@FILE`, or `-` for standard input [default: that of the task definition]
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Queue of its tasks
    #[arg(long)]
    queue: Option<String>,
    /// Priority of its tasks; lower goes first
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Time limit of each run, or `none`
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Maximum number of attempts of each run
    #[arg(long, value_name = "NUMBER")]
    max_attempts: Option<i64>,
    /// How long after its earliest start a run expires that has not begun
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// What happens after a downtime: run the last missed instant, all of them, or none
    #[arg(long, value_name = "skip|last|all")]
    missed: Option<String>,
    /// What happens to an instant while an earlier run is not finished
    #[arg(long, value_name = "allow|skip|queue")]
    overlap: Option<String>,
    /// Longest random delay of each run
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// Time period in which it runs
    #[arg(long, value_name = "NAME")]
    period: Option<String>,
    /// Any setting of [schedule.NAME], with a value as in TOML: `missed_age=2h`, `expect=true`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Args)]
pub(super) struct AddScheduleArgs {
    /// The schedule's name
    name: String,
    /// Name of the task definition that it starts
    #[arg(long)]
    task: String,
    #[command(flatten)]
    settings: ScheduleSettings,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct EditScheduleArgs {
    /// The schedule's name
    name: String,
    /// Name of the task definition that it starts
    #[arg(long)]
    task: Option<String>,
    #[command(flatten)]
    settings: ScheduleSettings,
    /// Remove this setting, so that its default or that of the task definition counts
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct ImportSchedulesArgs {
    /// TOML with tables [schedule.NAME]; `-` for standard input
    file: PathBuf,
    /// Check the file and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

impl ScheduleSettings {
    /// A definition with these settings instead of its own.
    fn apply(&self, known: ScheduleDefinition) -> anyhow::Result<ScheduleDefinition> {
        let mut edited = known;
        let forms = [("cron", &self.cron), ("every", &self.every), ("at", &self.at)];
        let texts = [
            ("timezone", &self.timezone),
            ("queue", &self.queue),
            ("timeout", &self.timeout),
            ("expires", &self.expires),
            ("missed", &self.missed),
            ("overlap", &self.overlap),
            ("jitter", &self.jitter),
            ("period", &self.period),
        ];
        let numbers = [("priority", self.priority), ("max_attempts", self.max_attempts)];
        let mut values: Vec<(String, Value)> = Vec::new();
        let given = |(key, text): &(&str, &Option<String>)| Some(((*key).to_owned(), json!(text.as_ref()?)));
        values.extend(forms.iter().chain(&texts).filter_map(given));
        values.extend(numbers.iter().filter_map(|(key, number)| Some(((*key).to_owned(), json!((*number)?)))));
        for written in &self.set {
            let (key, value) = written
                .split_once('=')
                .with_context(|| format!("--set {written}: expected KEY=VALUE, such as missed_age=2h"))?;
            values.push((key.trim().to_owned(), toml_value(value.trim())));
        }
        // A new recurrence takes the place of the old one.
        if values
            .iter()
            .any(|(key, _)| matches!(key.as_str(), "cron" | "every" | "at" | "week_days" | "days" | "schedule"))
        {
            edited = RECURRENCE.iter().fold(edited, |edited, key| edited.set(key, Value::Null));
            edited.cron = None;
        }
        for (key, value) in values {
            edited = set(edited, &key, value)?;
        }
        let given = self.payload.as_deref().map(payload::text).transpose()?;
        Ok(ScheduleDefinition { payload: given.or(edited.payload), ..edited })
    }
}

/// Sets one setting; null removes it.
fn set(edited: ScheduleDefinition, key: &str, value: Value) -> anyhow::Result<ScheduleDefinition> {
    let text = |value: Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => bail!("{key}: expected text, found {other}"),
    };
    Ok(match key {
        "task" => bail!("a schedule needs a task: name another one with --task"),
        "cron" => ScheduleDefinition { cron: text(value)?, ..edited },
        "timezone" => ScheduleDefinition { timezone: text(value)?, ..edited },
        "payload" => ScheduleDefinition { payload: (!value.is_null()).then(|| value.to_string()), ..edited },
        key => {
            // What an application has written there is not thrown away.
            edited.settings()?;
            edited.set(key, value)
        }
    })
}

/// A value as it is written in TOML; any other text is a text.
fn toml_value(written: &str) -> Value {
    let parsed: Result<toml::Table, _> = format!("value = {written}").parse();
    let value = parsed.ok().and_then(|mut table| table.remove("value")).filter(|value| !value.is_datetime());
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_else(|| written.into())
}

impl OpenSession {
    /// Checks a schedule for the database beside those that are there. Returns when it recurs, in words.
    async fn check_schedule(&self, new: &ScheduleDefinition) -> anyhow::Result<String> {
        let others = self.store.database_schedules().await.map_err(with_advice)?;
        self.check_beside(new, &others)
    }

    fn check_beside(&self, new: &ScheduleDefinition, others: &[ScheduleDefinition]) -> anyhow::Result<String> {
        self.check_free(&new.name)?;
        self.check_definition(&new.task)?;
        match self.config.check_database_schedule(new, others, &self.registered) {
            Ok(read) => Ok(read.schedule.describe()),
            Err(why) => bail!("schedule {}: {why}", new.name),
        }
    }

    /// Checks that no file defines a schedule of that name.
    fn check_free(&self, name: &str) -> anyhow::Result<()> {
        match self.config.scheduled(name) {
            Some(known) if known.origin == Origin::Config => bail!(of_file(name)),
            _ => Ok(()),
        }
    }
}

fn of_file(name: &str) -> String {
    format!(
        "a configuration file defines schedule `{name}`: change it there and run `sexton reload`, or choose another name for \
         the database"
    )
}

/// Reports what became of a change.
fn report(output: Printer, name: &str, verb: &str, words: &str, change: ScheduleChange) -> anyhow::Result<u8> {
    let sentence = match change {
        ScheduleChange::Done => format!("schedule {name} is {verb}{words}"),
        ScheduleChange::Unchanged => format!("schedule {name} is unchanged"),
        ScheduleChange::AlreadyThere => {
            bail!("there is a schedule `{name}` in the database already: `sexton schedule edit {name}` changes it")
        }
        ScheduleChange::OfConfiguration => {
            bail!("{}; or another node's file does: `sexton schedule show {name}`", of_file(name))
        }
        ScheduleChange::NotThere => bail!("there is no schedule `{name}` in the database"),
    };
    let done = if change == ScheduleChange::Done { verb } else { "unchanged" };
    output.report(&sentence, &json!({ "name": name, "change": done }))?;
    Ok(0)
}

/// Tells the nodes, where the database does not.
async fn tell(open: &OpenSession) -> anyhow::Result<()> {
    open.client.wake_up_now(Wakeup::Schedules).await.map_err(with_advice)
}

pub(super) async fn add(open: &OpenSession, output: Printer, args: &AddScheduleArgs) -> anyhow::Result<u8> {
    let new = args.settings.apply(ScheduleDefinition::new(&args.name, &args.task))?;
    let words = open.check_schedule(&new).await?;
    let change = open.because(&args.reason).add_schedule(&new).await.map_err(with_advice)?;
    tell(open).await?;
    report(output, &args.name, "added", &format!(": {words}"), change)
}

pub(super) async fn edit(open: &OpenSession, output: Printer, args: &EditScheduleArgs) -> anyhow::Result<u8> {
    open.check_free(&args.name)?;
    let known = find(open, &args.name).await?;
    let known = ScheduleDefinition { task: args.task.clone().unwrap_or(known.task), ..known };
    let mut edited = args.settings.apply(known)?;
    for key in &args.unset {
        edited = set(edited, key, Value::Null)?;
    }
    let words = open.check_schedule(&edited).await?;
    let change = open.because(&args.reason).edit_schedule(&edited).await.map_err(with_advice)?;
    tell(open).await?;
    report(output, &args.name, "edited", &format!(": {words}"), change)
}

pub(super) async fn remove(open: &OpenSession, output: Printer, name: &str, reason: &ReasonArgs) -> anyhow::Result<u8> {
    let known = find(open, name).await?;
    let change = open.because(reason).remove_schedule(&known.name).await.map_err(with_advice)?;
    tell(open).await?;
    report(output, name, "removed", "; its tasks that wait or run, and its record, stay", change)
}

async fn find(open: &OpenSession, name: &str) -> anyhow::Result<ScheduleDefinition> {
    let all = open.store.database_schedules().await.map_err(with_advice)?;
    let known: Vec<String> = all.iter().map(|known| known.name.clone()).collect();
    let found = all.into_iter().find(|known| known.name == name);
    if found.is_none() {
        open.check_free(name)?;
    }
    found.with_context(|| lookup::unknown_schedule(name, known.iter().map(String::as_str)))
}

pub(super) async fn export(open: &OpenSession, output: Printer, names: &[String]) -> anyhow::Result<u8> {
    let mut chosen = open.store.database_schedules().await.map_err(with_advice)?;
    for name in names {
        find(open, name).await?;
    }
    chosen.retain(|known| names.is_empty() || names.contains(&known.name));
    if output.is_json() {
        output.value(&chosen)?;
    } else {
        print_text(&schedule_toml(&chosen).map_err(anyhow::Error::msg)?);
    }
    Ok(0)
}

/// Adds and edits the schedules of a file: all of them, or none if one has a mistake.
pub(super) async fn import(open: &OpenSession, output: Printer, args: &ImportSchedulesArgs) -> anyhow::Result<u8> {
    let place = args.file.display();
    let text = match args.file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input")?;
            text
        }
        false => std::fs::read_to_string(&args.file).with_context(|| place.to_string())?,
    };
    let new = schedules_of_toml(&text).map_err(|why| anyhow::anyhow!("{place}: {why}"))?;
    let known = open.store.database_schedules().await.map_err(with_advice)?;
    let is_new = |known: &&ScheduleDefinition| new.iter().all(|new| new.name != known.name);
    let all: Vec<ScheduleDefinition> = known.iter().filter(is_new).chain(&new).cloned().collect();
    let mistakes: Vec<String> =
        new.iter().filter_map(|new| open.check_beside(new, &all).err()).map(|error| error.to_string()).collect();
    if !mistakes.is_empty() {
        bail!("{place}: nothing is imported\n{}", mistakes.join("\n"));
    }
    let (mut added, mut edited) = (Vec::new(), Vec::new());
    let store = open.because(&args.reason);
    for new in &new {
        let old = known.iter().find(|known| known.name == new.name);
        let list = if old.is_some() { &mut edited } else { &mut added };
        if old != Some(new) {
            list.push(new.name.clone());
            if !args.dry_run {
                let change = match old {
                    Some(_) => store.edit_schedule(new).await,
                    None => store.add_schedule(new).await,
                };
                match change.map_err(with_advice)? {
                    ScheduleChange::Done | ScheduleChange::Unchanged => {}
                    other => drop(report(output, &new.name, "imported", "", other)?),
                }
            }
        }
    }
    if !args.dry_run {
        tell(open).await?;
    }
    let would = if args.dry_run { "would be " } else { "" };
    let unchanged = new.len() - added.len() - edited.len();
    let sentence = format!(
        "{would}imported: {} ({} added, {} edited, {unchanged} unchanged)",
        counted(new.len(), "schedule"),
        added.len(),
        edited.len()
    );
    output.report(&sentence, &json!({ "added": added, "edited": edited, "unchanged": unchanged }))?;
    Ok(0)
}
