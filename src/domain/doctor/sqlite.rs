//! SQLite: its file, and the file system below it.

use super::{
    Area, Diagnosis,
    directory::{FileSystem, FileSystemKind},
};
use crate::domain::daemon::disk::{Room, size};

/// A log file of this size, and larger than the database, shows that something keeps it from being written back.
const LARGE_LOG: u64 = 64 << 20;
/// Free pages below this size do not matter.
const LARGE_WASTE: u64 = 64 << 20;

/// What is known of an SQLite database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteFacts {
    /// The version of the library in this program.
    pub version: String,
    /// `wal` if all is well.
    pub journal_mode: String,
    /// The size of the database, in bytes.
    pub bytes: u64,
    /// What of that is unused, in bytes.
    pub unused: u64,
}

/// What is known of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteFileFacts {
    /// Its path.
    pub path: String,
    /// Its owner.
    pub owner: String,
    /// Permission bits.
    pub mode: u32,
    /// Whether this user may write to it.
    pub is_writable: bool,
    /// Whether the daemon may write to it; none if its account is not known.
    pub is_writable_by_daemon: Option<bool>,
    /// The size of its log file, in bytes.
    pub log_bytes: u64,
    /// Its file system.
    pub file_system: FileSystem,
}

/// The findings about a database.
pub fn diagnose(database: &SqliteFacts) -> Vec<Diagnosis> {
    let found = format!("The database is SQLite {}, {}.", database.version, size(database.bytes));
    let mut found = vec![Diagnosis::ok(Area::Database, found)];
    if !database.journal_mode.eq_ignore_ascii_case("wal") {
        found.push(Diagnosis::warning(
            Area::Database,
            format!("journal_mode is {}.", database.journal_mode),
            "Readers and the daemon block each other. SQLite falls back to this mode on file systems without shared \
             memory.",
            "Move the file to a local disk.",
        ));
    }
    if database.unused > LARGE_WASTE && database.unused > database.bytes / 2 {
        found.push(Diagnosis::note(
            Area::Tables,
            format!("{} of {} are unused.", size(database.unused), size(database.bytes)),
            "Sexton uses that room again. It only matters if the disk is small.",
            "Stop the daemon, and run: sqlite3 FILE VACUUM",
        ));
    }
    found
}

/// The findings about its file. `expected` is the account of the daemon, if it is known.
pub fn diagnose_file(file: &SqliteFileFacts, database_bytes: u64, expected: Option<&str>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let path = &file.path;
    // An account that this machine does not know owns nothing.
    let cannot =
        |expected: &&str| !file.is_writable_by_daemon.unwrap_or(*expected == file.owner || *expected == "root");
    if let Some(expected) = expected.filter(cannot) {
        found.push(Diagnosis::error(
            Area::Database,
            format!("{path} belongs to {}, and the daemon runs as {expected}.", file.owner),
            "The daemon cannot write to its database.",
            match expected == file.owner {
                true => format!("chmod u+w {path}*"),
                false => format!("chown {expected}: {path}*"),
            },
        ));
    } else if expected.is_none() && !file.is_writable {
        found.push(Diagnosis::warning(
            Area::Rights,
            format!("This user cannot write to {path}, which belongs to {}.", file.owner),
            "A daemon of this user would not work.",
            format!("Run the command as the user of the daemon: sudo -u {} sexton doctor", file.owner),
        ));
    }
    if file.mode & 0o002 != 0 {
        found.push(Diagnosis::warning(
            Area::Rights,
            format!("Everybody may write to {path} (mode {:04o}).", file.mode & 0o7777),
            "Every user of this machine can enqueue tasks and change the history.",
            format!("chmod o-w {path}"),
        ));
    }
    if let FileSystemKind::Network(kind) = file.file_system.kind {
        found.push(Diagnosis::error(
            Area::Database,
            format!("{path} is on a network file system ({kind})."),
            "SQLite's locks do not hold there: the file is damaged sooner or later.",
            "Move it to a local disk, or use PostgreSQL, MariaDB or MySQL.",
        ));
    }
    if file.file_system.kind == FileSystemKind::Memory {
        found.push(Diagnosis::error(
            Area::Database,
            format!("{path} is in memory (tmpfs)."),
            "All tasks and the whole history are lost at the next reboot.",
            "Move it to a disk.",
        ));
    }
    if file.log_bytes > LARGE_LOG && file.log_bytes > database_bytes {
        found.push(Diagnosis::warning(
            Area::Transactions,
            format!("{path}-wal has {}, more than the database.", size(file.log_bytes)),
            "A program keeps an old transaction open. Until it ends, the log grows, and reading becomes slow.",
            format!("Find the program, and end its transaction: fuser -v {path}"),
        ));
    }
    let room = match file.file_system.space.room() {
        Room::Plenty => return found,
        Room::Scarce => Diagnosis::warning,
        Room::Full => Diagnosis::error,
    };
    found.push(room(
        Area::Database,
        format!("The file system of {path} is nearly full: {}.", file.file_system.space.words()),
        "When it is full, no task is accepted, and results wait in daemon.state_dir.",
        "Make room, or lower daemon.keep_history.",
    ));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{daemon::disk::DiskSpace, doctor::Gravity};

    fn file() -> SqliteFileFacts {
        let space = DiskSpace { free: 50 << 20, total: 100 << 20, ..DiskSpace::default() };
        SqliteFileFacts {
            path: "/var/lib/s.db".to_owned(),
            owner: "sexton".to_owned(),
            mode: 0o100640,
            is_writable: true,
            is_writable_by_daemon: Some(true),
            log_bytes: 0,
            file_system: FileSystem { kind: FileSystemKind::Local, is_read_only: false, space },
        }
    }

    fn of_kind(kind: FileSystemKind) -> SqliteFileFacts {
        SqliteFileFacts { file_system: FileSystem { kind, ..file().file_system }, ..file() }
    }

    #[test]
    fn each_fault_of_the_file_is_found() {
        assert_eq!(diagnose_file(&file(), 0, Some("sexton")), []);
        let full = FileSystem { space: DiskSpace { free: 0, ..file().file_system.space }, ..file().file_system };
        let cases = [
            (
                SqliteFileFacts { owner: "root".to_owned(), is_writable_by_daemon: Some(false), ..file() },
                Gravity::Error,
                "belongs to root",
            ),
            (SqliteFileFacts { mode: 0o100666, ..file() }, Gravity::Warning, "(mode 0666)"),
            (of_kind(FileSystemKind::Network("NFS")), Gravity::Error, "network file system (NFS)"),
            (of_kind(FileSystemKind::Memory), Gravity::Error, "is in memory"),
            (SqliteFileFacts { log_bytes: 100 << 20, ..file() }, Gravity::Warning, "s.db-wal has 100.0 MiB"),
            (SqliteFileFacts { file_system: full, ..file() }, Gravity::Error, "nearly full"),
        ];
        for (facts, severity, words) in cases {
            let found = diagnose_file(&facts, 1 << 20, Some("sexton"));
            assert_eq!((found.len(), found[0].severity), (1, severity), "{found:#?}");
            assert!(found[0].found.contains(words), "{words}: {}", found[0].found);
        }
    }

    #[test]
    fn what_the_daemon_may_write_is_no_finding() {
        // By its group; and this user need not be the daemon's.
        let shared = SqliteFileFacts { owner: "www-data".to_owned(), is_writable: false, ..file() };
        assert_eq!(diagnose_file(&shared, 0, Some("sexton")), []);
        let found = diagnose_file(&SqliteFileFacts { is_writable_by_daemon: None, ..shared }, 0, None);
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Warning));
        assert!(found[0].found.contains("This user cannot write"), "{}", found[0].found);
    }

    #[test]
    fn the_journal_and_unused_pages_are_looked_at() {
        let good = SqliteFacts {
            version: "3.50.0".to_owned(),
            journal_mode: "wal".to_owned(),
            bytes: 200 << 20,
            unused: 50 << 20,
        };
        assert_eq!(diagnose(&good), [Diagnosis::ok(Area::Database, "The database is SQLite 3.50.0, 200.0 MiB.")]);
        let rollback = SqliteFacts { journal_mode: "delete".to_owned(), ..good.clone() };
        assert_eq!(diagnose(&rollback)[1].found, "journal_mode is delete.");
        let bloated = SqliteFacts { unused: 150 << 20, ..good };
        assert_eq!(diagnose(&bloated)[1].severity, Gravity::Note);
    }
}
