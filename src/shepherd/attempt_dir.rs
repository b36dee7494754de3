//! Attempt directories: the manifest that a shepherd reads, and the result that it writes, where any daemon finds them.
//!
//! ```text
//! state_dir/attempts/NODE/lock             locked by the daemon of that node
//!                        /lease            until when its tasks are its own
//!                        /4711-3/          task and fence
//!                                attempt   the manifest; locked by the shepherd for life
//!                                input     the payload: the command's standard input
//!                                stdout, stderr, progress    while it runs: the beginning of the output, the progress
//!                                stdout.tail, stdout.tail.old, …    the rest of the output: its offset, and its bytes
//!                                stop      the order to stop
//!                                result    the result: complete and durable, or absent
//! ```
//!
//! Locks (flock) show which daemons and shepherds are alive. The operating system releases them with the process, so a
//! reused process number is never mistaken for the old process.

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
    files::{error_at, own_file, try_lock},
};

/// The names of a command's output streams, and of the files of their beginning.
pub const OUTPUT_STREAMS: [&str; 2] = ["stdout", "stderr"];
const ATTEMPT: &str = "attempt";
const INPUT: &str = "input";
const PROGRESS: &str = "progress";
const RESULT: &str = "result";
const STOP: &str = "stop";
/// The extension of the manifest of an attempt that no shepherd may begin any more.
const LOST: &str = "lost";
/// The size of a result without output. This much disk space is reserved at the start.
const RESERVED_BYTES: i64 = 4_096;

/// The directory of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptDir {
    path: PathBuf,
}

/// The state of an attempt.
pub enum AttemptDirState {
    /// Its shepherd is alive; the shepherd's process number.
    Running(i32),
    /// It has ended, and has a result.
    Ended,
    /// It has neither a shepherd nor a result.
    Lost {
        /// Whether a shepherd had begun it.
        begun: bool,
    },
}

/// A lock that is held while a shepherd is being started, so that the attempt does not look lost.
pub(super) struct StartLock {
    _lock: Flock<File>,
}

impl AttemptDir {
    /// Creates the directory with manifest and input, locked until the shepherd holds it.
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
        // Locked and whole before it has its name: others look whether it is held.
        let path = self.path.join(ATTEMPT);
        let new_path = path.with_extension("new");
        let file = File::options().write(true).create_new(true).mode(0o600).open(&new_path);
        let held = try_lock(file.map_err(error_at(&new_path))?, FlockArg::LockSharedNonblock)?
            .ok_or_else(|| io::Error::other("another process has locked it"))?;
        let mut text = serde_json::to_vec(manifest)?;
        text.push(b'\n');
        (&*held).write_all(&text).map_err(error_at(&new_path))?;
        fs::rename(new_path, &path).map_err(error_at(&path))?;
        Ok(StartLock { _lock: held })
    }

    /// The attempt directory at that path, which is not checked.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The claim in the name of the directory; none if the directory is no attempt.
    pub fn claim(&self) -> Option<Claim> {
        Claim::parse(self.path.file_name()?.to_str()?)
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn manifest<A: DeserializeOwned>(&self) -> io::Result<AttemptManifest<A>> {
        let mut line = String::new();
        let path = self.path.join(ATTEMPT);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(path.with_extension(LOST)),
            file => file,
        }?;
        BufReader::new(file).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Acquires the attempt as its shepherd: locks it for as long as the file is open, and records the shepherd's
    /// process number. Returns none if another process was first, or has marked the attempt as lost.
    pub(super) fn acquire(&self) -> io::Result<Option<Flock<File>>> {
        let path = self.path.join(ATTEMPT);
        let mut file = match File::options().read(true).append(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let Some(held) = try_lock(file.try_clone()?, FlockArg::LockSharedNonblock)? else { return Ok(None) };
        // Was it marked as lost between the open and the lock?
        if !path.exists() {
            return Ok(None);
        }
        let own = std::process::id() as i32;
        file.write_all(format!("{own}\n").as_bytes())?;
        // A daemon that lost its fork server may have asked another one: the first entry counts.
        Ok((self.shepherd(&File::open(&path)?)? == Some(own)).then_some(held))
    }

    /// Marks an attempt as lost: no shepherd can acquire it after this.
    pub(super) fn mark_lost(&self) -> io::Result<()> {
        let path = self.path.join(ATTEMPT);
        fs::rename(&path, path.with_extension(LOST))
    }

    /// Determines the state. An attempt that is reported as lost can never be acquired after this.
    ///
    /// # Errors
    /// If the directory cannot be read. `WouldBlock` means that a shepherd is just being started.
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
        // A lock belongs to the open file, so the file is opened again for it.
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
            // Locked by the starting daemon, or by a shepherd that has not recorded itself yet.
            None => Err(io::Error::new(io::ErrorKind::WouldBlock, "its shepherd is being started")),
        }
    }

    /// The process number of the shepherd, which it has written to the second line.
    fn shepherd(&self, file: &File) -> io::Result<Option<i32>> {
        let second = BufReader::new(file).lines().nth(1).transpose()?;
        Ok(second.and_then(|line| line.parse().ok()))
    }

    /// Whether its shepherd is alive.
    ///
    /// # Errors
    /// If the lock cannot be checked at present.
    pub fn is_held(&self) -> io::Result<bool> {
        match File::open(self.path.join(ATTEMPT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            file => Ok(try_lock(file?, FlockArg::LockExclusiveNonblock)?.is_none()),
        }
    }

    /// Opens the command's standard input.
    pub(super) fn input(&self) -> io::Result<File> {
        match File::open(self.path.join(INPUT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null"),
            file => file,
        }
    }

    /// Reads the result, once the shepherd has ended. A complete result counts even if a power failure has undone its
    /// rename.
    ///
    /// # Errors
    /// If it exists and cannot be read at present.
    pub fn result(&self) -> io::Result<Option<CommandEnd>> {
        for name in [RESULT.to_owned(), format!("{RESULT}.new")] {
            match fs::read(self.path.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => return Ok(serde_json::from_slice(&text?).ok()),
            }
        }
        Ok(None)
    }

    /// The progress that the command has reported.
    pub fn progress(&self) -> Option<Progress> {
        serde_json::from_slice(&fs::read(self.path.join(PROGRESS)).ok()?).ok()
    }

    /// Stores the progress.
    pub(super) fn set_progress(&self, progress: &Progress) -> io::Result<()> {
        self.replace(PROGRESS, &serde_json::to_vec(progress)?)
    }

    /// Stores the order to stop.
    pub(super) fn set_stop(&self, order: &StopOrder) -> io::Result<()> {
        self.replace(STOP, &serde_json::to_vec(order)?)
    }

    /// The order to stop, if there is one.
    pub(super) fn stop(&self) -> Option<StopOrder> {
        serde_json::from_slice(&fs::read(self.path.join(STOP)).ok()?).ok()
    }

    /// Reserves disk space, so that the result can be written even when the disk is full. Errors keep their number,
    /// which is passed on to the daemon.
    pub(super) fn reserve_result(&self) -> io::Result<File> {
        let path = self.path.join(format!("{RESULT}.new"));
        let file = own_file().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, RESERVED_BYTES) {
            // Not all file systems support it.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(file),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the result durably; without the output if there is no space for it.
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

    /// Creates a file that must not exist.
    fn create_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(error_at(&path))?;
        file.write_all(bytes).map_err(error_at(&path))
    }

    /// Replaces a file atomically: a reader sees the old or the new one.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        let new_path = self.path.join(&new);
        let _ = fs::remove_file(&new_path);
        let replaced = self.create_file(&new, bytes).and_then(|()| fs::rename(&new_path, self.path.join(name)));
        if replaced.is_err() {
            // A full disk leaves no incomplete file behind.
            let _ = fs::remove_file(&new_path);
        }
        replaced
    }

    /// Removes the directory with all its files. Logs a warning if that fails.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
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
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock, "its shepherd may acquire it at any time");
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
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Running(_)), "it runs until its shepherd has ended");
        drop(taken);
        assert!(matches!(dir.inspect().unwrap(), AttemptDirState::Ended));
        assert_eq!(dir.result().unwrap(), Some(end));
    }

    #[test]
    fn of_two_shepherds_the_first_one_counts() {
        let root = tempfile::tempdir().unwrap();
        let (dir, _held) = created(root.path());
        // As another process writes it.
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
        assert_eq!(dir.result().unwrap(), None, "an incomplete result does not count");
    }
}
