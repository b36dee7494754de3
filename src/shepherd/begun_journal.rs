//! The journal of begun attempts: by it the next daemon on this machine can tell tasks that a killed daemon had begun
//! from those that it had only claimed.
//!
//! A file of fixed size in the node directory: a line for the boot and the database, then one claim in each place. A
//! claim is written before its attempt begins. It is not flushed: a killed process loses nothing, and after a crash of
//! the machine the journal does not count.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::{boot_id::is_same_kernel, node_dir::BEGUN};
use crate::{
    domain::{identity::DatabaseId, task::claim::Claim},
    files::{error_at, own_file},
};

/// The length of the first line, with the spaces that fill it.
const HEADER: usize = 256;
const ENTRY: usize = 16;
/// Several times what can be in flight, so that places are seldom searched.
const PLACES: usize = 16_384;
const NO_CLAIM: Claim = Claim::new(0, 0);

/// Which attempts this daemon has begun. It is opened with the first of them.
#[derive(Debug, Default)]
pub struct BegunJournal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unopened,
    Open(OpenJournal),
    /// It could not be opened or written, and there is no file: the next daemon knows nothing of this one.
    Lost,
}

#[derive(Debug)]
struct OpenJournal {
    path: PathBuf,
    file: File,
    claims: Vec<Claim>,
    free: Vec<usize>,
}

impl BegunJournal {
    /// Enters an attempt that begins now. `dir` is the node directory, which is asked for once. A place becomes free when
    /// its claim is not in flight any more.
    ///
    /// # Errors
    /// If the journal cannot be opened or written. That is reported once, and from then on nothing is entered.
    pub fn enter(
        &self,
        claim: Claim,
        dir: impl FnOnce() -> io::Result<PathBuf>,
        database: Option<&DatabaseId>,
        is_in_flight: impl Fn(Claim) -> bool,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        let entered = match &mut *state {
            State::Lost => return Ok(()),
            State::Open(journal) => journal.enter(claim, is_in_flight),
            State::Unopened => dir().and_then(|dir| OpenJournal::create(&dir, database)).and_then(|mut journal| {
                let entered = journal.enter(claim, is_in_flight);
                *state = State::Open(journal);
                entered
            }),
        };
        if entered.is_err() {
            // A journal with gaps would make a begun attempt look like one that never began.
            if let State::Open(journal) = std::mem::replace(&mut *state, State::Lost) {
                let _ = fs::remove_file(&journal.path);
            }
        }
        entered
    }

    /// Reads the journal of a daemon that is gone: the attempts that it began, and perhaps some that are recorded by now.
    /// None if there is no journal, or none that counts: of an earlier boot, or of another database.
    ///
    /// # Errors
    /// If the file cannot be read at present.
    pub fn read(dir: &Path, database: Option<&DatabaseId>) -> io::Result<Option<HashSet<Claim>>> {
        let path = dir.join(BEGUN);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error_at(&path)(error)),
        };
        let Some((header, entries)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
        let mut words = std::str::from_utf8(header).unwrap_or_default().split_whitespace();
        let is_of_this_boot = words.next().is_some_and(is_same_kernel);
        if !is_of_this_boot || words.next() != Some(database_word(database)) {
            return Ok(None);
        }
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).unwrap_or_default();
        let claim = |entry: &[u8]| Claim::new(number(&entry[..8]), number(&entry[8..]));
        Ok(Some(entries.chunks_exact(ENTRY).map(claim).filter(|claim| *claim != NO_CLAIM).collect()))
    }

    /// Removes the journal of a daemon that is gone.
    pub fn remove(dir: &Path) {
        let _ = fs::remove_file(dir.join(BEGUN));
    }
}

impl OpenJournal {
    fn create(dir: &Path, database: Option<&DatabaseId>) -> io::Result<Self> {
        let path = dir.join(BEGUN);
        let file = own_file().write(true).create_new(true).mode(0o600).open(&path).map_err(error_at(&path))?;
        let words = format!("{} {}", super::boot_id(), database_word(database));
        file.set_len((HEADER + PLACES * ENTRY) as u64)
            .and_then(|()| file.write_all_at(format!("{words:<0$}\n", HEADER - 1).as_bytes(), 0))
            .map_err(error_at(&path))?;
        Ok(Self { path, file, claims: vec![NO_CLAIM; PLACES], free: (0..PLACES).rev().collect() })
    }

    fn enter(&mut self, claim: Claim, is_in_flight: impl Fn(Claim) -> bool) -> io::Result<()> {
        if self.free.is_empty() {
            self.free.extend((0..PLACES).filter(|place| !is_in_flight(self.claims[*place])));
        }
        let place = self.free.pop().ok_or_else(|| io::Error::other("the journal of begun attempts is full"))?;
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&claim.task_id.to_le_bytes());
        entry[8..].copy_from_slice(&claim.fence.to_le_bytes());
        self.file.write_all_at(&entry, (HEADER + place * ENTRY) as u64).map_err(error_at(&self.path))?;
        self.claims[place] = claim;
        Ok(())
    }
}

fn database_word(database: Option<&DatabaseId>) -> &str {
    database.map_or("-", |database| database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        (dir, path)
    }

    #[test]
    fn what_was_entered_is_read_by_the_next_daemon() {
        let (_kept, path) = dir();
        let journal = BegunJournal::default();
        assert_eq!(BegunJournal::read(&path, None).unwrap(), None, "there is no journal");
        for task in 1..=3 {
            journal.enter(Claim::new(task, 7), || Ok(path.clone()), None, |_| true).unwrap();
        }
        let begun = BegunJournal::read(&path, None).unwrap().unwrap();
        assert_eq!(begun, (1..=3).map(|task| Claim::new(task, 7)).collect());
        let other = DatabaseId::from("another".to_owned());
        assert_eq!(BegunJournal::read(&path, Some(&other)).unwrap(), None, "it is of another database");
    }

    #[test]
    fn places_of_recorded_attempts_are_used_again_and_those_in_flight_are_kept() {
        let (_kept, path) = dir();
        let journal = BegunJournal::default();
        let last = 3 * PLACES as i64;
        let is_in_flight = |claim: Claim| claim.task_id == 1 || claim.task_id == last;
        for task in 1..=last {
            journal.enter(Claim::new(task, 7), || Ok(path.clone()), None, is_in_flight).unwrap();
        }
        let begun = BegunJournal::read(&path, None).unwrap().unwrap();
        assert!(begun.contains(&Claim::new(1, 7)) && begun.contains(&Claim::new(last, 7)));
        assert!(begun.len() <= PLACES);
    }

    #[test]
    fn a_journal_with_a_gap_is_removed() {
        let (_kept, path) = dir();
        let journal = BegunJournal::default();
        let enter = |task: usize| journal.enter(Claim::new(task as i64, 7), || Ok(path.clone()), None, |_| true);
        (1..=PLACES).for_each(|task| enter(task).unwrap());
        enter(PLACES + 1).unwrap_err();
        assert_eq!(BegunJournal::read(&path, None).unwrap(), None);
        enter(1).unwrap();
        assert_eq!(BegunJournal::read(&path, None).unwrap(), None, "nothing more is entered");
    }
}
