//! Sends the wake-ups of a client to other processes: the first one after a pause at once, or by the statement that
//! enqueues the task, and those that follow closely as one message.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::carrier_pace::{CarrierEnd, CarrierPace};
use crate::store::{TaskStore, wakeup::Wakeup};

/// Wake-ups at shorter intervals are sent as one.
const DEBOUNCE: Duration = Duration::from_millis(2);
/// How long the end of a runtime waits until the last wake-up is sent.
const LAST_SEND_TIMEOUT: Duration = Duration::from_millis(500);
/// Somebody sends, or waits until it may send again.
const BUSY: u8 = 1;
/// What is still to be sent.
const NOW: u8 = 1 << 1;
const LATER: u8 = 1 << 2;
const CANCEL: u8 = 1 << 3;
const SCHEDULES: u8 = 1 << 4;
const EVENTS: u8 = 1 << 5;

/// The wake-ups of a client that are to be sent. Clones share them.
#[derive(Clone)]
pub(super) struct WakeupSender {
    store: TaskStore,
    state: Arc<AtomicU8>,
    carrier_pace: Arc<Mutex<CarrierPace>>,
}

/// Permission for one statement to send a wake-up itself, until it is dropped.
pub(super) struct Carrier {
    pace: Arc<Mutex<CarrierPace>>,
    begun_at: Instant,
    end: CarrierEnd,
}

/// The right to send. Dropped before all is sent, because its runtime ends, it leaves the rest to the thread of the database
/// sockets, which outlives every runtime.
struct Turn {
    sender: WakeupSender,
    /// What is being sent.
    pending: u8,
    is_over: bool,
}

impl WakeupSender {
    pub(super) fn new(store: TaskStore) -> Self {
        Self { store, state: Arc::default(), carrier_pace: Arc::new(Mutex::new(CarrierPace::new(Instant::now()))) }
    }

    /// Sends a wake-up in a task of its own.
    pub(super) fn send_soon(&self, wakeup: Wakeup) {
        if let Some(turn) = self.turn(wakeup) {
            tokio::spawn(turn.send_until_pause());
        }
    }

    /// Permission for a statement to send a wake-up itself, if the database can do that and no other wake-up was just sent.
    pub(super) fn carrier(&self) -> Option<Carrier> {
        if !self.store.wakes_by_enqueue() || self.state.load(Ordering::Acquire) != 0 {
            return None;
        }
        let begun_at = Instant::now();
        let pace = self.carrier_pace.clone();
        pace.lock().begin(begun_at).then(|| Carrier { pace: pace.clone(), begun_at, end: CarrierEnd::Failed })
    }

    /// Notes a wake-up. Returns the right to send it, unless somebody else has it.
    fn turn(&self, wakeup: Wakeup) -> Option<Turn> {
        let before = self.state.fetch_or(BUSY | bits(wakeup), Ordering::AcqRel);
        let turn = || Turn { sender: self.clone(), pending: 0, is_over: false };
        (before & BUSY == 0).then(turn)
    }
}

impl Carrier {
    /// Notes that the statement has ended, and whether it sent the wake-up.
    pub(super) fn end(mut self, end: CarrierEnd) {
        self.end = end;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let now = Instant::now();
        self.pace.lock().end(self.end, now, now - self.begun_at);
    }
}

impl Turn {
    async fn send_pending(&mut self) {
        self.pending |= self.sender.state.fetch_and(BUSY, Ordering::AcqRel) & !BUSY;
        send(&self.sender.store, self.pending).await;
        self.pending = 0;
    }

    /// Sends what there is and what comes meanwhile, until there is a pause.
    async fn send_until_pause(mut self) {
        while !self.is_over {
            self.send_pending().await;
            tokio::time::sleep(DEBOUNCE).await;
            self.is_over = self.sender.state.compare_exchange(BUSY, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let pending = self.pending | self.sender.state.swap(0, Ordering::AcqRel) & !BUSY;
        if pending == 0 {
            return;
        }
        let store = self.sender.store.clone();
        let sent = self.sender.store.spawn_on_driver(async move { send(&store, pending).await });
        // The runtime ends, and directly afterwards perhaps the process.
        let _ = sent.recv_timeout(LAST_SEND_TIMEOUT);
    }
}

fn bits(wakeup: Wakeup) -> u8 {
    match wakeup {
        Wakeup::Now => NOW,
        Wakeup::Later => LATER,
        Wakeup::Cancel => CANCEL,
        Wakeup::Anything => NOW | LATER,
        Wakeup::Schedules => SCHEDULES,
        Wakeup::Events => EVENTS,
    }
}

async fn send(store: &TaskStore, pending: u8) {
    let tasks = match pending & (NOW | LATER) {
        0 => None,
        NOW => Some(Wakeup::Now),
        LATER => Some(Wakeup::Later),
        _ => Some(Wakeup::Anything),
    };
    let cancel = (pending & CANCEL != 0).then_some(Wakeup::Cancel);
    let schedules = (pending & SCHEDULES != 0).then_some(Wakeup::Schedules);
    let events = (pending & EVENTS != 0).then_some(Wakeup::Events);
    for wakeup in tasks.into_iter().chain(cancel).chain(schedules).chain(events) {
        if let Err(error) = store.wake(wakeup).await {
            tracing::debug!("cannot send a wake-up: {error}");
        }
    }
}
