//! `sexton task log`: what the attempts of a task have written, or are writing just now.

use std::{io::Write as _, time::Duration};

use chrono::TimeDelta;
use clap::Args;
use sexton_entities::{history, output, states::TaskState};

use super::{
    output::{Printer, print, say},
    session::{Open, explained},
};
use crate::{
    domain::command::capture::{Kept, gap},
    shepherd::{AttemptDir, NodeDir, OUTPUT_STREAMS, Piece, Tail},
};

/// Between two looks at what is being written.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(super) struct LogArgs {
    /// The task
    id: i64,
    /// Show what a running command writes, as it comes, until the task is finished
    #[arg(long, short, conflicts_with = "timestamps")]
    follow: bool,
    /// Show both streams in one, each line with the time of its arrival
    #[arg(long, short)]
    timestamps: bool,
}

pub(super) async fn run(open: &Open, output: Printer, args: LogArgs) -> anyhow::Result<u8> {
    if args.follow {
        return follow(open, args.id).await;
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
        let is_there = open.store.task(id).await.map_err(explained)?.is_some();
        anyhow::ensure!(is_there, "there is no task {id}, and none on record");
        anyhow::bail!("no attempt of task {id} has ended yet: --follow shows what it writes");
    }
    if written.is_empty() {
        say!("The attempts of task {id} wrote nothing.");
    }
    for (attempt, text) in written {
        say!("── attempt {}, {} ──", attempt.attempt, attempt.outcome);
        match args.timestamps {
            true => print_timed(attempt, &text),
            false => print_plain(&text),
        }
    }
    Ok(0)
}

fn print_plain(text: &output::Model) {
    print(&text.stdout);
    if !text.stderr.is_empty() {
        say!("── standard error ──");
        print(&text.stderr);
    }
}

/// What the database has of both streams, standard output first.
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

/// The lines of both streams in the order of their arrival.
fn print_timed(attempt: &history::Model, text: &output::Model) {
    let [out, err] = kept(text);
    let tagged = |tag: &'static str, kept: &Kept| -> Vec<(u64, &'static str, String)> {
        kept.lines().map(|(at, line)| (at.unwrap_or_default(), tag, line.to_owned())).collect()
    };
    let mut lines = tagged("out", &out);
    lines.extend(tagged("err", &err));
    lines.sort_by_key(|(at, _, _)| *at);
    for (at, tag, line) in lines {
        let at = TimeDelta::milliseconds(at as i64);
        match attempt.started_at {
            Some(started) => say!("{} {tag} {line}", (started + at).format("%F %T%.3fZ")),
            None => say!("{tag} {line}"),
        }
    }
}

/// Prints what comes, until the task is finished.
async fn follow(open: &Open, id: i64) -> anyhow::Result<u8> {
    let root = open.config.daemon.state_dir.join("attempts");
    let (mut is_told, mut seen) = (false, None);
    loop {
        let task = open.store.task(id).await.map_err(explained)?;
        if let Some(folder) = NodeDir::newest_attempt(&root, id).filter(|folder| folder.claim() > seen) {
            follow_attempt(open, &folder).await?;
            seen = folder.claim();
            continue;
        }
        let Some(task) = task else {
            anyhow::ensure!(!open.attempts(id).await?.is_empty(), "there is no task {id}, and none on record");
            return Ok(0);
        };
        if task.state == TaskState::Running && !is_told {
            is_told = true;
            let node = task.node.unwrap_or_default();
            match seen {
                Some(_) => eprintln!("sexton: its attempt has ended; no daemon has recorded that yet"),
                None => eprintln!(
                    "sexton: task {id} runs on {node}; what it writes can be seen on that machine, by whoever may read {}",
                    root.display()
                ),
            }
        }
        tokio::time::sleep(LOOK * 5).await;
    }
}

/// Prints what one attempt writes, until its end.
async fn follow_attempt(open: &Open, folder: &AttemptDir) -> anyhow::Result<()> {
    let mut streams = OUTPUT_STREAMS.map(|name| (name, Tail::new(folder, name)));
    while folder.is_held()? {
        for (name, stream) in &mut streams {
            stream.read(&mut |piece| print_piece(name, piece))?;
        }
        tokio::time::sleep(LOOK).await;
    }
    let mut finish = |kept: [&Kept; 2]| -> std::io::Result<()> {
        for ((name, stream), kept) in streams.iter_mut().zip(kept) {
            stream.finish(kept, &mut |piece| print_piece(name, piece))?;
        }
        Ok(())
    };
    // What came at the very end is in its result, or in the database already.
    if let Some(end) = folder.result()? {
        return Ok(finish([&end.stdout, &end.stderr])?);
    }
    let Some(claim) = folder.claim() else { return Ok(()) };
    let row = open.attempts(claim.task_id).await?.into_iter().rfind(|row| row.fence == claim.fence);
    let Some(row) = row else { return Ok(()) };
    if let Some(text) = open.store.output(row.id).await? {
        let [out, err] = kept(&text);
        finish([&out, &err])?;
    }
    Ok(())
}

/// Prints what the command wrote to where it would have gone itself.
fn print_piece(stream: &str, piece: Piece<'_>) -> std::io::Result<()> {
    let note;
    let bytes = match piece {
        Piece::Bytes(bytes) => bytes,
        Piece::LeftOut(count) => {
            note = gap(count);
            note.as_bytes()
        }
    };
    if stream == "stderr" {
        return std::io::stderr().write_all(bytes);
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
