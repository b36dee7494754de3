//! Whether a directory is safe: a user who can write to it controls what the daemon does.

use std::{io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{Uid, User};

/// Mode bit: every user may write.
const WORLD_WRITABLE: u32 = 0o002;

/// Refuses a directory of another user (except root), and one to which every user may write. A missing directory is
/// accepted.
///
/// # Errors
/// If the directory is unsafe or cannot be checked. The error names the way out.
pub fn check_owner(directory: &Path) -> io::Result<()> {
    let metadata = match std::fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", directory.display()))),
    };
    let own = Uid::effective();
    let owner = Uid::from_raw(metadata.uid());
    let directory = directory.display();
    let refuse = |problem: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    if owner != own && !owner.is_root() {
        let (theirs, ours) = (user_name(owner), user_name(own));
        return refuse(format!(
            "{directory} belongs to {theirs}, and the daemon runs as {ours}: run it as {theirs}, or `chown -R {ours} {directory}`"
        ));
    }
    if metadata.mode() & WORLD_WRITABLE != 0 {
        return refuse(format!("every user may write to {directory}: `chmod o-w {directory}` first"));
    }
    Ok(())
}

/// The owner of a directory; none if that cannot be read.
pub(super) fn owner_of(directory: &Path) -> Option<String> {
    Some(user_name(Uid::from_raw(std::fs::metadata(directory).ok()?.uid())))
}

fn user_name(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_folder_in_which_everybody_may_write_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        check_owner(directory.path()).expect("its own");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("its own");
        let problem = check_owner(directory.path()).expect_err("open to all").to_string();
        assert!(problem.contains("chmod o-w"), "{problem}");
        check_owner(&directory.path().join("missing")).expect("not there yet");
    }
}
