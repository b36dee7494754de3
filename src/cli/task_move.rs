//! `sexton task move`: moves the waiting tasks of a queue to another one.

use clap::Args;
use serde_json::json;

use super::{
    output::Printer,
    session::{OpenSession, ReasonArgs, Session, with_advice},
    waiting::{check_queue, nobody_takes},
};
use crate::{
    domain::{identity::QueueName, task::definition::check_name, text::plural::counted},
    store::Wakeup,
};

#[derive(Args)]
pub(super) struct MoveArgs {
    /// The queue whose tasks are moved; running tasks stay
    #[arg(long, value_name = "QUEUE")]
    queue: QueueName,
    /// The queue that they are moved to
    #[arg(long, value_name = "QUEUE")]
    to: QueueName,
    /// Only say how many tasks would be moved
    #[arg(long)]
    dry_run: bool,
    /// Move also to a queue that neither this configuration nor a running node knows
    #[arg(long)]
    undefined: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

pub(super) async fn run(session: &Session, open: &OpenSession, output: Printer, args: MoveArgs) -> anyhow::Result<u8> {
    let MoveArgs { queue: from, to, dry_run, undefined, reason } = args;
    check_name(&to).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(from != to, "the tasks are in queue {from} already");
    if !undefined {
        check_queue(session, open, &to).await?;
    }
    let moved = match dry_run {
        true => open.store.movable_tasks(&from).await.map_err(with_advice)?,
        false => open.because(&reason).move_tasks(&from, &to).await.map_err(with_advice)?,
    };
    let tasks = counted(moved, "task");
    let verb = match (dry_run, moved) {
        (true, _) => "would be moved",
        (false, 1) => "is moved",
        (false, _) => "are moved",
    };
    let mut sentence = format!("{tasks} {verb} from queue {from} to queue {to}");
    if !dry_run && moved > 0 {
        open.client.wake_up_now(Wakeup::Anything).await?;
    }
    if let Some(note) = nobody_takes(open, Some(&to)).await? {
        sentence += &format!("; {note}");
    }
    output.report(&sentence, &json!({ "moved": moved, "queue": from, "to": to, "dry_run": dry_run }))?;
    Ok(0)
}
