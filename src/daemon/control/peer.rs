//! Who is at the other end of the control socket.

use sexton_entities::states::Via;
use tokio::net::UnixStream;

use sexton_client::principal::Principal;

/// The process at the other end, as the kernel names it.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    account: Option<u32>,
    process: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        Self { account: peer.as_ref().map(|peer| peer.uid()), process: peer.and_then(|peer| peer.pid()) }
    }

    /// Who asks, with what the query of the request adds: `via=cli`, `login=USER` if the kernel knows no login user, and
    /// `reason=TEXT`.
    pub(super) fn principal(self, query: &str) -> Principal {
        let given = |wanted: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        };
        let via = if given("via").as_deref() == Some(Via::Cli.as_str()) { Via::Cli } else { Via::ControlSocket };
        let principal = match self.account {
            Some(account) => Principal::of_peer(via, account, self.process),
            None => Principal::unknown(via),
        };
        let login = principal.login.clone().or_else(|| given("login"));
        Principal { login, ..principal }.because(given("reason"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_adds_what_the_kernel_does_not_know() {
        let peer = Peer { account: Some(0), process: None };
        let principal = peer.principal("via=cli&login=alice&reason=the+disk+is+full%21");
        assert_eq!((principal.via, principal.account.as_deref()), (Via::Cli, Some("root")));
        assert_eq!(principal.login.as_deref(), Some("alice"));
        assert_eq!(principal.reason.as_deref(), Some("the disk is full!"));
        let principal = Peer { account: None, process: None }.principal("");
        assert_eq!((principal.via, principal.account, principal.login), (Via::ControlSocket, None, None));
    }
}
