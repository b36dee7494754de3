//! Attempts on disk: what a shepherd is told, what it has seen, and how a daemon finds both again.
//!
//! ```text
//! state_dir/attempts/NODE/lock             held by the daemon that looks after what is beside it
//!                        /4711-3/          task and fence
//!                                attempt   what is to be done; held by the shepherd for life
//!                                input     the payload, the command's standard input
//!                                stdout, stderr, progress    while it runs: the beginning of its output, how far it is
//!                                stdout.tail, stdout.tail.old, …    what follows: where it begins, and its bytes
//!                                stop      why it is to end
//!                                result    how it ended: whole and durable, or not there
//! ```
//!
//! Locks (flock) are what tells the living from the dead. The operating system lets go of them with the process,
//! so no process number is ever taken for another's.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, Flock, FlockArg, fallocate},
};
use serde::{Serialize, de::DeserializeOwned};

use super::launch_spec::{AttemptManifest, StopOrder};
use crate::{
    domain::{
        command::{
            CommandEnd,
            answer::{Answer, Progress},
            capture::Kept,
        },
        task::claim::Claim,
    },
    files::{error_at, try_lock},
};

/// The files of a running command's output, as they are called.
pub const OUTPUT_STREAMS: [&str; 2] = ["stdout", "stderr"];
const ATTEMPT: &str = "attempt";
const INPUT: &str = "input";
const PROGRESS: &str = "progress";
const RESULT: &str = "result";
const STOP: &str = "stop";
/// The ending of an attempt that nobody may take on any more.
const LOST: &str = "lost";
/// A result without its output fits into so much, which is set aside from the start.
const RESERVED_BYTES: i64 = 4_096;

/// One attempt on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptDir {
    path: PathBuf,
}

/// An attempt of which nobody knows what became.
pub enum AttemptDirState {
    /// Its shepherd lives, and has this process number.
    Running(i32),
    /// It has ended, and has its result.
    Ended,
    /// Nobody stands over it, and there is no result.
    Lost {
        /// Whether a shepherd had taken it on.
        begun: bool,
    },
}

/// A lock under which a shepherd is started: nobody takes the attempt for a dead one meanwhile.
pub(super) struct StartLock {
    _lock: Flock<File>,
}

impl AttemptDir {
    /// Writes down what is to be done, and holds it until a shepherd does.
    pub(super) fn create<A: Serialize>(
        node_dir: &Path,
        claim: Claim,
        manifest: &AttemptManifest<A>,
        input: Option<&[u8]>,
    ) -> io::Result<(Self, StartLock)> {
        let dir = Self { path: node_dir.join(claim.to_string()) };
        DirBuilder::new().mode(0o700).create(&dir.path).map_err(error_at(&dir.path))?;
        match dir.write_manifest(manifest, input) {
            Ok(claimed) => Ok((dir, claimed)),
            Err(error) => {
                dir.remove();
                Err(error)
            }
        }
    }

    fn write_manifest<A: Serialize>(
        &self,
        manifest: &AttemptManifest<A>,
        input: Option<&[u8]>,
    ) -> io::Result<StartLock> {
        if let Some(input) = input {
            self.create_file(INPUT, input)?;
        }
        let path = self.path.join(ATTEMPT);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(error_at(&path))?;
        let held =
            try_lock(file, FlockArg::LockSharedNonblock)?.ok_or_else(|| io::Error::other("it is held already"))?;
        let mut text = serde_json::to_vec(manifest)?;
        text.push(b'\n');
        (&*held).write_all(&text).map_err(error_at(&path))?;
        Ok(StartLock { _lock: held })
    }

    /// A dir that is known to be one.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The task and the fence.
    pub fn claim(&self) -> Option<Claim> {
        Claim::parse(self.path.file_name()?.to_str()?)
    }

    /// What was written down.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn manifest<A: DeserializeOwned>(&self) -> io::Result<AttemptManifest<A>> {
        let mut line = String::new();
        let path = self.path.join(ATTEMPT);
        let file = File::open(&path).or_else(|_| File::open(path.with_extension(LOST)))?;
        BufReader::new(file).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Takes the attempt on, as its shepherd: holds it for as long as the file is open, and enters the process.
    /// None if somebody has found it first, and has given it up for dead.
    pub(super) fn acquire(&self) -> io::Result<Option<Flock<File>>> {
        let path = self.path.join(ATTEMPT);
        let mut file = match File::options().read(true).append(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let Some(held) = try_lock(file.try_clone()?, FlockArg::LockSharedNonblock)? else { return Ok(None) };
        // Given up for dead between the opening and the locking?
        if !path.exists() {
            return Ok(None);
        }
        let own = std::process::id() as i32;
        file.write_all(format!("{own}\n").as_bytes())?;
        // A daemon that has lost its fork server may have asked another one: the first entry counts.
        Ok((self.shepherd(&File::open(&path)?)? == Some(own)).then_some(held))
    }

    /// Gives an attempt up before it begins: nobody can take it on after this.
    pub(super) fn mark_lost(&self) -> io::Result<()> {
        let path = self.path.join(ATTEMPT);
        fs::rename(&path, path.with_extension(LOST))
    }

    /// What became of it. An attempt that is lost can never be taken on after this.
    ///
    /// # Errors
    /// If the dir cannot be read.
    pub fn inspect(&self) -> io::Result<AttemptDirState> {
        let path = self.path.join(ATTEMPT);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(AttemptDirState::Lost {
                    begun: self.shepherd(&File::open(path.with_extension(LOST))?)?.is_some(),
                });
            }
            file => file?,
        };
        // A lock belongs to the open file: this one is opened for it alone.
        if let Some(held) = try_lock(File::open(&path)?, FlockArg::LockExclusiveNonblock)? {
            if self.result()?.is_some() {
                return Ok(AttemptDirState::Ended);
            }
            self.mark_lost()?;
            drop(held);
            return Ok(AttemptDirState::Lost { begun: self.shepherd(&file)?.is_some() });
        }
        match self.shepherd(&file)? {
            Some(pid) => Ok(AttemptDirState::Running(pid)),
            // Held, but by nobody who has said so yet.
            None => Err(io::Error::new(io::ErrorKind::WouldBlock, "it is just being started")),
        }
    }

    /// Who has taken it on, as it says itself in the second line.
    fn shepherd(&self, file: &File) -> io::Result<Option<i32>> {
        let second = BufReader::new(file).lines().nth(1).transpose()?;
        Ok(second.and_then(|line| line.parse().ok()))
    }

    /// Whether its shepherd lives.
    ///
    /// # Errors
    /// If that cannot be found out for now.
    pub fn is_held(&self) -> io::Result<bool> {
        match File::open(self.path.join(ATTEMPT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            file => Ok(try_lock(file?, FlockArg::LockExclusiveNonblock)?.is_none()),
        }
    }

    /// The command's standard input.
    pub(super) fn input(&self) -> io::Result<File> {
        match File::open(self.path.join(INPUT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null"),
            file => file,
        }
    }

    /// How it ended, once its shepherd has ended. A result that is whole counts, whether or not a power cut has undone
    /// its renaming.
    ///
    /// # Errors
    /// If it is there and cannot be read for now.
    pub fn result(&self) -> io::Result<Option<CommandEnd>> {
        for name in [RESULT.to_owned(), format!("{RESULT}.new")] {
            match fs::read(self.path.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => return Ok(serde_json::from_slice(&text?).ok()),
            }
        }
        Ok(None)
    }

    /// How far it has got, as it says itself.
    pub fn progress(&self) -> Option<Progress> {
        serde_json::from_slice(&fs::read(self.path.join(PROGRESS)).ok()?).ok()
    }

    /// Notes how far it has got.
    pub(super) fn set_progress(&self, progress: &Progress) -> io::Result<()> {
        self.replace(PROGRESS, &serde_json::to_vec(progress)?)
    }

    /// Notes why it is to end.
    pub(super) fn set_stop(&self, order: &StopOrder) -> io::Result<()> {
        self.replace(STOP, &serde_json::to_vec(order)?)
    }

    /// Why it is to end, if anybody has said so.
    pub(super) fn stop(&self) -> Option<StopOrder> {
        serde_json::from_slice(&fs::read(self.path.join(STOP)).ok()?).ok()
    }

    /// Sets a little room aside (its errors are passed on by their number), so that a result can be written down on a full disk as well.
    pub(super) fn reserve_result(&self) -> io::Result<File> {
        let path = self.path.join(format!("{RESULT}.new"));
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, RESERVED_BYTES) {
            // Not every file system can.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(file),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down how it ended, durably; without its output if there is no room for that.
    pub(super) fn set_result(&self, mut file: File, end: &CommandEnd) -> io::Result<()> {
        let mut text = serde_json::to_vec(end)?;
        if let Err(error) = file.write_all(&text) {
            let lost = |kept: &Kept| match kept.text.is_empty() {
                true => Kept::default(),
                false => Kept { text: format!("[the output is lost: {error}]\n"), truncated: true, ..Kept::default() },
            };
            let answer = Answer {
                retry_after: end.answer.retry_after,
                discard: end.answer.discard.as_ref().map(|why| why.chars().take(200).collect()),
                ..Answer::default()
            };
            let bare = CommandEnd { stdout: lost(&end.stdout), stderr: lost(&end.stderr), answer, ..end.clone() };
            text = serde_json::to_vec(&bare)?;
            io::Seek::rewind(&mut file)?;
            file.write_all(&text)?;
        }
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        fs::rename(self.path.join(format!("{RESULT}.new")), self.path.join(RESULT))
    }

    /// Writes a file that did not exist.
    fn create_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(error_at(&path))?;
        file.write_all(bytes).map_err(error_at(&path))
    }

    /// Replaces a file, so that whoever reads it sees the old or the new one, whole.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        let _ = fs::remove_file(self.path.join(&new));
        self.create_file(&new, bytes)?;
        fs::rename(self.path.join(new), self.path.join(name))
    }

    /// Removes it with everything in it.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(root: &Path) -> (AttemptDir, StartLock) {
        AttemptDir::create(root, Claim::new(4711, 3), &AttemptManifest::sample(), Some(b"{}")).unwrap()
    }

    #[test]
    fn an_attempt_that_was_given_up_cannot_begin() {
        let root = tempfile::tempdir().unwrap();
        let (dir, held) = created(root.path());
        let busy = dir.inspect().map(|_| ()).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock, "it may begin at any moment");
        drop(held);
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Lost { begun: false }));
        assert!(dir.acquire().unwrap().is_none(), "the shepherd comes too late");
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Lost { begun: false }), "and that stays so");
        assert_eq!(dir.manifest::<u8>().unwrap(), AttemptManifest::sample());
    }

    #[test]
    fn a_lock_tells_whether_its_shepherd_lives() {
        let root = tempfile::tempdir().unwrap();
        let (dir, held) = created(root.path());
        let taken = dir.acquire().unwrap().unwrap();
        drop(held);
        let own = std::process::id() as i32;
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Running(pid) if pid == own));
        let end = CommandEnd { exit_code: Some(3), ..CommandEnd::default() };
        dir.set_result(dir.reserve_result().unwrap(), &end).unwrap();
        assert!(
            matches!(dir.inspect().unwrap(), AttemptDirState::Running(_)),
            "it is not over before the shepherd has gone"
        );
        drop(taken);
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Ended));
        assert_eq!(dir.result().unwrap(), Some(end));
    }

    #[test]
    fn of_two_shepherds_the_first_one_counts() {
        let root = tempfile::tempdir().unwrap();
        let (dir, _held) = created(root.path());
        // As another process has done it.
        let mut file = File::options().append(true).open(dir.path().join(ATTEMPT)).unwrap();
        file.write_all(b"1\n").unwrap();
        assert!(dir.acquire().unwrap().is_none());
    }

    #[test]
    fn a_shepherd_without_a_word_is_a_loss() {
        let root = tempfile::tempdir().unwrap();
        let (dir, held) = created(root.path());
        let taken = dir.acquire().unwrap().unwrap();
        dir.reserve_result().unwrap();
        drop((held, taken));
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Lost { begun: true }));
    }

    #[test]
    fn a_result_whose_name_was_lost_counts_if_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let (dir, held) = created(root.path());
        let end = CommandEnd { exit_code: Some(0), ..CommandEnd::default() };
        dir.set_result(dir.reserve_result().unwrap(), &end).unwrap();
        let (named, unnamed) = (dir.path().join("result"), dir.path().join("result.new"));
        fs::rename(&named, &unnamed).unwrap();
        drop(held);
        assert_eq!(dir.result().unwrap(), Some(end));
        fs::write(&unnamed, "{\"exit_code\":0").unwrap();
        assert_eq!(dir.result().unwrap(), None, "half a result is none");
    }
}
