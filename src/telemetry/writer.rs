//! The thread that writes the log. Other threads queue their lines and continue: a full pipe, a stopped terminal or a
//! hung disk blocks this thread only.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tracing::Level;

use super::entry::LogEntry;
use crate::{clock::machine_time, domain::text::plural::counted};

/// Maximum number of queued lines. Further lines are dropped and counted.
pub(super) const CAPACITY: usize = 4_096;

/// Why lines are dropped here.
pub(super) const OVERFLOW: &str = "they came faster than they could be written";

/// A handle to the thread. Clones are handles to the same thread.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<WriterQueue>);

#[derive(Debug)]
struct WriterQueue {
    capacity: usize,
    backlog: Mutex<Backlog>,
    /// A line was queued.
    added: Condvar,
    /// All lines are written.
    emptied: Condvar,
}

/// The queued lines, the oldest first.
#[derive(Debug, Default)]
struct Backlog {
    items: VecDeque<WriterItem>,
    is_writing: bool,
}

#[derive(Debug)]
enum WriterItem {
    LogEntry(Box<LogEntry>),
    /// This number of lines was dropped here.
    Gap(u64),
}

impl LogWriter {
    /// Starts the thread, which ends with the process.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub(super) fn start(capacity: usize, mut write: impl FnMut(&LogEntry) + Send + 'static) -> std::io::Result<Self> {
        let shared = WriterQueue {
            capacity,
            backlog: Mutex::new(Backlog::default()),
            added: Condvar::new(),
            emptied: Condvar::new(),
        };
        let writer = Self(Arc::new(shared));
        let shared = writer.0.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            // This thread must not log: its lines would come back here.
            loop {
                match shared.next() {
                    WriterItem::LogEntry(entry) => write(&entry),
                    WriterItem::Gap(count) => {
                        let message = format!("{} lost: {OVERFLOW}", counted(count, "line"));
                        write(&LogEntry::own(Level::WARN, message, machine_time()));
                    }
                }
            }
        })?;
        Ok(writer)
    }

    /// Queues a line without waiting. Returns whether there was room; a line without room is dropped.
    pub(super) fn push(&self, entry: LogEntry) -> bool {
        let mut backlog = self.0.backlog.lock();
        if backlog.items.len() < self.0.capacity {
            backlog.items.push_back(WriterItem::LogEntry(Box::new(entry)));
            drop(backlog);
            self.0.added.notify_one();
            return true;
        }
        // Mark the position of the missing lines.
        match backlog.items.back_mut() {
            Some(WriterItem::Gap(count)) => *count += 1,
            _ => backlog.items.push_back(WriterItem::Gap(1)),
        }
        false
    }

    /// Waits until all lines are written, for `limit` at most. Returns whether they are.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        let is_busy = |backlog: &mut Backlog| backlog.is_writing || !backlog.items.is_empty();
        let mut backlog = self.0.backlog.lock();
        !self.0.emptied.wait_while_for(&mut backlog, is_busy, limit).timed_out()
    }
}

impl WriterQueue {
    /// Waits for the next line; the one before it is written.
    fn next(&self) -> WriterItem {
        let mut backlog = self.backlog.lock();
        loop {
            if let Some(item) = backlog.items.pop_front() {
                backlog.is_writing = true;
                return item;
            }
            backlog.is_writing = false;
            self.emptied.notify_all();
            self.added.wait(&mut backlog);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn entry(message: &str) -> LogEntry {
        LogEntry::own(Level::INFO, message.to_owned(), machine_time())
    }

    /// A writer that reports each line before it writes it, and waits for permission.
    fn slow(capacity: usize) -> (LogWriter, Receiver<String>, std::sync::mpsc::Sender<()>) {
        let ((writing, written), (proceed, may_proceed)) = (channel(), channel());
        let writer = LogWriter::start(capacity, move |entry| {
            let _ = writing.send(entry.message.clone());
            let _ = may_proceed.recv();
        });
        (writer.unwrap(), written, proceed)
    }

    #[test]
    fn no_thread_waits_and_missing_lines_are_marked() {
        let (writer, written, proceed) = slow(2);
        assert!(writer.push(entry("0")));
        assert_eq!(written.recv().unwrap(), "0");
        let taken = [1, 2, 3, 4, 5].map(|number| writer.push(entry(&number.to_string())));
        assert_eq!(taken, [true, true, false, false, false]);
        assert!(!writer.finish(Duration::from_millis(10)), "it hangs");
        proceed.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "1");
        proceed.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "2");
        assert!(writer.push(entry("6")));
        for _ in 0..3 {
            proceed.send(()).unwrap();
        }
        assert_eq!(written.recv().unwrap(), format!("3 lines lost: {OVERFLOW}"));
        assert_eq!(written.recv().unwrap(), "6");
        assert!(writer.finish(Duration::from_secs(60)));
    }

    #[test]
    fn the_end_waits_for_what_is_left() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let writer = LogWriter::start(CAPACITY, move |entry| kept.lock().push(entry.message.clone()));
        let writer = writer.unwrap();
        let expected: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        for line in &expected {
            assert!(writer.push(entry(line)));
        }
        assert!(writer.finish(Duration::from_secs(60)));
        assert_eq!(*lines.lock(), expected);
    }
}
