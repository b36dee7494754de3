//! Who may write to a file or directory: a user who can write where the daemon keeps its state controls what it does.

/// Mode bits: every user may write; the group may write; the owner may write.
const WORLD_WRITABLE: u32 = 0o002;
const GROUP_WRITABLE: u32 = 0o020;
const OWNER_WRITABLE: u32 = 0o200;
const ROOT: u32 = 0;

/// To whom a file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Permission bits.
    pub mode: u32,
}

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAccount {
    /// Its number.
    pub user: u32,
    /// Its own group.
    pub group: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

/// Why a directory is not safe for the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// It belongs to another user.
    Owner,
    /// Every user may write to it.
    Everybody,
    /// A group may write to it.
    Group,
}

impl Ownership {
    /// Why a directory is not safe for a daemon of that account, if it is not. Root may own it. The daemon's own group may
    /// write, except where root runs the daemon.
    pub fn untrusted(&self, daemon: &HostAccount) -> Option<Untrusted> {
        let is_trusted = self.group == ROOT || (self.group == daemon.group && daemon.user != ROOT);
        if !self.has_trusted_owner(daemon) {
            Some(Untrusted::Owner)
        } else if self.mode & WORLD_WRITABLE != 0 {
            Some(Untrusted::Everybody)
        } else {
            (self.mode & GROUP_WRITABLE != 0 && !is_trusted).then_some(Untrusted::Group)
        }
    }

    /// Whether it belongs to the daemon, or to root.
    pub fn has_trusted_owner(&self, daemon: &HostAccount) -> bool {
        self.user == daemon.user || self.user == ROOT
    }

    /// Whether that account may write, as far as the permission bits say.
    pub fn is_writable_by(&self, account: &HostAccount) -> bool {
        let bit = if account.user == self.user {
            OWNER_WRITABLE
        } else if account.group == self.group || account.groups.contains(&self.group) {
            GROUP_WRITABLE
        } else {
            WORLD_WRITABLE
        };
        account.user == ROOT || self.mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEXTON: u32 = 7;

    fn account(user: u32) -> HostAccount {
        HostAccount { user, group: user, groups: vec![user, 50] }
    }

    fn of(user: u32, group: u32, mode: u32) -> Ownership {
        Ownership { user, group, mode }
    }

    #[test]
    fn the_owner_and_root_are_trusted() {
        let daemon = account(SEXTON);
        assert_eq!(of(SEXTON, SEXTON, 0o40700).untrusted(&daemon), None);
        assert_eq!(of(0, 0, 0o40775).untrusted(&daemon), None, "the group of root is root's");
        assert_eq!(of(0, SEXTON, 0o40770).untrusted(&daemon), None, "its own group");
        assert_eq!(of(8, SEXTON, 0o40700).untrusted(&daemon), Some(Untrusted::Owner));
        assert_eq!(of(SEXTON, SEXTON, 0o40702).untrusted(&daemon), Some(Untrusted::Everybody));
        assert_eq!(of(SEXTON, 50, 0o40770).untrusted(&daemon), Some(Untrusted::Group), "others are in that group");
        assert_eq!(of(0, SEXTON, 0o40770).untrusted(&account(0)), Some(Untrusted::Group));
    }

    #[test]
    fn the_bits_say_who_may_write() {
        let daemon = account(SEXTON);
        let writable = |user, group, mode| of(user, group, mode).is_writable_by(&daemon);
        assert!(writable(SEXTON, 0, 0o200) && !writable(SEXTON, 0, 0o022), "the bits of the owner alone count");
        assert!(writable(0, 50, 0o020) && !writable(0, 51, 0o020));
        assert!(writable(0, 0, 0o002) && !writable(0, 0, 0o755));
        assert!(of(SEXTON, SEXTON, 0).is_writable_by(&account(0)));
    }
}
