//! Where the nodes hear the datagrams that wake them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long the addresses of the nodes are remembered. A node that is new is woken after this time; until then it polls.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Where a node hears datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeupAddress {
    /// The address.
    pub at: SocketAddr,
    /// What a datagram must begin with.
    pub key: String,
}

impl WakeupAddress {
    /// As it stands in the row of the node.
    pub fn text(&self) -> String {
        format!("{} {}", self.at, self.key)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (at, key) = text.split_once(' ')?;
        Some(Self { at: at.parse().ok()?, key: key.to_owned() })
    }
}

/// The addresses of the nodes, as far as they are known. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct WakeupAddresses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// This process hears of its own enqueues by itself.
    own: Option<String>,
    others: Option<(Vec<WakeupAddress>, Instant)>,
}

impl WakeupAddresses {
    /// Notes the key of the node in this process: it needs no datagrams from here.
    pub fn set_own(&self, address: &WakeupAddress) {
        *self.0.lock() = Known { own: Some(address.key.clone()), others: None };
    }

    pub(super) fn known(&self) -> Option<Vec<WakeupAddress>> {
        let (addresses, _) = self.0.lock().others.clone().filter(|(_, at)| at.elapsed() < REMEMBERED)?;
        Some(addresses)
    }

    pub(super) fn remember(&self, mut addresses: Vec<WakeupAddress>) -> Vec<WakeupAddress> {
        let mut known = self.0.lock();
        addresses.retain(|address| Some(&address.key) != known.own.as_ref());
        known.others = Some((addresses.clone(), Instant::now()));
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> WakeupAddress {
        WakeupAddress { at: "127.0.0.1:4711".parse().expect("an address"), key: "k1".to_owned() }
    }

    #[test]
    fn an_address_is_read_as_it_was_written() {
        assert_eq!(WakeupAddress::parse(&address().text()), Some(address()));
        for bad in ["", "127.0.0.1:4711", "nowhere k1", "127.0.0.1 k1"] {
            assert_eq!(WakeupAddress::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_node_sends_no_datagrams_to_itself() {
        let addresses = WakeupAddresses::default();
        assert_eq!(addresses.known(), None);
        addresses.set_own(&address());
        assert_eq!(addresses.remember(vec![address()]), []);
        assert_eq!(addresses.known(), Some(Vec::new()));
    }
}
