//! Directories of the daemon, and the file systems below them.

use super::{Area, Diagnosis};
use crate::domain::daemon::{
    disk::{DiskSpace, Room},
    ownership::Untrusted,
};

/// What is known of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// The setting, such as `daemon.state_dir`.
    pub setting: String,
    /// Its path.
    pub path: String,
    /// Whether results and running commands depend on it after a restart of the machine.
    pub must_last: bool,
    /// What is there.
    pub state: DirectoryState,
}

/// What is at the path of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// Nothing.
    Missing {
        /// Whether the daemon, as this user, can create it.
        can_be_created: bool,
    },
    /// Something else.
    NotADirectory,
    /// A directory.
    Present {
        /// Its owner.
        owner: String,
        /// Permission bits.
        mode: u32,
        /// Whether this user may write to it.
        is_writable: bool,
        /// Whether the daemon may write to it; none if its account is not known.
        is_writable_by_daemon: Option<bool>,
        /// Why the daemon does not trust it, if it does not. Where its account is not known, the owner is taken for it.
        untrusted: Option<Untrusted>,
        /// Its file system.
        file_system: FileSystem,
    },
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Where its data is.
    pub kind: FileSystemKind,
    /// Whether nothing can be written.
    pub is_read_only: bool,
    /// How much room it has.
    pub space: DiskSpace,
}

/// Where the data of a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemKind {
    /// On a disk of this machine, as far as is known.
    Local,
    /// In memory.
    Memory,
    /// On another machine.
    Network(&'static str),
}

impl FileSystemKind {
    /// The kind by the number that statfs(2) gives.
    pub fn of(magic: i64) -> Self {
        match magic & 0xffff_ffff {
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            0x6969 => Self::Network("NFS"),
            0x517b | 0xff53_4d42 | 0xfe53_4d42 => Self::Network("SMB"),
            0x0102_1997 => Self::Network("9p"),
            0x00c3_6400 => Self::Network("Ceph"),
            0x5346_414f => Self::Network("AFS"),
            0x0bd0_0bd0 => Self::Network("Lustre"),
            0x7461_636f => Self::Network("OCFS2"),
            0x0116_1970 => Self::Network("GFS2"),
            _ => Self::Local,
        }
    }
}

/// The findings about a directory. `expected` is the account of the daemon, if it is known.
pub fn diagnose(directory: &DirectoryFacts, expected: Option<&str>) -> Vec<Diagnosis> {
    let DirectoryFacts { setting, path, .. } = directory;
    let name = format!("{setting} ({path})");
    match &directory.state {
        DirectoryState::Missing { can_be_created: true } => {
            vec![Diagnosis::ok(Area::Directories, format!("{name} does not exist yet: the daemon creates it."))]
        }
        DirectoryState::Missing { .. } => vec![Diagnosis::error(
            Area::Directories,
            format!("{name} does not exist, and this user cannot create it."),
            "The daemon does not start without it.",
            format!("Create it for the user of the daemon: install -d -m 0700 -o sexton {path}"),
        )],
        DirectoryState::NotADirectory => vec![Diagnosis::error(
            Area::Directories,
            format!("{name} is not a directory."),
            "The daemon does not start without it.",
            format!("Move {path} away, or change {setting}."),
        )],
        DirectoryState::Present { owner, mode, is_writable, is_writable_by_daemon, untrusted, file_system } => {
            let mut found = Vec::new();
            let is_unusable = *untrusted == Some(Untrusted::Owner) || *is_writable_by_daemon == Some(false);
            // An account that this machine does not know owns nothing.
            let is_strange = |expected: &&str| is_writable_by_daemon.is_none() && expected != owner;
            if let Some(expected) = expected.filter(|expected| is_unusable || is_strange(expected)) {
                let bits = mode & 0o7777;
                found.push(Diagnosis::error(
                    Area::Directories,
                    match expected == owner {
                        true => {
                            format!("The daemon runs as {expected}, which may not write to {name} (mode {bits:04o}).")
                        }
                        false => format!("{name} belongs to {owner}, and the daemon runs as {expected}."),
                    },
                    "The daemon cannot keep its state there.",
                    match expected == owner {
                        true => format!("chmod u+rwx {path}"),
                        false => format!("chown -R {expected}: {path}"),
                    },
                ));
            } else if expected.is_none() && !is_writable {
                found.push(Diagnosis::warning(
                    Area::Directories,
                    format!("This user cannot write to {name}, which belongs to {owner}."),
                    "A daemon of this user would not start. Nothing is wrong if the daemon runs as another user.",
                    format!("Run the command as the user of the daemon: sudo -u {owner} sexton doctor"),
                ));
            }
            if let Some(who) = match untrusted {
                Some(Untrusted::Everybody) => Some("Every user"),
                Some(Untrusted::Group) => Some("Its group"),
                Some(Untrusted::Owner) | None => None,
            } {
                found.push(Diagnosis::error(
                    Area::Directories,
                    format!("{who} may write to {name} (mode {:04o}).", mode & 0o7777),
                    "The daemon does not start: others could change what it takes for the results of its commands.",
                    format!("chmod go-w {path}"),
                ));
            }
            found.extend(of_file_system(directory, &name, file_system));
            if found.is_empty() {
                let words = file_system.space.words();
                found.push(Diagnosis::ok(Area::Directories, format!("{name} belongs to {owner}; {words}.")));
            }
            found
        }
    }
}

fn of_file_system(directory: &DirectoryFacts, name: &str, file_system: &FileSystem) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if file_system.is_read_only {
        found.push(Diagnosis::error(
            Area::Directories,
            format!("The file system of {name} is read-only."),
            "The daemon cannot keep its state there.",
            format!("mount -o remount,rw $(findmnt -no TARGET -T {})", directory.path),
        ));
    }
    if directory.must_last && file_system.kind == FileSystemKind::Memory {
        found.push(Diagnosis::warning(
            Area::Directories,
            format!("{name} is in memory (tmpfs)."),
            "After a reboot, the results of finished commands that the database does not have yet are lost, and those \
             commands run again.",
            format!("Set {} to a directory on a disk, such as /var/lib/sexton.", directory.setting),
        ));
    }
    if let (true, FileSystemKind::Network(kind)) = (directory.must_last, file_system.kind) {
        found.push(Diagnosis::warning(
            Area::Directories,
            format!("{name} is on a network file system ({kind})."),
            "Locks and flushes may not hold there, and a silent server stops the daemon.",
            format!("Set {} to a directory on a local disk.", directory.setting),
        ));
    }
    let words = file_system.space.words();
    let room = match file_system.space.room() {
        Room::Plenty => return found,
        Room::Scarce => Diagnosis::warning,
        Room::Full => Diagnosis::error,
    };
    found.push(room(
        Area::Directories,
        format!("The file system of {name} is nearly full: {words}."),
        "Commands cannot start, and output is lost, when it is full.",
        format!("Make room, or move {}.", directory.setting),
    ));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    fn directory(state: DirectoryState) -> DirectoryFacts {
        DirectoryFacts {
            setting: "daemon.state_dir".to_owned(),
            path: "/var/lib/sexton".to_owned(),
            must_last: true,
            state,
        }
    }

    fn present(owner: &str, mode: u32, is_writable: bool, kind: FileSystemKind, free: u64) -> DirectoryFacts {
        let space = DiskSpace { free, total: 100 << 20, ..DiskSpace::default() };
        let file_system = FileSystem { kind, is_read_only: false, space };
        let by_daemon = (owner == "sexton", mode & 0o020 != 0);
        directory(DirectoryState::Present {
            owner: owner.to_owned(),
            mode,
            is_writable,
            is_writable_by_daemon: Some(by_daemon.0 || by_daemon.1),
            untrusted: (mode & 0o002 != 0).then_some(Untrusted::Everybody),
            file_system,
        })
    }

    #[test]
    fn a_directory_of_root_to_which_the_daemon_may_write_is_sound() {
        let found = diagnose(&present("root", 0o40770, false, FileSystemKind::Local, 50 << 20), Some("sexton"));
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Ok), "{found:#?}");
    }

    #[test]
    fn each_fault_is_found() {
        const MANY: u64 = 50 << 20;
        let (local, memory, nfs) = (FileSystemKind::Local, FileSystemKind::Memory, FileSystemKind::Network("NFS"));
        let cases = [
            (directory(DirectoryState::Missing { can_be_created: true }), Gravity::Ok, "does not exist yet"),
            (directory(DirectoryState::Missing { can_be_created: false }), Gravity::Error, "cannot create it"),
            (directory(DirectoryState::NotADirectory), Gravity::Error, "is not a directory"),
            (present("sexton", 0o40700, true, local, MANY), Gravity::Ok, "belongs to sexton; 50.0 MiB of 100.0 MiB"),
            (present("root", 0o40700, false, local, MANY), Gravity::Error, "belongs to root, and the daemon runs as"),
            (present("sexton", 0o40777, true, local, MANY), Gravity::Error, "Every user may write to daemon.state_dir"),
            (present("sexton", 0o40700, true, memory, MANY), Gravity::Warning, "is in memory (tmpfs)"),
            (present("sexton", 0o40700, true, nfs, MANY), Gravity::Warning, "network file system (NFS)"),
            (present("sexton", 0o40700, true, local, 5 << 20), Gravity::Warning, "5.0 MiB of 100.0 MiB are free"),
            (present("sexton", 0o40700, true, local, 0), Gravity::Error, "nearly full: 0 bytes"),
        ];
        for (facts, severity, words) in cases {
            let found = diagnose(&facts, Some("sexton"));
            assert_eq!((found.len(), found[0].severity), (1, severity), "{found:#?}");
            assert!(found[0].found.contains(words), "{words}: {}", found[0].found);
        }
    }

    #[test]
    fn another_user_says_that_it_cannot_write() {
        let found = diagnose(&present("sexton", 0o40700, false, FileSystemKind::Local, 50 << 20), None);
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Warning));
        assert!(found[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("sudo -u sexton")), "{found:#?}");
    }

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        let kinds = [0x0102_1994, 0x6969, 0xef53, -0x00ac_b2be].map(FileSystemKind::of);
        let expected = [
            FileSystemKind::Memory,
            FileSystemKind::Network("NFS"),
            FileSystemKind::Local,
            FileSystemKind::Network("SMB"),
        ];
        assert_eq!(kinds, expected, "the number of SMB may come with a sign");
    }
}
