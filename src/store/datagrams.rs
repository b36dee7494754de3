//! Hears the datagrams by which other processes wake this node, and publishes where it hears them.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use sea_orm::Value;
use sexton_client::store::{wakeup::Wakeup, wakeup_address::WakeupAddress};
use tokio::net::UdpSocket;

use super::{Store, StoreError};
use crate::domain::identity::NodeId;

/// The least time between two wake-ups, however many datagrams come.
const MIN_PAUSE: Duration = Duration::from_millis(2);
/// More than any datagram of ours has.
const MAX_LENGTH: usize = 128;

/// A socket for datagrams.
#[derive(Debug)]
pub struct DatagramListener {
    socket: UdpSocket,
    address: WakeupAddress,
    woken: Option<Instant>,
}

impl DatagramListener {
    /// Opens a socket at that address, on a free port. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// If the machine does not have the address.
    pub(super) async fn open(ip: IpAddr) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0)).await?;
        let key = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { address: WakeupAddress { at: socket.local_addr()?, key }, socket, woken: None })
    }

    /// Where it hears.
    pub fn address(&self) -> &WakeupAddress {
        &self.address
    }

    /// Waits for the next wake-up. It may be given up and called again: nothing is lost.
    pub(super) async fn wait(&mut self) -> Wakeup {
        let pause = self.woken.map_or(Duration::ZERO, |at| MIN_PAUSE.saturating_sub(at.elapsed()));
        tokio::time::sleep(pause).await;
        let mut buffer = [0; MAX_LENGTH];
        loop {
            let mut heard = match self.socket.recv_from(&mut buffer).await {
                Ok((length, _)) => self.address.read(&buffer[..length]),
                Err(error) => {
                    tracing::debug!("cannot receive a datagram: {error}");
                    None
                }
            };
            // Those that have come meanwhile are the same wake-up.
            while let Ok((length, _)) = self.socket.try_recv_from(&mut buffer) {
                let next = self.address.read(&buffer[..length]);
                heard = match (heard, next) {
                    (Some(one), Some(other)) if one != other => Some(merged(one, other)),
                    (one, other) => one.or(other),
                };
            }
            match heard {
                Some(wakeup) => {
                    self.woken = Some(Instant::now());
                    return wakeup;
                }
                // Datagrams of strangers cost no more than this.
                None => tokio::time::sleep(MIN_PAUSE).await,
            }
        }
    }
}

/// A request to cancel is for another module than the rest; it is asked for at each heartbeat, too.
fn merged(one: Wakeup, other: Wakeup) -> Wakeup {
    match (one, other) {
        (Wakeup::Cancel, task) | (task, Wakeup::Cancel) => task,
        _ => Wakeup::Anything,
    }
}

impl Store {
    /// Publishes where a node hears datagrams. Returns false if the node is not registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn publish_wakeup(&self, node: &NodeId, address: &WakeupAddress) -> Result<bool, StoreError> {
        self.wakeup_addresses().set_own(address);
        let sql = "UPDATE sexton_node SET wakeup = ? WHERE id = ?";
        let values: [Value; 2] = [address.text().into(), node.as_str().into()];
        Ok(self.with_retries(async || self.run(&self.db, sql, values.clone()).await).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_of_strangers_wake_nobody_and_many_are_one() {
        let mut listener = DatagramListener::open([127, 0, 0, 1].into()).await.expect("a socket");
        let address = listener.address().clone();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let send = |bytes: &[u8]| sender.send_to(bytes, address.at).map(|_| ()).expect("sent");
        send(b"hello");
        send(&[0; 1_000]);
        for _ in 0..5 {
            send(address.datagram(Wakeup::Now).as_bytes());
        }
        assert_eq!(listener.wait().await, Wakeup::Now);
        send(b"somebody else now");
        send(address.datagram(Wakeup::Cancel).as_bytes());
        // What was sent before may come in two parts.
        let mut next = listener.wait().await;
        while next == Wakeup::Now {
            next = listener.wait().await;
        }
        assert_eq!(next, Wakeup::Cancel);
    }

    #[test]
    fn a_cancel_does_not_hide_a_task() {
        assert_eq!(merged(Wakeup::Cancel, Wakeup::Now), Wakeup::Now);
        assert_eq!(merged(Wakeup::Now, Wakeup::Later), Wakeup::Anything);
    }
}
