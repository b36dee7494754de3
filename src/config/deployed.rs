//! A version of the configuration that was deployed by the database: where a node keeps it, and how its files are laid over
//! the local ones. Its signature is checked each time it is read, also from the node's own directory.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    beside::DEPLOYED,
    deploy::DeployConfig,
    mistake::{Findings, SourceLocation},
    tree::{TreeNode, TreeValue},
};
use crate::{
    domain::deploy::{MAX_BYTES, Manifest, SignedVersion},
    files::{error_at, own_file},
};

/// The directory below the state directory.
const FOLDER: &str = "deployed";
/// The version that is in force, as JSON with text and signature.
const VERSION: &str = "version.json";
/// The highest number that was ever in force.
const NUMBER: &str = "number";
/// What the file of a version is renamed to if it cannot be used.
const ASIDE: &str = "version.json.refused";
/// Maximum number of bytes of that file: JSON may write a byte of the text in six.
const MAX_FILE: u64 = 7 * MAX_BYTES as u64;

/// The tables that a version may have. None of them makes the daemon another one: not its database, its keys, its user, its
/// directories or its modules.
pub const DEPLOYABLE: [&str; 8] = ["notify", "period", "queue", "schedule", "sweep", "task", "trigger", "worker"];

/// Which version counts besides the files.
#[derive(Clone, Debug, Default)]
pub enum DeployedChoice {
    /// The one that is kept in the state directory.
    #[default]
    Kept,
    /// This one: it is checked before it is in force.
    Candidate(Arc<SignedVersion>),
    /// One that is not signed yet, to find its mistakes.
    Draft(Arc<Manifest>),
}

#[derive(Serialize, Deserialize)]
struct KeptVersion {
    text: String,
    signature: String,
}

/// Where a node keeps its version.
fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// Reads the version that is kept, if one is.
///
/// # Errors
/// If it cannot be read, or no key of `[deploy]` has signed it.
pub fn kept_version(state_dir: &Path, deploy: &DeployConfig) -> Result<Option<SignedVersion>, String> {
    let path = folder(state_dir).join(VERSION);
    let refused = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let bytes = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_FILE => return Err(refused(&"it is too large to be a version")),
        Ok(_) => fs::read(&path).map_err(|error| refused(&error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&error)),
    };
    let kept: KeptVersion = serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
    let version = deploy.keys.verify(&deploy.cluster, &kept.text, &kept.signature);
    version.map(Some).map_err(|why| refused(&why))
}

/// Keeps a version, so that the next start has it without the database.
///
/// # Errors
/// If the files cannot be written.
pub fn keep_version(state_dir: &Path, version: &SignedVersion) -> io::Result<()> {
    let folder = folder(state_dir);
    fs::create_dir_all(&folder).map_err(error_at(&folder))?;
    let kept = KeptVersion { text: version.text.clone(), signature: version.signature.clone() };
    // The number first: after a crash in between, this version is taken again, and no lower one.
    write(&folder, NUMBER, version.manifest.number.to_string().as_bytes())?;
    write(&folder, VERSION, serde_json::to_string(&kept)?.as_bytes())
}

/// Writes a file as a whole, or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = || {
        let mut file = own_file().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::File::open(folder)?.sync_all()
    };
    written().map_err(error_at(&path))
}

/// The highest number that was in force here; 0 if none was.
pub fn highest_number(state_dir: &Path) -> i64 {
    let text = fs::read_to_string(folder(state_dir).join(NUMBER)).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Renames a kept version that cannot be used, so that it is reported once. Returns where it is then.
///
/// # Errors
/// If it cannot be renamed.
pub fn put_version_aside(state_dir: &Path) -> io::Result<PathBuf> {
    let (path, aside) = (folder(state_dir).join(VERSION), folder(state_dir).join(ASIDE));
    fs::rename(&path, &aside).map_err(error_at(&path))?;
    Ok(aside)
}

/// The files of a version, as one tree. What it may not have, and what the local files have already, is a mistake.
pub(super) fn tree_of(version: &Manifest, local: &TreeNode, findings: &mut Findings) -> TreeNode {
    let mut whole = TreeNode::empty();
    for file in &version.files {
        let source = format!("{DEPLOYED}{}: {}", version.number, file.name);
        let mut node = TreeNode::parse(&file.text, &source, findings);
        check(&mut node, [local, &whole], findings);
        whole.overlay(node);
    }
    whole
}

/// Refuses the tables that a version may not have, and definitions that exist already, and takes them out.
fn check(node: &mut TreeNode, known: [&TreeNode; 2], findings: &mut Findings) {
    let TreeValue::Table(tables) = &mut node.item else { return };
    tables.retain(|table, found| {
        let may_be = DEPLOYABLE.contains(&table.as_str());
        if !may_be {
            let problem = format!(
                "this cannot be deployed, and belongs into a file of the node; what can be is [{}]",
                DEPLOYABLE.join("], [")
            );
            findings.add(&found.location, table.clone(), problem);
        }
        may_be
    });
    for (table, found) in tables {
        let TreeValue::Table(entries) = &mut found.item else { continue };
        entries.retain(|name, entry| {
            let other = known.iter().find_map(|tree| tree.find(&[table, name]));
            if let Some(other) = other {
                let problem = format!("{} defines it as well: remove one of them", other.location);
                findings.add(&entry.location, format!("{table}.{name}"), problem);
            }
            other.is_none()
        });
    }
}

/// Why a kept version does not count, as a warning.
pub(super) fn warn_unused(why: &str, findings: &mut Findings) {
    let location = SourceLocation { source: "the deployed version".into(), line: None };
    findings.warn(&location, format!("it is not in force here: {why}"));
}
