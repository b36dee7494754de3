//! `sexton task log`: what the attempts of a task have written, or are writing just now.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::TimeDelta;
use clap::Args;
use sexton_entities::{history, output, states::TaskState};

use super::{
    output::Output,
    session::{Open, explained},
    task::attempts,
};
use crate::{
    domain::capture::{Kept, gap, without_nul},
    shepherd::{Folder, Home, LIVE_STREAMS},
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

pub(super) async fn run(open: &Open, output: Output, args: LogArgs) -> anyhow::Result<u8> {
    if args.follow {
        return follow(open, args.id).await;
    }
    let id = args.id;
    let mut written = Vec::new();
    let attempts = attempts(open, id).await?;
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
        println!("The attempts of task {id} wrote nothing.");
    }
    for (attempt, text) in written {
        println!("── attempt {}, {} ──", attempt.attempt, attempt.outcome);
        match args.timestamps {
            true => print_timed(attempt, &text),
            false => print_plain(&text),
        }
    }
    Ok(0)
}

fn print_plain(text: &output::Model) {
    print!("{}", text.stdout);
    if !text.stderr.is_empty() {
        println!("── standard error ──");
        print!("{}", text.stderr);
    }
}

/// The lines of both streams in the order of their arrival.
fn print_timed(attempt: &history::Model, text: &output::Model) {
    let kept = |name: &str, written: &str| Kept {
        text: written.to_owned(),
        truncated: false,
        stamps: text
            .times
            .as_ref()
            .and_then(|times| serde_json::from_value(times.get(name)?.clone()).ok())
            .unwrap_or_default(),
    };
    let (out, err) = (kept("stdout", &text.stdout), kept("stderr", &text.stderr));
    let tagged = |tag: &'static str, kept: &Kept| -> Vec<(u64, &'static str, String)> {
        kept.lines().map(|(at, line)| (at.unwrap_or_default(), tag, line.to_owned())).collect()
    };
    let mut lines = tagged("out", &out);
    lines.extend(tagged("err", &err));
    lines.sort_by_key(|(at, _, _)| *at);
    for (at, tag, line) in lines {
        let at = TimeDelta::milliseconds(at as i64);
        match attempt.started_at {
            Some(started) => println!("{} {tag} {line}", (started + at).format("%F %T%.3fZ")),
            None => println!("{tag} {line}"),
        }
    }
}

/// Prints what comes, until the task is finished.
async fn follow(open: &Open, id: i64) -> anyhow::Result<u8> {
    let root = open.config.daemon.state_dir.join("attempts");
    let (mut is_told, mut seen) = (false, None);
    loop {
        let task = open.store.task(id).await.map_err(explained)?;
        if let Some(folder) = Home::newest_attempt(&root, id).filter(|folder| folder.claim() > seen) {
            follow_attempt(open, &folder).await?;
            seen = folder.claim();
            continue;
        }
        let Some(task) = task else {
            anyhow::ensure!(!attempts(open, id).await?.is_empty(), "there is no task {id}, and none on record");
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
async fn follow_attempt(open: &Open, folder: &Folder) -> anyhow::Result<()> {
    let mut streams = LIVE_STREAMS.map(|name| Live::new(folder.path(), name));
    while folder.is_held()? {
        for stream in &mut streams {
            stream.read()?;
        }
        tokio::time::sleep(LOOK).await;
    }
    let [mut out, mut err] = streams;
    // What came at the very end is in its result, or in the database already.
    if let Some(end) = folder.result()? {
        out.finish(&end.stdout.text)?;
        err.finish(&end.stderr.text)?;
        return Ok(());
    }
    let (id, fence) = folder.claim().unwrap_or_default();
    let row = attempts(open, id).await?.into_iter().rfind(|row| row.fence == fence);
    let Some(row) = row else { return Ok(()) };
    if let Some(text) = open.store.output(row.id).await? {
        out.finish(&text.stdout)?;
        err.finish(&text.stderr)?;
    }
    Ok(())
}

/// A stream that is being written.
struct Live {
    path: PathBuf,
    is_error: bool,
    head: Option<File>,
    head_length: u64,
    /// How much of the stream has been shown, or left out.
    shown: u64,
}

impl Live {
    fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), is_error: name == "stderr", head: None, head_length: 0, shown: 0 }
    }

    fn print(&self, bytes: &[u8]) -> std::io::Result<()> {
        match self.is_error {
            true => std::io::stderr().write_all(bytes),
            false => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
        }
    }

    /// Shows what is new on disk. The head can be read to its end even after it was removed.
    fn read(&mut self) -> std::io::Result<()> {
        if self.head.is_none() {
            self.head = File::open(&self.path).ok();
        }
        if let Some(head) = &self.head {
            let mut bytes = vec![0; 64 * 1024];
            loop {
                let count = head.read_at(&mut bytes, self.head_length)?;
                if count == 0 {
                    break;
                }
                self.print(&bytes[..count])?;
                self.head_length += count as u64;
                self.shown = self.shown.max(self.head_length);
            }
        }
        let mut tail = Vec::new();
        if File::open(self.path.with_extension("tail")).and_then(|mut file| file.read_to_end(&mut tail)).is_ok()
            && let Some(end) = tail.iter().position(|byte| *byte == b'\n')
            && let Ok(begin) = String::from_utf8_lossy(&tail[..end]).parse::<u64>()
        {
            self.show_from(begin, &tail[end + 1..])?;
        }
        Ok(())
    }

    /// Shows the part of a stretch of the stream that was not yet shown.
    fn show_from(&mut self, begin: u64, bytes: &[u8]) -> std::io::Result<()> {
        let end = begin + bytes.len() as u64;
        if end <= self.shown {
            return Ok(());
        }
        if begin > self.shown {
            self.print(gap(begin - self.shown).as_bytes())?;
        }
        let skipped = self.shown.saturating_sub(begin) as usize;
        self.print(&bytes[skipped..])?;
        self.shown = end;
        Ok(())
    }

    /// Shows the rest of what was kept in the end.
    fn finish(&mut self, text: &str) -> std::io::Result<()> {
        self.read()?;
        let mut head = vec![0; self.head_length as usize];
        if let Some(file) = &self.head {
            file.read_exact_at(&mut head, 0)?;
        }
        // What was kept is text, in which some bytes have become longer.
        let as_text = without_nul(String::from_utf8_lossy(&head).into_owned());
        let (begin, rest) = end_of(text, as_text.len(), self.head_length);
        self.show_from(begin, rest.as_bytes())
    }
}

/// What a kept text says of the stream beyond its head, which has so many bytes in the text and in the stream: from
/// which byte of the stream on, and its text.
fn end_of(text: &str, in_text: usize, in_stream: u64) -> (u64, &str) {
    let rest = text.get(in_text..).unwrap_or_default();
    let note = rest.strip_prefix("\n[… ").and_then(|rest| rest.split_once(" bytes left out …]\n"));
    match note.and_then(|(count, rest)| Some((count.parse::<u64>().ok()?, rest))) {
        Some((left_out, rest)) => (in_stream + left_out, rest),
        None => (in_stream, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_found_in_what_was_kept() {
        assert_eq!(end_of("one\ntwo\n", 4, 4), (4, "two\n"));
        assert_eq!(end_of("abcd\n[… 100 bytes left out …]\nxyz", 4, 4), (104, "xyz"));
        assert_eq!(end_of("a\u{fffd}b\n", 4, 2), (2, "b\n"), "a byte that was no text is three in the text");
        assert_eq!(end_of("", 4, 4), (4, ""));
    }
}
