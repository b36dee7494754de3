//! `sexton group`: tasks that share a group.

use clap::Subcommand;
use serde::Serialize;

use super::{
    bulk,
    output::{Column, Printer, print_line},
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::text::suggest,
    store::{GroupCounts, GroupMember, TaskSelection},
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
