//! Which notices are to be sent now. They are written together with what they change in their problem, so that none is
//! lost, and of several nodes one writes them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sexton_entities::{
    problem,
    states::{NoticeAbout, ProblemKind, ProblemState},
};

use crate::{
    config::Config,
    daemon::{fault_point::fault_point, module::ModuleContext},
    domain::notice::{Facts, NoticeRule, due, escalation_key, key, text},
    store::{NewNotice, Store, StoreError, Told},
};

/// Maximum number of problems that are looked at in one round.
const LIMIT: u64 = 1_000;
/// Number of lines of each stream that a notice quotes.
const LINES: usize = 10;

/// Writes the notices that are due, except digests.
pub(super) async fn write_due(context: &ModuleContext) -> Result<(), StoreError> {
    let (store, config) = (context.store(), context.config());
    if config.channels.is_empty() {
        return Ok(());
    }
    let now = store.now().await?;
    for problem in &store.problems_to_tell(now, LIMIT).await? {
        let written = write(store, &config, problem, now).await;
        store.isolated().part(format_args!("notices of problem {}", problem.id), written)?;
        context.progress();
    }
    for (name, channel) in config.channels.iter().filter(|(_, channel)| channel.digest.is_none()) {
        let merged = merge_held(store, &config, name, channel.max_per_hour).await;
        store.isolated().part(format_args!("held notices of channel {name}"), merged)?;
    }
    Ok(())
}

/// Writes one notice for those that a channel could not take within the hour.
async fn merge_held(store: &Store, config: &Config, channel: &str, max_per_hour: u32) -> Result<(), StoreError> {
    let Some(held) = store.held_notices(channel, max_per_hour).await? else { return Ok(()) };
    let mut facts = Facts { name: channel.to_owned(), more_count: held.ids.len(), ..Facts::default() };
    for (about, id) in &held.named {
        let known = match id {
            Some(id) => store.isolated().part(format_args!("problem {id}"), store.problem(*id).await)?,
            None => None,
        };
        facts.more.extend(known.map(|problem| text::subject(*about, &Facts::of(&problem))));
    }
    let number = held.ids.last().copied().unwrap_or_default();
    let key = format!("more.{number}.{channel}.{}", store.database_id().await?);
    store.merge_held(&held, &new(config, channel, key, NoticeAbout::More, &facts)).await?;
    Ok(())
}

/// Writes what the rule of a problem asks for now.
async fn write(store: &Store, config: &Config, problem: &problem::Model, now: DateTime<Utc>) -> Result<(), StoreError> {
    let rule = config.notices_of(problem.task.as_deref(), problem.queue.as_deref());
    let escalated: &[String] = rule.escalation.as_ref().map_or(&[], |escalation| &escalation.to);
    if let Some(about) = due(problem, &rule, now) {
        // Who was told that it lasts hears of its end.
        let is_escalated = about == NoticeAbout::Recovered && problem.escalated_episode == problem.episode;
        let further = escalated.iter().filter(|_| is_escalated);
        tell(store, config, problem, about, (&rule, rule.channels.iter().flatten().chain(further)), now).await?;
    }
    if rule.must_escalate(problem, now) {
        tell(store, config, problem, NoticeAbout::Escalated, (&rule, escalated.iter()), now).await?;
    }
    Ok(())
}

/// Writes a notice to each of the channels.
async fn tell(
    store: &Store,
    config: &Config,
    problem: &problem::Model,
    about: NoticeAbout,
    (rule, channels): (&NoticeRule, impl Iterator<Item = &String>),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // A channel that only another node has is that node's to write.
    let channels: BTreeSet<&String> = channels.filter(|name| config.channels.contains_key(*name)).collect();
    if channels.is_empty() {
        return Ok(());
    }
    let database = store.database_id().await?;
    let mut facts = Facts::of(problem);
    facts.next_at = facts.next_at.or_else(|| next_run(config, problem, now));
    if about != NoticeAbout::Recovered
        && let (Some(task), Some(fence)) = (problem.task_id, problem.fence)
    {
        [facts.stdout, facts.stderr] = store.last_lines(task, fence, LINES).await?;
    }
    let notices: Vec<NewNotice> = channels
        .into_iter()
        .map(|channel| {
            let escalation = escalation_key(&database, problem, channel);
            let is_escalation = about == NoticeAbout::Escalated;
            let numbered = |number| key(&database, problem, number, channel);
            let own = if is_escalation { escalation.clone() } else { numbered(problem.notices + 1) };
            let first =
                if rule.channels.iter().flatten().any(|name| name == channel) { numbered(1) } else { escalation };
            let facts = Facts { thread: Some(first).filter(|first| *first != own), ..facts.clone() };
            let gathers = config.channels.get(channel).is_some_and(|channel| channel.digest.is_some());
            NewNotice { is_gathered: gathers && !is_escalation, ..new(config, channel, own, about, &facts) }
        })
        .collect();
    let told = if about == NoticeAbout::Escalated { Told::Escalation } else { Told::Progress };
    fault_point("notice due");
    store.write_notices(problem, told, &notices).await?;
    fault_point("notice written");
    Ok(())
}

pub(super) fn new(config: &Config, channel: &str, key: String, about: NoticeAbout, facts: &Facts) -> NewNotice {
    NewNotice {
        key: key.chars().take(190).collect(),
        channel: channel.to_owned(),
        max_per_hour: config.channels.get(channel).map_or(1, |channel| channel.max_per_hour),
        about,
        facts: serde_json::to_value(facts).unwrap_or_default(),
        is_gathered: false,
    }
}

/// The next instant of the schedule, where the task is not tried again.
fn next_run(config: &Config, problem: &problem::Model, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let lasts = problem.state != ProblemState::Closed && problem.kind == ProblemKind::Task;
    let name = problem.schedule.as_ref().filter(|_| lasts)?;
    config.scheduled(name)?.schedule.next_after(now)
}
