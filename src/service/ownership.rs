//! Whether a directory is safe: a user who can write to it controls what the daemon does.

use std::{
    ffi::CString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::{
    domain::daemon::ownership::{HostAccount, Ownership, Untrusted},
    files::error_at,
};

/// Refuses a directory of another user (except root), and one to which other users may write. The daemon's own group
/// may write, except where root runs the daemon. A missing directory is accepted.
///
/// # Errors
/// If the directory is unsafe or cannot be checked. The error names the way out.
pub fn check_directory(directory: &Path) -> io::Result<()> {
    match fs::metadata(directory) {
        Ok(metadata) => check(directory, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error_at(directory)(error)),
    }
}

/// Refuses an unsafe directory, and one with an entry of another user: a symbolic link of theirs would lead the daemon
/// elsewhere, and a directory of theirs could be exchanged.
///
/// # Errors
/// If the directory or an entry is unsafe or cannot be checked. The error names the way out.
pub fn check_tree(directory: &Path) -> io::Result<()> {
    check_directory(directory)?;
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error_at(directory)(error)),
    };
    for entry in entries {
        let path = entry.map_err(error_at(directory))?.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => check(&path, &metadata)?,
            Ok(metadata) => check_owner(&path, &metadata)?,
            // It has just been removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error_at(&path)(error)),
        }
    }
    Ok(())
}

fn check(directory: &Path, metadata: &Metadata) -> io::Result<()> {
    let path = directory.display();
    match ownership(metadata).untrusted(&own_account()) {
        None => Ok(()),
        Some(Untrusted::Owner) => check_owner(directory, metadata),
        Some(Untrusted::Everybody) => refuse(format!("every user may write to {path}: `chmod o-w {path}` first")),
        Some(Untrusted::Group) => {
            let group = Gid::from_raw(metadata.gid());
            let name = Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |group| group.name);
            refuse(format!("the group {name} may write to {path}: `chmod g-w {path}` first"))
        }
    }
}

/// To whom a file belongs.
pub fn ownership(metadata: &Metadata) -> Ownership {
    Ownership { user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() }
}

/// The account of that name; none if this machine does not know it.
pub fn account_of(name: &str) -> Option<HostAccount> {
    let user = User::from_name(name).ok().flatten()?;
    let name = CString::new(name).ok()?;
    let groups = getgrouplist(&name, user.gid).unwrap_or_default();
    Some(HostAccount {
        user: user.uid.as_raw(),
        group: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    })
}

/// The account of this process.
fn own_account() -> HostAccount {
    HostAccount { user: Uid::effective().as_raw(), group: Gid::effective().as_raw(), groups: Vec::new() }
}

fn check_owner(path: &Path, metadata: &Metadata) -> io::Result<()> {
    if ownership(metadata).has_trusted_owner(&own_account()) {
        return Ok(());
    }
    let (theirs, ours) = (user_name(metadata.uid()), user_name(Uid::effective().as_raw()));
    let path = path.display();
    refuse(format!(
        "{path} belongs to {theirs}, and the daemon runs as {ours}: run it as {theirs}, or `chown -hR {ours} {path}`"
    ))
}

fn refuse(problem: String) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

/// The owner of a directory; none if that cannot be read.
pub(super) fn owner_of(directory: &Path) -> Option<String> {
    // Who may not enter a directory above it sees that one only.
    let seen = directory.ancestors().find_map(|place| fs::metadata(place).ok())?;
    Some(user_name(seen.uid()))
}

/// The name of an account, or its number.
pub fn user_name(user: u32) -> String {
    User::from_uid(Uid::from_raw(user)).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_folder_in_which_everybody_may_write_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        check_directory(directory.path()).expect("its own");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("its own");
        let problem = check_directory(directory.path()).expect_err("open to all").to_string();
        assert!(problem.contains("chmod o-w"), "{problem}");
        check_directory(&directory.path().join("missing")).expect("not there yet");
    }

    #[test]
    fn a_folder_in_which_a_strange_group_may_write_is_refused() {
        assert!(Uid::effective().is_root(), "this test needs root: only root can give a folder to another group");
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).expect("its own");
        check_directory(directory.path()).expect("the group is root");
        std::os::unix::fs::chown(directory.path(), None, Some(65_534)).expect("given away");
        let problem = check_directory(directory.path()).expect_err("the group may write").to_string();
        assert!(problem.contains("the group nogroup may write to") && problem.contains("chmod g-w"), "{problem}");
    }

    #[test]
    fn links_and_folders_of_others_are_refused() {
        assert!(Uid::effective().is_root(), "this test needs root: only root can give a link away");
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, link) = (directory.path().join("spool"), directory.path().join("link"));
        fs::create_dir(&folder).expect("created");
        std::os::unix::fs::symlink("/etc", &link).expect("created");
        check_tree(directory.path()).expect("all its own");
        std::os::unix::fs::lchown(&link, Some(65_534), None).expect("given away");
        let problem = check_tree(directory.path()).expect_err("a link of another user").to_string();
        assert!(problem.contains("link belongs to nobody"), "{problem}");
        fs::remove_file(&link).expect("removed");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("its own");
        let problem = check_tree(directory.path()).expect_err("open to all").to_string();
        assert!(problem.contains("spool: `chmod o-w"), "{problem}");
    }
}
