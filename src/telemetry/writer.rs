//! The thread that writes the log down. Whoever logs leaves the line with it and goes on: a full pipe that nobody
//! reads, a stopped terminal or a hung disk holds up this thread, and nobody else.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::Level;

use super::entry::LogEntry;
use crate::clock::machine_time;

/// So many lines wait to be written. What comes while it is so many is dropped and counted.
pub(super) const MOST_WAITING: usize = 4_096;

/// Why lines are dropped here.
pub(super) const TOO_FAST: &str = "they came faster than they could be written";

/// A handle on the thread. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<WriterQueue>);

#[derive(Debug)]
struct WriterQueue {
    most: usize,
    pile: Mutex<Backlog>,
    /// Something has come.
    news: Condvar,
    /// Nothing is left.
    rest: Condvar,
}

/// What waits, in the order in which it came.
#[derive(Debug, Default)]
struct Backlog {
    items: VecDeque<WriterItem>,
    is_writing: bool,
}

#[derive(Debug)]
enum WriterItem {
    LogEntry(Box<LogEntry>),
    /// Here, so many were dropped.
    Gap(u64),
}

impl LogWriter {
    /// Starts the thread, which ends with the process.
    pub(super) fn start(most: usize, mut write: impl FnMut(&LogEntry) + Send + 'static) -> std::io::Result<Self> {
        let shared =
            WriterQueue { most, pile: Mutex::new(Backlog::default()), news: Condvar::new(), rest: Condvar::new() };
        let scribe = Self(Arc::new(shared));
        let shared = scribe.0.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            // Nothing is logged in here: that would come back to here.
            loop {
                match shared.next() {
                    WriterItem::LogEntry(entry) => write(&entry),
                    WriterItem::Gap(count) => {
                        let told = format!("{count} lines were lost: {TOO_FAST}");
                        write(&LogEntry::own(Level::WARN, told, machine_time()));
                    }
                }
            }
        })?;
        Ok(scribe)
    }

    /// Queues a line, without ever waiting. Returns whether there was room; a line without room is dropped.
    pub(super) fn take(&self, entry: LogEntry) -> bool {
        let mut pile = self.0.pile();
        if pile.items.len() < self.0.most {
            pile.items.push_back(WriterItem::LogEntry(Box::new(entry)));
            drop(pile);
            self.0.news.notify_one();
            return true;
        }
        // The place is kept where they are missing.
        match pile.items.back_mut() {
            Some(WriterItem::Gap(count)) => *count += 1,
            _ => pile.items.push_back(WriterItem::Gap(1)),
        }
        false
    }

    /// Waits until everything is written, but no longer than this; tells whether it is.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        let waits = |pile: &mut Backlog| pile.is_writing || !pile.items.is_empty();
        let waited = self.0.rest.wait_timeout_while(self.0.pile(), limit, waits);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl WriterQueue {
    fn pile(&self) -> MutexGuard<'_, Backlog> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one, as soon as there is one. The one before it is written.
    fn next(&self) -> WriterItem {
        let mut pile = self.pile();
        loop {
            if let Some(item) = pile.items.pop_front() {
                pile.is_writing = true;
                return item;
            }
            pile.is_writing = false;
            self.rest.notify_all();
            pile = self.news.wait(pile).unwrap_or_else(PoisonError::into_inner);
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

    /// A scribe that says what it is about to write, and waits to be let.
    fn slow(most: usize) -> (LogWriter, Receiver<String>, std::sync::mpsc::Sender<()>) {
        let ((say, said), (go, may_go)) = (channel(), channel());
        let scribe = LogWriter::start(most, move |entry| {
            let _ = say.send(entry.message.clone());
            let _ = may_go.recv();
        });
        (scribe.unwrap(), said, go)
    }

    #[test]
    fn nobody_waits_and_what_is_missing_is_told_where_it_is_missing() {
        let (scribe, said, go) = slow(2);
        assert!(scribe.take(entry("0")));
        assert_eq!(said.recv().unwrap(), "0");
        let taken = [1, 2, 3, 4, 5].map(|number| scribe.take(entry(&number.to_string())));
        assert_eq!(taken, [true, true, false, false, false]);
        assert!(!scribe.finish(Duration::from_millis(10)), "it hangs");
        go.send(()).unwrap();
        assert_eq!(said.recv().unwrap(), "1");
        go.send(()).unwrap();
        assert_eq!(said.recv().unwrap(), "2");
        assert!(scribe.take(entry("6")));
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!(said.recv().unwrap(), format!("3 lines were lost: {TOO_FAST}"));
        assert_eq!(said.recv().unwrap(), "6");
        assert!(scribe.finish(Duration::from_secs(60)));
    }

    #[test]
    fn the_end_waits_for_what_is_left() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let scribe = LogWriter::start(MOST_WAITING, move |entry| kept.lock().unwrap().push(entry.message.clone()));
        let scribe = scribe.unwrap();
        let expected: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        for line in &expected {
            assert!(scribe.take(entry(line)));
        }
        assert!(scribe.finish(Duration::from_secs(60)));
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
