//! The lease of a node in a file beside its attempts: a shepherd stops its command in time even if the daemon is gone,
//! frozen, or cannot act.
//!
//! The daemon overwrites the file in place at each heartbeat, which needs no space on a full disk. The text is there twice,
//! so that a reader notices a half-written one.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::domain::daemon::lease::Grant;

/// The name of the file in a node directory.
pub(super) const LEASE: &str = "lease";
/// How soon a shepherd reads a half-written file again.
const READ_AGAIN: Duration = Duration::from_millis(20);

/// The lease files of one daemon: that of its own node directory, and those of daemons whose commands it has adopted.
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LeaseFiles {
    adopted: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl LeaseFiles {
    /// Commands in that node directory were adopted: from now on they depend on this node's lease.
    pub fn adopt(&self, node_dir: &Path, grant: Option<Grant>) {
        if let Some(grant) = grant {
            report(node_dir, write(node_dir, &grant, true));
        }
        self.adopted.lock().insert(node_dir.to_owned());
    }

    /// The lease was renewed.
    pub fn renew(&self, own: Option<&Path>, grant: &Grant) {
        if let Some(own) = own {
            report(own, write(own, grant, true));
        }
        // Once its last command has ended, the adopter removes the directory. It must not appear again.
        self.adopted.lock().retain(|dir| match write(dir, grant, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            written => {
                report(dir, written);
                true
            }
        });
    }
}

fn report(node_dir: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        tracing::warn!(
            "cannot write {}: {error}; commands that must stop with the lease are stopped when it would be over",
            node_dir.join(LEASE).display()
        );
    }
}

fn write(node_dir: &Path, grant: &Grant, create: bool) -> io::Result<()> {
    let Grant { asked_at, length, is_alone } = grant;
    let line = format!("{:020} {:020} {}\n", asked_at.as_micros(), length.as_micros(), u8::from(*is_alone));
    let mut file = File::options().write(true).create(create).truncate(false).mode(0o600).open(node_dir.join(LEASE))?;
    file.write_all(line.repeat(2).as_bytes())
}

fn read(path: &Path) -> Option<Grant> {
    let text = fs::read_to_string(path).ok()?;
    let (one, two) = text.split_at_checked(text.len() / 2)?;
    let mut fields = one.split_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let (asked_at, length, is_alone) = (next()?, next()?, next()? == 1);
    let grant = Grant { asked_at: Duration::from_micros(asked_at), length: Duration::from_micros(length), is_alone };
    (one == two).then_some(grant)
}

/// The lease of its node as a shepherd sees it, whose command must have ended before the lease does.
pub(super) struct NodeLease {
    file: PathBuf,
    grant: Grant,
    kill_after: Duration,
    look_at: Duration,
}

impl NodeLease {
    /// The lease that the node had when the attempt began.
    pub(super) fn new(attempt_dir: &Path, grant: Grant, kill_after: Duration) -> Self {
        let file = attempt_dir.with_file_name(LEASE);
        Self { file, grant, kill_after, look_at: Duration::ZERO }
    }

    /// The grace time of the command if it must stop now.
    pub(super) fn check(&mut self, now: Duration) -> Option<Duration> {
        if now < self.look_at {
            return None;
        }
        if let Some(newer) = read(&self.file).filter(|found| found.asked_at > self.grant.asked_at) {
            self.grant = newer;
        }
        // Another node may have come: a third of a lease later there is still time to stop.
        let rest = match self.grant.is_alone {
            true => self.grant.length / 3,
            false => self.grant.stop_at(self.kill_after).saturating_sub(now),
        };
        self.look_at = now + rest.max(READ_AGAIN);
        self.grant.stop(now, self.kill_after)
    }

    /// The time until the next check.
    pub(super) fn until_check(&self, now: Duration) -> Duration {
        self.look_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn grant(asked_at: u32, is_alone: bool) -> Grant {
        Grant { asked_at: SECOND * asked_at, length: SECOND * 30, is_alone }
    }

    fn node_dir() -> (tempfile::TempDir, LeaseFiles, NodeLease) {
        let folder = tempfile::tempdir().expect("a directory");
        let lease = NodeLease::new(&folder.path().join("4711-3"), grant(100, false), SECOND * 5);
        (folder, LeaseFiles::default(), lease)
    }

    #[test]
    fn a_command_stops_unless_the_lease_is_renewed() {
        let (folder, files, mut lease) = node_dir();
        assert_eq!((lease.check(SECOND * 101), lease.until_check(SECOND * 101)), (None, SECOND * 21));
        files.renew(Some(folder.path()), &grant(110, false));
        assert_eq!((lease.check(SECOND * 122), lease.until_check(SECOND * 122)), (None, SECOND * 10));
        assert_eq!(lease.check(SECOND * 132), Some(SECOND * 5), "nobody renewed it");
    }

    #[test]
    fn without_a_file_the_lease_of_the_start_counts() {
        let (_folder, _, mut lease) = node_dir();
        assert_eq!(lease.check(SECOND * 121), None);
        assert_eq!(lease.check(SECOND * 122), Some(SECOND * 5));
    }

    #[test]
    fn a_node_alone_stops_nothing_until_another_one_comes() {
        let (folder, files, mut lease) = node_dir();
        files.renew(Some(folder.path()), &grant(110, true));
        assert_eq!((lease.check(SECOND * 10_000), lease.until_check(SECOND * 10_000)), (None, SECOND * 10));
        files.renew(Some(folder.path()), &grant(10_001, false));
        assert_eq!(lease.check(SECOND * 10_010), None);
        assert_eq!(lease.check(SECOND * 10_024), Some(SECOND * 4));
    }

    #[test]
    fn an_adopted_directory_is_renewed_until_it_is_gone() {
        let (folder, files, mut lease) = node_dir();
        let adopted = folder.path().join("dead");
        fs::create_dir(&adopted).expect("a directory");
        files.adopt(&adopted, Some(grant(110, false)));
        files.renew(None, &grant(120, false));
        assert_eq!(read(&adopted.join(LEASE)), Some(grant(120, false)));
        fs::remove_dir_all(&adopted).expect("removed");
        files.renew(None, &grant(130, false));
        assert!(!adopted.exists() && files.adopted.lock().is_empty());
        assert_eq!(lease.check(SECOND * 101), None);
    }

    #[test]
    fn a_half_written_file_does_not_count() {
        let (folder, files, _) = node_dir();
        files.renew(Some(folder.path()), &grant(110, false));
        let path = folder.path().join(LEASE);
        let torn = fs::read_to_string(&path).expect("the file").replacen('1', "2", 1);
        fs::write(&path, torn).expect("written");
        assert_eq!(read(&path), None);
    }
}
