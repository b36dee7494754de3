//! `sexton task log`: the output of a task's attempts, also while they run.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chrono::TimeDelta;
use chrono_tz::Tz;
use clap::Args;
use serde::Serialize;
use sexton_entities::{history, output, states::TaskState};

use super::{
    lookup,
    output::{Printer, print_error, print_line, print_raw, print_text},
    session::{OpenSession, with_advice},
    waiting::why_it_waits,
};
use crate::{
    domain::{
        command::capture::{Kept, gap},
        text::clean::Cleaner,
    },
    shepherd::{AttemptDir, NodeDir, OUTPUT_STREAMS, Piece, Tail},
};

/// Interval between two reads of a running attempt's output.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A daemon needs less than this time from the claim to the attempt's directory, and from the end of an attempt to its
/// record.
const DAEMON_TIME: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct LogArgs {
    /// The task's id
    id: i64,
    /// Print the output of a running command as it is written, until the task is finished
    #[arg(long, short, conflicts_with = "timestamps")]
    follow: bool,
    /// Merge both streams, each line with its time
    #[arg(long, short)]
    timestamps: bool,
    /// Print the bytes as they are kept, also those that would control the terminal
    #[arg(long, conflicts_with = "timestamps")]
    raw: bool,
}

pub(super) async fn run(open: &OpenSession, output: Printer, args: LogArgs) -> anyhow::Result<u8> {
    if args.follow {
        return follow(open, output, args.id, args.raw).await;
    }
    let id = args.id;
    let mut written = Vec::new();
    let attempts = open.attempts(id).await?;
    for attempt in &attempts {
        if let Some(text) = open.store.output(attempt.id).await? {
            written.push((attempt, text));
        }
    }
    if output.is_json() {
        let rows: Vec<_> = written.iter().map(|(_, text)| text).collect();
        output.value(&rows)?;
        return Ok(0);
    }
    if attempts.is_empty() {
        let task = open.store.task(id).await.map_err(with_advice)?;
        let task = task.with_context(|| lookup::unknown_task(id))?;
        if task.state == TaskState::Running {
            anyhow::bail!("no attempt of task {id} has ended yet: --follow shows its output");
        }
        let why = why_it_waits(open, output, &task).await?.map(|why| format!("; {}", why.sentence));
        anyhow::bail!(
            "task {id} has not begun, so that it has no output: it is {}{}",
            task.state,
            why.unwrap_or_default()
        );
    }
    if written.is_empty() {
        print_line!("The attempts of task {id} wrote nothing.");
    }
    for (attempt, text) in written {
        print_line!("── attempt {}, {} ──", attempt.attempt, attempt.outcome);
        match args.timestamps {
            true => print_timed(output, attempt, &text),
            false => print_plain(&text, args.raw),
        }
    }
    Ok(0)
}

/// An attempt with its output, as JSON. Its payload is written as it came.
#[derive(Serialize)]
struct WrittenAttempt<'a> {
    #[serde(flatten)]
    attempt: &'a history::Model,
    output: Option<output::Model>,
}

/// Prints what these attempts have written.
pub(super) async fn of_attempts(open: &OpenSession, output: Printer, rows: &[history::Model]) -> anyhow::Result<u8> {
    let mut written = Vec::new();
    for attempt in rows {
        let text = open.store.output(attempt.id).await?;
        if output.is_json() {
            written.push(WrittenAttempt { attempt, output: text });
            continue;
        }
        let task = attempt.task_id.map(|id| format!("task {id}, ")).unwrap_or_default();
        let at = output.time(attempt.finished_at);
        print_line!("── {task}{}, attempt {}: {}, {at} ──", attempt.name, attempt.attempt, attempt.outcome);
        match text {
            Some(text) => print_plain(&text, false),
            None => print_line!("(no output)"),
        }
    }
    if output.is_json() {
        output.value(&written)?;
    } else if rows.is_empty() {
        print_line!("No matching attempts.");
    }
    Ok(0)
}

fn print_plain(text: &output::Model, is_raw: bool) {
    let print = |text: &str| if is_raw { print_raw(text.as_bytes()) } else { print_text(text) };
    print(&text.stdout);
    if !text.stderr.is_empty() {
        print_line!("── standard error ──");
        print(&text.stderr);
    }
}

/// Both streams as the database has them, standard output first.
fn kept(text: &output::Model) -> [Kept; 2] {
    let stream = |name: &str, written: &str| {
        let times = |path: &str| text.times.as_ref()?.pointer(path).cloned();
        Kept {
            text: written.to_owned(),
            truncated: text.truncated,
            stamps: times(&format!("/{name}"))
                .and_then(|stamps| serde_json::from_value(stamps).ok())
                .unwrap_or_default(),
            omission: times(&format!("/left_out/{name}")).and_then(|omission| serde_json::from_value(omission).ok()),
            written: None,
        }
    };
    [stream("stdout", &text.stdout), stream("stderr", &text.stderr)]
}

/// Prints the lines of both streams in the order of their times.
fn print_timed(output: Printer, attempt: &history::Model, text: &output::Model) {
    let [out, err] = kept(text);
    let tagged = |tag: &'static str, kept: &Kept| -> Vec<(u64, &'static str, String)> {
        kept.lines().map(|(at, line)| (at.unwrap_or_default(), tag, line.to_owned())).collect()
    };
    let mut lines = tagged("out", &out);
    lines.extend(tagged("err", &err));
    lines.sort_by_key(|(at, _, _)| *at);
    let format = if output.zone() == Tz::UTC { "%F %T%.3fZ" } else { "%F %T%.3f%:z" };
    for (at, tag, line) in lines {
        let at = attempt.started_at.map(|started| started + TimeDelta::milliseconds(at as i64));
        let at = at.map(|at| format!("{} ", at.with_timezone(&output.zone()).format(format))).unwrap_or_default();
        print_text(&format!("{at}{tag} {line}\n"));
    }
}

/// Prints output as it is written, until the task is finished.
async fn follow(open: &OpenSession, output: Printer, id: i64, is_raw: bool) -> anyhow::Result<u8> {
    let root = open.config.daemon.state_dir.join("attempts");
    let (mut is_announced, mut seen) = (false, None);
    // When it was last seen that the daemon has something to do next: begin an attempt, or record its end.
    let mut changed_at = Instant::now();
    loop {
        let task = open.store.task(id).await.map_err(with_advice)?;
        let newest = NodeDir::newest_attempt(&root, id).filter(|attempt_dir| attempt_dir.claim() > seen);
        if let Some(attempt_dir) = &newest
            && follow_attempt(open, attempt_dir, is_raw).await?
        {
            (seen, changed_at) = (attempt_dir.claim(), Instant::now());
            continue;
        }
        let Some(task) = task else {
            let attempts = open.attempts(id).await?;
            anyhow::ensure!(!attempts.is_empty(), lookup::unknown_task(id));
            // It ran elsewhere: what it wrote is in the database now.
            if seen.is_none() {
                return of_attempts(open, output, &attempts).await;
            }
            return Ok(0);
        };
        if task.state != TaskState::Running {
            changed_at = Instant::now();
        } else if !is_announced && changed_at.elapsed() >= DAEMON_TIME {
            is_announced = true;
            let was_here = newest.and_then(|attempt_dir| attempt_dir.claim()).or(seen);
            if was_here.is_some_and(|claim| claim.fence == task.fence) {
                print_error!("sexton: the attempt has ended; no daemon has recorded it yet");
            } else {
                print_error!(
                    "sexton: task {id} is running on {}, and its output cannot be read in {}: what it wrote is printed \
                     here when it has ended",
                    task.node.unwrap_or_default(),
                    root.display()
                );
            }
        }
        tokio::time::sleep(POLL_INTERVAL * 5).await;
    }
}

/// Prints the output of one attempt until its end. Returns false if the attempt is neither held nor has an end: it is
/// just being made, or was lost.
async fn follow_attempt(open: &OpenSession, attempt_dir: &AttemptDir, is_raw: bool) -> anyhow::Result<bool> {
    let mut streams = OUTPUT_STREAMS.map(|name| (CommandStream::new(name, is_raw), Tail::new(attempt_dir, name)));
    let mut was_held = false;
    while attempt_dir.is_held()? {
        was_held = true;
        for (sink, stream) in &mut streams {
            stream.read(&mut |piece| sink.print(piece))?;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let Some([out, err]) = end_of_attempt(open, attempt_dir).await? else { return Ok(was_held) };
    for ((sink, stream), kept) in streams.iter_mut().zip([out, err]) {
        stream.finish(&kept, &mut |piece| sink.print(piece))?;
    }
    Ok(true)
}

/// What was kept of the output of an attempt that has ended: from its result, or already from the database.
async fn end_of_attempt(open: &OpenSession, attempt_dir: &AttemptDir) -> anyhow::Result<Option<[Kept; 2]>> {
    if let Some(end) = attempt_dir.result()? {
        return Ok(Some([end.stdout, end.stderr]));
    }
    let Some(claim) = attempt_dir.claim() else { return Ok(None) };
    let row = open.attempts(claim.task_id).await?.into_iter().rfind(|row| row.fence == claim.fence);
    let Some(row) = row else { return Ok(None) };
    Ok(Some(open.store.output(row.id).await?.map_or_else(Default::default, |text| kept(&text))))
}

/// The stream that a command has written to, for its output.
struct CommandStream {
    is_error: bool,
    /// Absent if the bytes are printed as they are.
    cleaner: Option<Cleaner>,
}

impl CommandStream {
    fn new(stream: &str, is_raw: bool) -> Self {
        Self { is_error: stream == "stderr", cleaner: (!is_raw).then(Cleaner::default) }
    }

    fn print(&mut self, piece: Piece<'_>) -> std::io::Result<()> {
        let note;
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::LeftOut(count) => {
                note = gap(count);
                note.as_bytes()
            }
        };
        let clean = self.cleaner.as_mut().map(|cleaner| cleaner.push(bytes));
        let bytes = clean.as_ref().map_or(bytes, String::as_bytes);
        if self.is_error {
            return std::io::stderr().write_all(bytes);
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }
}
