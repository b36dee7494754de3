//! Who does something: the account, the login user and the host, by which way, and why.

use std::fs;

use nix::unistd::{Uid, User, gethostname};
use sexton_entities::states::Via;

/// The login uid of a process in which nobody has logged in.
const NOBODY_LOGGED_IN: u32 = u32::MAX;

/// Who does something, as the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// By which way.
    pub via: Via,
    /// The account; `None` if it is not known.
    pub account: Option<String>,
    /// The user who had logged in; `None` if that is not known.
    pub login: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

impl Principal {
    /// Who runs this process. The login user is that of the kernel's login uid, or else the one who called sudo.
    pub fn of_this_process(via: Via) -> Self {
        Self {
            via,
            account: Some(name_of(Uid::effective())),
            login: login_of("self").or_else(sudo_user),
            host: host(),
            reason: None,
        }
    }

    /// Who runs a process of this host that has connected to a socket.
    pub fn of_peer(via: Via, account: u32, process: Option<i32>) -> Self {
        Self {
            via,
            account: Some(name_of(Uid::from_raw(account))),
            login: process.and_then(|process| login_of(&process.to_string())),
            host: host(),
            reason: None,
        }
    }

    /// Somebody on this host whose account is not known.
    pub fn unknown(via: Via) -> Self {
        Self { via, account: None, login: None, host: host(), reason: None }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }

    /// The person, as far as it is known: the login user, or else the account.
    pub fn person(&self) -> Option<&str> {
        self.login.as_deref().or(self.account.as_deref())
    }
}

/// The name of an account, or its number if it has none.
fn name_of(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

/// The user who logged in above a process.
fn login_of(process: &str) -> Option<String> {
    let number = fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?.trim().parse().ok()?;
    (number != NOBODY_LOGGED_IN).then(|| name_of(Uid::from_raw(number)))
}

/// The user who called sudo. It is what the environment says, which its owner may have set to anything.
fn sudo_user() -> Option<String> {
    std::env::var_os("SUDO_USER")?.into_string().ok().filter(|user| !user.is_empty())
}

fn host() -> Option<String> {
    Some(gethostname().ok()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_an_account_and_a_host() {
        let principal = Principal::of_this_process(Via::Cli).because(Some("because".to_owned()));
        assert_eq!(principal.account, Some(name_of(Uid::effective())));
        assert!(principal.host.is_some());
        assert_eq!(principal.reason.as_deref(), Some("because"));
        let of_peer = Principal::of_peer(Via::ControlSocket, Uid::effective().as_raw(), None);
        assert_eq!((&of_peer.account, &of_peer.host), (&principal.account, &principal.host));
    }

    #[test]
    fn the_login_user_is_the_person() {
        let unknown = Principal::unknown(Via::Signal);
        assert_eq!(unknown.person(), None);
        let root = Principal { account: Some("root".to_owned()), ..unknown };
        assert_eq!(root.person(), Some("root"));
        assert_eq!(Principal { login: Some("alice".to_owned()), ..root }.person(), Some("alice"));
    }

    #[test]
    fn an_account_without_a_name_has_its_number() {
        assert_eq!(name_of(Uid::from_raw(4_294_000_000)), "4294000000");
    }
}
