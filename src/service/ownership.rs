//! Whether a folder is safe from others: who owns it or may write in it decides what the daemon does.

use std::{io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{Uid, User};

/// Others may write.
const WORLD_WRITABLE: u32 = 0o002;

/// Refuses a folder of somebody else, and one in which everybody may write. One that is not there yet is fine.
///
/// # Errors
/// Says what is wrong with it, and the way out.
pub fn check_owner(folder: &Path) -> io::Result<()> {
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display()))),
    };
    let own = Uid::effective();
    let owner = Uid::from_raw(metadata.uid());
    let folder = folder.display();
    let refuse = |problem: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    if owner != own && !owner.is_root() {
        let (theirs, ours) = (named(owner), named(own));
        return refuse(format!(
            "{folder} belongs to {theirs}, and the daemon runs as {ours}: run it as {theirs}, or `chown -R {ours} {folder}`"
        ));
    }
    if metadata.mode() & WORLD_WRITABLE != 0 {
        return refuse(format!("everybody may write in {folder}: `chmod o-w {folder}` first"));
    }
    Ok(())
}

/// Whose folder it is; none if that cannot be seen.
pub(super) fn owner_of(folder: &Path) -> Option<String> {
    Some(named(Uid::from_raw(std::fs::metadata(folder).ok()?.uid())))
}

fn named(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_folder_in_which_everybody_may_write_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        check_owner(folder.path()).expect("its own");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its own");
        let told = check_owner(folder.path()).expect_err("open to all").to_string();
        assert!(told.contains("chmod o-w"), "{told}");
        check_owner(&folder.path().join("missing")).expect("not there yet");
    }
}
