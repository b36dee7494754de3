//! Wake-ups as datagrams, for databases that have no notification. A node that can be reached has its address in its row.
//!
//! A datagram only says "look now": it carries no task, and what is lost is found by polling. It has a key that stands beside
//! the address, so that only those who read the database can wake a node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::{
    StoreError, TaskStore,
    row_decoding::column,
    wakeup::Wakeup,
    wakeup_address::{WakeupAddress, WakeupAddresses},
};

impl WakeupAddress {
    /// The datagram for a wake-up.
    pub fn datagram(&self, wakeup: Wakeup) -> String {
        format!("{} {}", self.key, wakeup.word())
    }

    /// What a datagram says; none if it is not for this node.
    pub fn read(&self, datagram: &[u8]) -> Option<Wakeup> {
        let (key, word) = std::str::from_utf8(datagram).ok()?.split_once(' ')?;
        (key == self.key).then(|| Wakeup::from_word(word))
    }
}

impl TaskStore {
    /// The addresses at which the nodes hear datagrams.
    pub fn wakeup_addresses(&self) -> &WakeupAddresses {
        &self.wakeup_addresses
    }

    /// Sends datagrams to the other nodes that can be reached from here.
    pub(super) async fn send_datagrams(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        let addresses = match self.wakeup_addresses.known() {
            Some(known) => known,
            None => self.wakeup_addresses.remember(self.read_addresses().await?),
        };
        for address in addresses {
            if let Err(error) = send(&address, wakeup) {
                tracing::debug!("cannot wake the node at {}: {error}", address.at);
            }
        }
        Ok(())
    }

    async fn read_addresses(&self) -> Result<Vec<WakeupAddress>, StoreError> {
        let sql = format!(
            "SELECT host, wakeup FROM sexton_node WHERE wakeup IS NOT NULL AND lease_expires_at > {}",
            self.dialect.now()
        );
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let rows = self.all(&self.db, &sql, []).await?;
        let address = |row| {
            let (of, text): (String, String) = (column(row, "host").ok()?, column(row, "wakeup").ok()?);
            // The loopback of another machine is not that of this one.
            WakeupAddress::parse(&text).filter(|address| of == host || !address.at.ip().is_loopback())
        };
        Ok(rows.iter().filter_map(address).collect())
    }
}

fn send(to: &WakeupAddress, wakeup: Wakeup) -> std::io::Result<()> {
    let any: IpAddr = if to.at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // A full queue of the network must not hold an enqueue up.
    socket.set_nonblocking(true)?;
    socket.send_to(to.datagram(wakeup).as_bytes(), to.at).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> WakeupAddress {
        WakeupAddress { at: "127.0.0.1:4711".parse().expect("an address"), key: "k1".to_owned() }
    }

    #[test]
    fn only_datagrams_with_the_key_wake() {
        for wakeup in [Wakeup::Now, Wakeup::Later, Wakeup::Cancel, Wakeup::Anything] {
            assert_eq!(address().read(address().datagram(wakeup).as_bytes()), Some(wakeup));
        }
        for bad in [&b"k2 now"[..], b"k1", b"now", b"", b"\xff\xfe now"] {
            assert_eq!(address().read(bad), None);
        }
    }
}
