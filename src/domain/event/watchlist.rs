//! What is known of the files of one trigger in one folder, and which of them make an event now.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    time::{Duration, Instant},
};

use super::{file_state::FileState, path_watch::FileMoment};

/// The files of one trigger in one folder.
#[derive(Debug)]
pub struct Watchlist {
    moment: FileMoment,
    settle: Duration,
    files: BTreeMap<OsString, WatchedFile>,
}

#[derive(Clone, Copy, Debug)]
struct WatchedFile {
    state: FileState,
    /// Since when it has been seen in this state.
    since: Instant,
    /// The state of its last event.
    sent: Option<FileState>,
}

impl Watchlist {
    /// An empty one.
    pub fn new(moment: FileMoment, settle: Duration) -> Self {
        Self {
            moment,
            settle: if moment == FileMoment::Settled { settle } else { Duration::ZERO },
            files: BTreeMap::new(),
        }
    }

    /// Takes in what the file system says of a file; none if it is not there.
    pub fn see(&mut self, name: &OsStr, state: Option<FileState>, now: Instant) {
        let Some(state) = state else {
            self.files.remove(name);
            return;
        };
        match self.files.get_mut(name) {
            Some(known) if known.state == state => {}
            Some(known) => (known.state, known.since) = (state, now),
            None => {
                self.files.insert(name.to_owned(), WatchedFile { state, since: now, sent: None });
            }
        }
    }

    /// Forgets the files that are not among these: the folder was read as a whole.
    pub fn keep_only(&mut self, is_there: impl Fn(&OsStr) -> bool) {
        self.files.retain(|name, _| is_there(name));
    }

    /// The files that make an event now, if they are still in that state.
    pub fn due(&self, now: Instant) -> Vec<(OsString, FileState)> {
        let due = self.files.iter().filter(|(_, file)| self.waits(file) && now >= file.since + self.settle);
        due.map(|(name, file)| (name.clone(), file.state)).collect()
    }

    /// The event of a file in this state was sent.
    pub fn sent(&mut self, name: &OsStr, state: FileState) {
        if let Some(file) = self.files.get_mut(name) {
            file.sent = Some(state);
        }
    }

    /// The files whose events were sent, with the state of that.
    pub fn all_sent(&self) -> impl Iterator<Item = (&OsStr, &FileState)> {
        self.files.iter().filter_map(|(name, file)| Some((name.as_os_str(), file.sent.as_ref()?)))
    }

    /// When the next of the files that wait makes an event, if it stays the same.
    pub fn next_due(&self) -> Option<Instant> {
        self.files.values().filter(|file| self.waits(file)).map(|file| file.since + self.settle).min()
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn waits(&self, file: &WatchedFile) -> bool {
        match (self.moment, file.sent) {
            (_, None) => true,
            (FileMoment::Created, Some(sent)) => !sent.is_same_file(&file.state),
            (FileMoment::Changed | FileMoment::Settled, Some(sent)) => sent != file.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(inode: u64, size: u64) -> FileState {
        FileState { inode, size, modified: i128::from(size), born: Some(i128::from(inode)) }
    }

    /// What is due after each state, one second after the other. Each is sent.
    fn story(moment: FileMoment, states: &[Option<FileState>]) -> Vec<bool> {
        let (begin, name) = (Instant::now(), OsStr::new("a"));
        let mut list = Watchlist::new(moment, Duration::from_secs(2));
        let step = |(second, seen): (u64, &Option<FileState>)| {
            let now = begin + Duration::from_secs(second);
            list.see(name, *seen, now);
            let due = list.due(now);
            for (name, state) in &due {
                list.sent(name, *state);
            }
            !due.is_empty()
        };
        (0..).zip(states).map(step).collect()
    }

    #[test]
    fn a_file_that_grows_is_not_settled() {
        let (small, large) = (Some(state(1, 1)), Some(state(1, 2)));
        let states = [small, small, large, large, large, large, None, large, large, large];
        let due = [false, false, false, false, true, false, false, false, false, true];
        assert_eq!(story(FileMoment::Settled, &states), due);
    }

    #[test]
    fn each_moment_has_its_events() {
        let (small, large, other) = (Some(state(1, 1)), Some(state(1, 2)), Some(state(2, 2)));
        let states = [small, small, large, other, None, other];
        assert_eq!(story(FileMoment::Created, &states), [true, false, false, true, false, true]);
        assert_eq!(story(FileMoment::Changed, &states), [true, false, true, true, false, true]);
    }

    #[test]
    fn what_the_folder_has_no_more_is_forgotten() {
        let now = Instant::now();
        let mut list = Watchlist::new(FileMoment::Settled, Duration::from_secs(2));
        for name in ["a", "b"] {
            list.see(OsStr::new(name), Some(state(1, 1)), now);
        }
        assert_eq!(list.next_due(), Some(now + Duration::from_secs(2)));
        list.keep_only(|name| name == "b");
        list.sent(OsStr::new("b"), state(1, 1));
        assert_eq!((list.len(), list.next_due(), list.all_sent().count()), (1, None, 1));
        list.keep_only(|_| false);
        assert!(list.is_empty());
    }
}
