//! What comes to a daemon from outside: orders by signal, and requests at the control socket.

use serde_json::Value;
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    oneshot,
};

use super::signals::{ORDERS, Order};

/// One of them.
pub(in crate::daemon) enum Call {
    /// An order that nobody waits for.
    Order(Order),
    /// Read the configuration anew, and say what came of it.
    Reload(Reply),
}

/// Where an answer is waited for: what came of it, or why nothing did.
pub(in crate::daemon) type Reply = oneshot::Sender<Result<Value, String>>;

/// All of them, in the order of their coming.
pub(in crate::daemon) struct Requests {
    orders: Receiver<Order>,
    requests: Receiver<Call>,
}

impl Requests {
    /// Calls from both sides; requests come through the sender.
    pub(in crate::daemon) fn new(orders: Receiver<Order>) -> (Self, Sender<Call>) {
        let (sender, requests) = channel(ORDERS);
        (Self { orders, requests }, sender)
    }

    /// Whether somebody says stop that nobody has listened to yet.
    pub(in crate::daemon) fn is_stop_waiting(&mut self) -> bool {
        let is_stop = |order| matches!(order, Order::Drain | Order::Hurry | Order::AtOnce);
        std::iter::from_fn(|| self.orders.try_recv().ok()).any(is_stop)
            || std::iter::from_fn(|| self.requests.try_recv().ok())
                .any(|call| matches!(call, Call::Order(order) if is_stop(order)))
    }

    /// The next one; none if nobody can give orders any more.
    pub(in crate::daemon) async fn next(&mut self) -> Option<Call> {
        tokio::select! {
            biased;
            order = self.orders.recv() => order.map(Call::Order),
            Some(call) = self.requests.recv() => Some(call),
        }
    }
}
