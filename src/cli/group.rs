//! `sexton group`: tasks that share a group.

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use sexton_entities::states::Verdict;

use super::{
    bulk,
    output::{Column, Printer, print_line},
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::{
        task::NewTask,
        text::{plural::counted, suggest},
    },
    store::{FinishedSelection, GroupCounts, GroupMember, TaskSelection, Wakeup},
};

/// Maximum number of unfinished tasks that are shown.
const MAX_MEMBERS: u64 = 50;

#[derive(Subcommand)]
pub(super) enum GroupCommand {
    /// List groups and the numbers of their tasks
    List,
    /// Show a group: its numbers, its unfinished tasks, and the tasks that wait for it
    Show {
        /// The group's name
        name: String,
    },
    /// Cancel all unfinished tasks of a group: waiting ones at once, running ones through their node
    Cancel {
        /// The group's name
        name: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Retry the failed tasks of a group, and the tasks after it that were skipped because of them
    Retry {
        /// The group's name
        name: String,
        /// Only say how many tasks are selected
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

/// A group with its unfinished tasks, as JSON.
#[derive(Serialize)]
struct ShownGroup<'a> {
    #[serde(flatten)]
    counts: &'a GroupCounts,
    members: &'a [GroupMember],
    waiting_for_it: &'a [GroupMember],
}

pub(super) async fn run(session: &Session, output: Printer, command: GroupCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        GroupCommand::List => list(output, &open.store.groups().await.map_err(with_advice)?),
        GroupCommand::Show { name } => show(&open, output, &name).await,
        GroupCommand::Cancel { name, reason } => cancel(&open, output, &name, &reason).await,
        GroupCommand::Retry { name, dry_run, reason } => retry(&open, output, &name, dry_run, &reason).await,
    }
}

fn list(output: Printer, groups: &[GroupCounts]) -> anyhow::Result<u8> {
    let columns = [
        Column::name("Group"),
        Column::value("Waiting"),
        Column::value("Running"),
        Column::value("Completed"),
        Column::value("Failed"),
        Column::value("Cancelled").leaves(1),
        Column::value("Followers").leaves(2),
    ];
    output.list(groups, columns, "There are no groups.", |group| {
        [
            group.name.clone(),
            group.waiting.to_string(),
            group.running.to_string(),
            group.completed.to_string(),
            group.failed.to_string(),
            group.cancelled.to_string(),
            group.followers.to_string(),
        ]
    })?;
    Ok(0)
}

/// The group of that name.
async fn find(open: &OpenSession, name: &str) -> anyhow::Result<GroupCounts> {
    if let Some(group) = open.store.group(name).await.map_err(with_advice)? {
        return Ok(group);
    }
    let known = open.store.groups().await.map_err(with_advice)?;
    let hint = suggest::hint(name, known.iter().map(|group| group.name.as_str()));
    anyhow::bail!("there is no group `{name}`: no task of it is unfinished or in the history{hint}")
}

async fn show(open: &OpenSession, output: Printer, name: &str) -> anyhow::Result<u8> {
    let counts = find(open, name).await?;
    let members = open.store.group_members(name, MAX_MEMBERS).await.map_err(with_advice)?;
    let followers = open.store.group_followers(name).await.map_err(with_advice)?;
    if output.is_json() {
        output.value(&ShownGroup { counts: &counts, members: &members, waiting_for_it: &followers })?;
        return Ok(0);
    }
    let GroupCounts { waiting, running, completed, failed, cancelled, .. } = counts;
    print_line!(
        "Group {name}: {waiting} waiting, {running} running, {completed} completed, {failed} failed, {cancelled} cancelled or skipped"
    );
    for follower in &followers {
        print_line!("task {} ({}) waits for it", follower.id, follower.name);
    }
    let columns = [Column::value("Task"), Column::name("Name"), Column::word("State")];
    output.list(&members, columns, "All its tasks have ended.", |member| {
        [member.id.to_string(), member.name.clone(), member.state.clone()]
    })?;
    let more = counts.unfinished().saturating_sub(members.len() as i64);
    if more > 0 {
        print_line!("and {more} more");
    }
    Ok(0)
}

async fn cancel(open: &OpenSession, output: Printer, name: &str, reason: &ReasonArgs) -> anyhow::Result<u8> {
    find(open, name).await?;
    let selection = TaskSelection { group: Some(name.to_owned()), ..TaskSelection::default() };
    let code = bulk::cancel_selected(open, &open.because(reason), output, &selection).await?;
    open.store.settle_groups(&[name.to_owned()].into()).await.map_err(with_advice)?;
    Ok(code)
}

/// Enqueues the failed members again, then what was skipped because of them: it waits for them.
async fn retry(
    open: &OpenSession,
    output: Printer,
    name: &str,
    is_dry: bool,
    reason: &ReasonArgs,
) -> anyhow::Result<u8> {
    find(open, name).await?;
    let store = open.because(reason);
    let selection = FinishedSelection {
        verdict: Verdict::Discarded,
        name: None,
        queue: None,
        schedule: None,
        since: None,
        group: Some(name.to_owned()),
    };
    let skipped = store.skipped_after_group(name).await.map_err(with_advice)?;
    let retried = bulk::retry_selected(open, &store, &selection, is_dry).await?;
    if is_dry {
        let (members, followers) = (retried.found - retried.before, skipped.len());
        let sentence = format!(
            "{} would be enqueued again, and {} after the group would wait for it",
            counted(members, "failed member"),
            counted(followers, "skipped task")
        );
        output.report(&sentence, &json!({ "dry_run": true, "enqueued": members, "waiting": followers }))?;
        return Ok(0);
    }
    let (mut waiting, mut left) = (0, Vec::new());
    for (row, conditions) in skipped {
        let id = row.task_id.unwrap_or_default();
        let NewTask { after, after_groups, when, any, .. } = conditions;
        let task = NewTask { after, after_groups, when, any, ..bulk::again(&row) };
        let again = match open.client.checked(task) {
            Ok(task) => store.retry_finished(&[(row, task)]).await,
            Err(why) => Err(why),
        };
        match again {
            Ok(new) => waiting += new,
            Err(error) if error.is_outage() => return Err(with_advice(error)),
            Err(error) => left.push(format!("task {id} after the group cannot wait again: {error}")),
        }
    }
    open.client.wake_up_now(Wakeup::Anything).await?;
    let (refused, words) = retried.refused();
    let before = match retried.before {
        0 => String::new(),
        before => format!("; {before} left, because they were retried before"),
    };
    let sentence = format!(
        "{} enqueued again, and {} after the group waiting for it{before}{words}",
        counted(retried.enqueued, "failed member"),
        counted(waiting, "skipped task")
    );
    let lines: Vec<String> = std::iter::once(sentence).chain(left.iter().cloned()).collect();
    let object = json!({
        "enqueued": retried.enqueued, "retried_before": retried.before, "waiting": waiting,
        "refused": refused + left.len(),
    });
    output.report_lines(&lines, &object)?;
    Ok(u8::from(refused > 0 || !left.is_empty()))
}
