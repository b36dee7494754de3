//! `sexton event`: what applications tell, and what became of it.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use sexton_client::NewEvent;
use sexton_entities::{
    event, event_trigger,
    states::{EventFate, EventState},
};

use super::{
    output::{Column, Printer, or_dash, print_line},
    payload,
    selection::unknown_word,
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::text::plural::counted,
    store::{EventFilter, EventTroubles, SentEvent, Wakeup},
};

#[derive(Subcommand)]
pub(super) enum EventCommand {
    /// Send an event; the triggers of the configuration make tasks of it
    Send(SendArgs),
    /// List events, the latest first, and what became of them
    List(EventListArgs),
    /// Show an event: which triggers fired, which tasks came of it, and why others did not fire
    Show {
        /// The number of the event
        id: i64,
    },
    /// Send an event again, as a new event
    Replay {
        /// The number of the event
        id: i64,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

#[derive(Args)]
pub(super) struct SendArgs {
    /// The event's name
    name: String,
    /// The payload: JSON, `@FILE` for the text of a file, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Key of the sender: an event that is sent again with the same key is one event
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct EventListArgs {
    /// Only events of this name
    #[arg(long)]
    name: Option<String>,
    /// Only events in this state: new, waiting, consumed, untaken or refused
    #[arg(long, value_parser = state)]
    state: Option<EventState>,
    /// Maximum number
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: u64,
}

/// An event and what its triggers made of it.
#[derive(Serialize)]
struct ShownEvent {
    #[serde(flatten)]
    row: event::Model,
    triggers: Vec<event_trigger::Model>,
}

fn state(word: &str) -> Result<EventState, String> {
    let all = EventState::ALL.iter().map(|state| state.as_str());
    EventState::from_word(word).ok_or_else(|| unknown_word(word, all))
}

pub(super) async fn run(session: &Session, output: Printer, command: EventCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        EventCommand::Send(args) => send(&open, output, args).await,
        EventCommand::List(args) => list(&open, output, args).await,
        EventCommand::Show { id } => show(&open, output, id).await,
        EventCommand::Replay { id, reason } => {
            let Some(new) = open.because(&reason).replay_event(id).await.map_err(with_advice)? else {
                anyhow::bail!(unknown_event(id));
            };
            open.client.wake_up_now(Wakeup::Events).await?;
            output
                .report(&format!("event {id} is sent again as event {new}"), &json!({ "id": new, "replay_of": id }))?;
            Ok(0)
        }
    }
}

fn unknown_event(id: i64) -> String {
    format!("there is no event {id}: it was never sent, or is older than daemon.keep_events")
}

async fn send(open: &OpenSession, output: Printer, args: SendArgs) -> anyhow::Result<u8> {
    let payload = payload::json(args.payload.as_deref())?;
    let event = NewEvent { payload, key: args.key, ..NewEvent::new(args.name) };
    let sent = open.because(&args.reason).send_event_by_hand(&event).await.map_err(with_advice)?;
    open.client.wake_up_now(Wakeup::Events).await?;
    let (id, sentence) = match sent {
        SentEvent::New(id) => (id, format!("event {id} is sent")),
        SentEvent::AlreadyThere(id) => (id, format!("event {id} has been sent before with this key")),
    };
    output.report(&sentence, &json!({ "id": id, "new": matches!(sent, SentEvent::New(_)) }))?;
    Ok(0)
}

async fn list(open: &OpenSession, output: Printer, args: EventListArgs) -> anyhow::Result<u8> {
    let filter = EventFilter { name: args.name, state: args.state, limit: args.limit };
    let events = open.store.events(&filter).await.map_err(with_advice)?;
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    let fates = open.store.fates_of_events(&ids).await.map_err(with_advice)?;
    let events: Vec<ShownEvent> = events
        .into_iter()
        .map(|row| ShownEvent { triggers: fates.iter().filter(|fate| fate.event_id == row.id).cloned().collect(), row })
        .collect();
    let columns = [
        Column::value("Event"),
        Column::name("Name"),
        Column::word("State"),
        Column::value("Sent"),
        Column::prose("Triggers"),
    ];
    output.list(&events, columns, "There are no events.", |event| {
        let fates: Vec<String> = event.triggers.iter().map(in_short).collect();
        [
            event.row.id.to_string(),
            event.row.name.clone(),
            event.row.state.to_string(),
            output.time(event.row.created_at),
            or_dash((!fates.is_empty()).then(|| fates.join(", "))),
        ]
    })?;
    output.note_limit(events.len(), filter.limit, "--limit");
    Ok(0)
}

/// `invoice: task 17`.
fn in_short(fate: &event_trigger::Model) -> String {
    match (fate.fate, fate.task_id) {
        (EventFate::Enqueued, Some(task)) => format!("{}: task {task}", fate.trigger_name),
        (word, _) => format!("{}: {word}", fate.trigger_name),
    }
}

async fn show(open: &OpenSession, output: Printer, id: i64) -> anyhow::Result<u8> {
    let Some(row) = open.store.event(id).await.map_err(with_advice)? else { anyhow::bail!(unknown_event(id)) };
    let triggers = open.store.fates_of_events(&[id]).await.map_err(with_advice)?;
    if output.is_json() {
        output.value(&ShownEvent { row, triggers })?;
        return Ok(0);
    }
    print_line!("Event {id}, {}: {}", row.name, row.state);
    let end = row.consumed_at.map(|at| format!(", dealt with {} by {}", output.time(at), or_dash(row.node.clone())));
    print_line!("sent {}{}", output.time(row.created_at), end.unwrap_or_default());
    if let Some(old) = row.replay_of {
        print_line!("it repeats event {old}");
    }
    if let Some(key) = &row.event_key {
        print_line!("key {key}");
    }
    if let Some(payload) = &row.payload {
        print_line!("payload {payload}");
    }
    if let Some(mistake) = &row.mistake {
        print_line!("its row is bad: {mistake}");
    }
    match row.state {
        EventState::New => {
            print_line!("no node has looked at it: no node with a trigger runs, or it was sent just now");
        }
        EventState::Untaken => print_line!("no trigger is for it: `sexton trigger list` shows which there are"),
        _ => {}
    }
    let away = away(open).await?;
    for fate in &triggers {
        print_line!("trigger {}: {}", fate.trigger_name, sentence(fate, away.contains(&fate.trigger_name)));
    }
    Ok(0)
}

/// The triggers that no running node has.
async fn away(open: &OpenSession) -> anyhow::Result<Vec<String>> {
    let known = open.store.triggers().await.map_err(with_advice)?;
    let live = open.store.live_names().await.map_err(with_advice)?;
    let is_live = |node: &str| live.iter().any(|known| known.node == node);
    let names = known.iter().map(|row| row.name.clone());
    Ok(names.filter(|name| known.iter().all(|row| row.name != *name || !is_live(&row.node))).collect())
}

fn sentence(fate: &event_trigger::Model, is_away: bool) -> String {
    let task = fate.task_id.map(|id| format!("task {id}")).unwrap_or_default();
    let because = fate.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    match fate.fate {
        EventFate::Waiting if is_away => "waits: no running node has this trigger".to_owned(),
        EventFate::Waiting => "waits for a node that has this trigger".to_owned(),
        EventFate::Enqueued => task,
        EventFate::Debounced => format!("{task} of an earlier event waits on, with this payload (debounce)"),
        EventFate::Throttled => "no task: an earlier event has made one within the time of `throttle`".to_owned(),
        EventFate::AlreadyThere => format!("no task: {task} had the unique key"),
        EventFate::NotMet => format!("no task, the condition does not hold{because}"),
        EventFate::Refused => format!("no task can be made of it{because}"),
        EventFate::Removed => "no task: the trigger was removed before a node could deal with the event".to_owned(),
    }
}

/// `event 5 (order.paid), trigger invoice`: where a task comes from.
pub(super) async fn origins(open: &OpenSession, task: i64) -> anyhow::Result<Vec<event_trigger::Model>> {
    let mut fates = open.store.events_of_task(task).await.map_err(with_advice)?;
    // Of an event whose task was there already, it did not come.
    fates.retain(|fate| matches!(fate.fate, EventFate::Enqueued | EventFate::Debounced));
    Ok(fates)
}

/// What is wrong with events, one sentence for each.
pub(super) fn troubles(found: &EventTroubles) -> Vec<String> {
    let number = |count: i64| counted(count.unsigned_abs(), "event");
    let sentences = [
        (found.waiting, format!("{} waiting for longer than a minute: `sexton event list`", number(found.waiting))),
        (
            found.refused,
            format!(
                "no task could be made of {} of the last day: `sexton event list --state refused`",
                number(found.refused)
            ),
        ),
        (
            found.untaken,
            format!("no trigger is for {} of the last day: `sexton event list --state untaken`", number(found.untaken)),
        ),
    ];
    sentences.into_iter().filter(|(count, _)| *count > 0).map(|(_, sentence)| sentence).collect()
}
