//! Looks at the files of a folder, on a thread of its own: a file system that does not answer keeps nothing else back.

use std::{
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::oneshot;

use crate::domain::{
    doctor::directory::FileSystemKind,
    event::{file_state::FileState, path_watch::PathPattern},
};

/// The number that statfs(2) gives for a file system that a program serves.
const FUSE: i64 = 0x6573_5546;

/// Which files to look at.
pub(super) enum FilesWanted {
    /// All of the folder.
    All,
    /// Those of these names, which need not be there.
    Named(Vec<OsString>),
}

/// What a look has found.
pub(super) struct FolderFacts {
    /// By this the folder is known from another one that comes to its place.
    pub(super) identity: FolderIdentity,
    /// Whether the kernel cannot tell of changes that others make, so that it is looked at from time to time.
    pub(super) is_remote: bool,
    /// Whether these are all of its files.
    pub(super) is_whole: bool,
    /// Files of triggers; without a state, no file has this name any more.
    pub(super) files: Vec<(OsString, Option<FileState>)>,
    /// The first file that could not be looked at, and why.
    pub(super) failed: Option<String>,
}

/// Device, number and birth of a folder.
pub(super) type FolderIdentity = (u64, u64, Option<i128>);

/// A look that is under way.
pub(super) type FolderLooking = oneshot::Receiver<io::Result<FolderFacts>>;

/// Begins to look.
///
/// # Errors
/// If no thread can be started.
pub(super) fn begin(folder: PathBuf, patterns: Arc<[PathPattern]>, wanted: FilesWanted) -> io::Result<FolderLooking> {
    let (tell, answer) = oneshot::channel();
    let work = move || drop(tell.send(look(&folder, &patterns, wanted)));
    thread::Builder::new().name("folder".to_owned()).spawn(work)?;
    Ok(answer)
}

fn look(folder: &Path, patterns: &[PathPattern], wanted: FilesWanted) -> io::Result<FolderFacts> {
    let metadata = fs::metadata(folder)?;
    let kind = rustix::fs::statfs(folder)?.f_type;
    let is_remote = matches!(FileSystemKind::of(kind), FileSystemKind::Network(_)) || kind & 0xffff_ffff == FUSE;
    let mut facts = FolderFacts {
        identity: (metadata.dev(), metadata.ino(), born(&metadata)),
        is_remote,
        is_whole: matches!(wanted, FilesWanted::All),
        files: Vec::new(),
        failed: None,
    };
    match wanted {
        FilesWanted::All => {
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                if patterns.iter().any(|pattern| pattern.matches(&name)) {
                    facts.add(folder, name);
                }
            }
        }
        FilesWanted::Named(names) => names.into_iter().for_each(|name| facts.add(folder, name)),
    }
    Ok(facts)
}

impl FolderFacts {
    fn add(&mut self, folder: &Path, name: OsString) {
        // A link is not followed: who may write to the folder could have a task read any file.
        match fs::symlink_metadata(folder.join(&name)) {
            Ok(found) => self.files.push((name, found.is_file().then(|| state(&found)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.files.push((name, None)),
            Err(error) => {
                self.failed.get_or_insert_with(|| format!("{}: {error}", Path::new(&name).display()));
            }
        }
    }
}

fn state(file: &Metadata) -> FileState {
    FileState {
        inode: file.ino(),
        size: file.size(),
        modified: i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec()),
        born: born(file),
    }
}

fn born(metadata: &Metadata) -> Option<i128> {
    let born: SystemTime = metadata.created().ok()?;
    born.duration_since(UNIX_EPOCH).ok().and_then(|since| i128::try_from(since.as_nanos()).ok())
}
