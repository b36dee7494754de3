//! The state of a file, by which two events of one file differ.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use chrono::DateTime;
use serde_json::{Map, Value};
use sexton_client::domain::new_event::NewEvent;
use sha2::{Digest as _, Sha256};

use super::path_watch::{FILE_EVENTS, FileMoment, PathWatch};

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its number in the file system.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was changed last, in nanoseconds since 1970.
    pub modified: i128,
    /// When it was created, where the file system keeps that.
    pub born: Option<i128>,
}

impl FileState {
    /// Whether both are states of one file, whatever was written into it.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.inode, self.born) == (other.inode, other.born)
    }

    /// What distinguishes the event of this state. A folder that all nodes share has other inodes on each of them.
    fn distinction(&self, watch: &PathWatch) -> String {
        let content = format!("{} {}", self.modified, self.size);
        match (watch.moment, self.born) {
            _ if watch.is_shared => content,
            // What is written later makes no second event.
            (FileMoment::Created, Some(born)) => format!("{} born {born}", self.inode),
            _ => format!("{} {content}", self.inode),
        }
    }
}

/// The key of the event of a file in this state, for a trigger. On another node it is another one, unless the folder is
/// shared.
pub fn event_key(trigger: &str, watch: &PathWatch, node: &str, path: &Path, state: &FileState) -> String {
    let node = if watch.is_shared { "" } else { node };
    let distinction = state.distinction(watch);
    let mut digest = Sha256::new();
    for part in [trigger.as_bytes(), watch.moment.as_str().as_bytes(), node.as_bytes(), path.as_os_str().as_bytes()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(distinction.as_bytes());
    format!("file-{}", hex(&digest.finalize()))
}

/// The event of a file in this state, for a trigger.
pub fn file_event(trigger: &str, watch: &PathWatch, node: &str, path: &Path, state: &FileState) -> NewEvent {
    let text = |text: &std::ffi::OsStr| Value::from(text.to_string_lossy());
    let mut payload = Map::new();
    payload.insert("path".to_owned(), text(path.as_os_str()));
    payload.insert("name".to_owned(), text(path.file_name().unwrap_or_default()));
    payload.insert("size".to_owned(), state.size.into());
    payload.insert("modified".to_owned(), instant(state.modified).into());
    payload.insert("node".to_owned(), node.into());
    if path.to_str().is_none() {
        // A text cannot hold it: the name above has replacements.
        payload.insert("path_hex".to_owned(), hex(path.as_os_str().as_bytes()).into());
    }
    NewEvent::new(format!("{FILE_EVENTS}{trigger}")).payload(payload).key(event_key(trigger, watch, node, path, state))
}

fn instant(nanos: i128) -> Option<String> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Some(DateTime::from_timestamp(seconds, rest)?.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, time::Duration};

    use serde_json::json;

    use super::*;

    const STATE: FileState = FileState { inode: 7, size: 12, modified: 1_000_000_000_500_000_000, born: Some(3) };

    fn watch(moment: FileMoment, is_shared: bool) -> PathWatch {
        let paths = vec!["/in/*".parse().expect("a pattern")];
        PathWatch { paths, moment, settle: Duration::from_secs(2), is_shared }
    }

    fn key(watch: &PathWatch, node: &str, state: FileState) -> String {
        event_key("t", watch, node, Path::new("/in/a"), &state)
    }

    #[test]
    fn a_state_has_one_key_on_a_node_or_in_the_cluster() {
        let (own, shared) = (watch(FileMoment::Settled, false), watch(FileMoment::Settled, true));
        assert_ne!(key(&own, "a", STATE), key(&own, "b", STATE));
        assert_eq!(key(&shared, "a", STATE), key(&shared, "b", FileState { inode: 8, born: None, ..STATE }));
        for other in [
            FileState { inode: 8, ..STATE },
            FileState { size: 13, ..STATE },
            FileState { modified: STATE.modified + 1, ..STATE },
        ] {
            assert_ne!(key(&own, "a", STATE), key(&own, "a", other));
        }
    }

    #[test]
    fn a_file_is_created_once_whatever_is_written_into_it() {
        let created = watch(FileMoment::Created, false);
        let longer = FileState { size: 99, modified: 5, ..STATE };
        assert_eq!(key(&created, "a", STATE), key(&created, "a", longer));
        assert_ne!(key(&created, "a", STATE), key(&created, "a", FileState { born: Some(4), ..longer }));
        let unborn = FileState { born: None, ..STATE };
        assert_ne!(
            key(&created, "a", unborn),
            key(&created, "a", FileState { size: 99, ..unborn }),
            "an inode is used again"
        );
    }

    #[test]
    fn the_event_says_which_file() {
        let event = file_event("t", &watch(FileMoment::Settled, false), "n", Path::new("/in/a.csv"), &STATE);
        let payload = event.payload.expect("a payload").decode::<Value>().expect("JSON");
        let modified = "2001-09-09T01:46:40.500000Z";
        assert_eq!(event.name, "path.t");
        assert_eq!(
            payload,
            json!({ "path": "/in/a.csv", "name": "a.csv", "size": 12, "modified": modified, "node": "n" })
        );
        let odd = Path::new("/in").join(OsStr::from_bytes(b"caf\xe9"));
        let event = file_event("t", &watch(FileMoment::Settled, false), "n", &odd, &STATE);
        let payload = event.payload.expect("a payload").decode::<Value>().expect("JSON");
        assert_eq!((&payload["name"], &payload["path_hex"]), (&json!("caf\u{fffd}"), &json!("2f696e2f636166e9")));
    }
}
