//! Which notices are to be sent now. They are written together with what they change in their problem, so that none is
//! lost, and of several nodes one writes them.

use chrono::{DateTime, Utc};
use sexton_entities::{
    problem,
    states::{NoticeAbout, ProblemKind, ProblemState},
};

use crate::{
    config::Config,
    daemon::module::ModuleContext,
    domain::notice::{Facts, due, key, text},
    store::{NewNotice, Store, StoreError},
};

/// Maximum number of problems that are looked at in one round.
const LIMIT: u64 = 1_000;
/// Number of lines of each stream that a notice quotes.
const LINES: usize = 10;

/// Writes the notices that are due.
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
    for (name, channel) in &config.channels {
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
            Some(id) => store.problem(*id).await?,
            None => None,
        };
        facts.more.extend(known.map(|problem| text::subject(*about, &Facts::of(&problem))));
    }
    let number = held.ids.last().copied().unwrap_or_default();
    let key = format!("more.{number}.{channel}.{}", store.database_id().await?);
    store.merge_held(&held, &new(config, channel, key, NoticeAbout::More, &facts)).await?;
    Ok(())
}

async fn write(store: &Store, config: &Config, problem: &problem::Model, now: DateTime<Utc>) -> Result<(), StoreError> {
    let queue = problem.queue.as_deref();
    let rule = config.notices_of(problem.task.as_deref(), queue);
    let Some(about) = due(problem, &rule, now) else { return Ok(()) };
    // A channel that only another node has is that node's to write.
    let channels: Vec<&String> =
        rule.channels.iter().flatten().filter(|name| config.channels.contains_key(*name)).collect();
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
    let number = problem.notices + 1;
    let notices: Vec<NewNotice> = channels
        .into_iter()
        .map(|channel| {
            let key = |number| key(&database, problem.id, problem.episode, number, channel);
            let thread = (number > 1).then(|| key(1));
            new(config, channel, key(number), about, &Facts { thread, ..facts.clone() })
        })
        .collect();
    store.write_notices(problem, &notices).await.map(|_| ())
}

fn new(config: &Config, channel: &str, key: String, about: NoticeAbout, facts: &Facts) -> NewNotice {
    NewNotice {
        key: key.chars().take(190).collect(),
        channel: channel.to_owned(),
        max_per_hour: config.channels.get(channel).map_or(1, |channel| channel.max_per_hour),
        about,
        facts: serde_json::to_value(facts).unwrap_or_default(),
    }
}

/// The next instant of the schedule, where the task is not tried again.
fn next_run(config: &Config, problem: &problem::Model, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let lasts = problem.state != ProblemState::Closed && problem.kind == ProblemKind::Task;
    let name = problem.schedule.as_ref().filter(|_| lasts)?;
    config.tasks.get(name)?.schedule.as_ref()?.next_after(now)
}
