//! Wake-ups: how one part of the daemon makes a module or a pool start its next round now.
//!
//! A wake-up is the actix message [`WakeUp`], sent by `try_send`. The reasons are bits beside the mailbox, so that a
//! message that is not sent loses nothing: while a reason is pending, further wake-ups are not sent at all, and a full
//! mailbox means that the actor has messages to handle, after each of which it checks its reasons.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use actix::Recipient;
use parking_lot::Mutex;

use crate::{daemon::messages::WakeUp, domain::identity::ModuleName, store::Wakeup};

/// Why a module is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum WakeReason {
    /// Tasks became available.
    Enqueued = 1,
    /// Tasks were scheduled for later, or wait for their next attempt.
    Scheduled = 1 << 1,
    /// A running task is to be cancelled.
    CancelRequested = 1 << 2,
    /// There is room for another task on this node.
    SlotFree = 1 << 3,
    /// Claimed tasks wait for a worker.
    Claimed = 1 << 4,
    /// An attempt has finished and is to be recorded.
    Finished = 1 << 5,
    /// A running attempt lost its worker.
    Detached = 1 << 6,
    /// Another configuration is in force, or the configuration files have changed.
    Configured = 1 << 7,
    /// Any other reason, such as one of the application's own.
    Requested = 1 << 8,
    /// A problem was opened, or occurred again.
    ProblemSeen = 1 << 9,
    /// A schedule in the database may have changed.
    SchedulesChanged = 1 << 10,
    /// An event was sent, or waits for a trigger.
    EventSent = 1 << 11,
    /// Tasks became available that were enqueued earlier.
    Promoted = 1 << 12,
}

/// The reasons for which one module was woken since its last round began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WakeReasons(u16);

impl WakeReasons {
    /// Whether there are reasons, and all of them are this one.
    pub fn is_only(self, reason: WakeReason) -> bool {
        self.0 == reason as u16
    }

    /// Whether this reason is among them.
    pub fn contains(self, reason: WakeReason) -> bool {
        self.0 & reason as u16 != 0
    }
}

/// Wakes one module or pool, whichever its present incarnation. Clones wake the same one.
#[derive(Clone, Default)]
pub struct Waker(Arc<WakerState>);

#[derive(Default)]
struct WakerState {
    pending: AtomicU16,
    /// One long-lived address: a mailbox has room for one more message for each clone of its address.
    actor: Mutex<Option<Recipient<WakeUp>>>,
}

impl Waker {
    /// Makes the module start its next round now, or directly after the present one.
    pub fn wake(&self, reason: WakeReason) {
        let before = self.0.pending.fetch_or(reason as u16, Ordering::AcqRel);
        if before == 0
            && let Some(actor) = &*self.0.actor.lock()
            && let Err(error) = actor.try_send(WakeUp)
        {
            // Full: the actor checks its reasons after each message. Closed: a fresh one begins with a round.
            tracing::trace!("a wake-up is left to the pending reasons: {error}");
        }
    }

    /// From now on wake-ups go to this actor.
    pub(in crate::daemon) fn attach(&self, actor: Recipient<WakeUp>) {
        *self.0.actor.lock() = Some(actor);
    }

    /// Whether there is a reason for another round.
    pub(in crate::daemon) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire) != 0
    }

    /// Takes the reasons. A round calls it before it looks for work, so that no wake-up is missed.
    pub(in crate::daemon) fn take(&self) -> WakeReasons {
        WakeReasons(self.0.pending.swap(0, Ordering::AcqRel))
    }
}

/// The wakers of all modules of one daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Wakers {
    modules: Arc<Mutex<HashMap<ModuleName, Waker>>>,
    hears_other_processes: Arc<AtomicBool>,
    hears_schedules: Arc<AtomicBool>,
}

impl Wakers {
    /// The waker of that module, which need not run.
    pub fn of(&self, module: &ModuleName) -> Waker {
        self.modules.lock().entry(module.clone()).or_default().clone()
    }

    /// Wakes that module.
    pub fn wake(&self, module: &ModuleName, reason: WakeReason) {
        self.of(module).wake(reason);
    }

    /// Something changed in the tasks: wakes the modules that it concerns.
    pub fn announce(&self, wakeup: Wakeup) {
        if wakeup == Wakeup::Cancel {
            return self.wake(&ModuleName::NODE, WakeReason::CancelRequested);
        }
        if wakeup == Wakeup::Events {
            return self.wake(&ModuleName::TRIGGERS, WakeReason::EventSent);
        }
        if matches!(wakeup, Wakeup::Schedules | Wakeup::Anything) {
            self.wake(&ModuleName::CONFIG_SYNC, WakeReason::SchedulesChanged);
        }
        if wakeup == Wakeup::Schedules {
            return;
        }
        if wakeup != Wakeup::Later {
            self.wake(&ModuleName::DISPATCHER, WakeReason::Enqueued);
        }
        if wakeup != Wakeup::Now {
            self.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
    }

    /// Tasks became available that were enqueued earlier, by this node.
    pub(in crate::daemon) fn announce_promoted(&self) {
        let dispatcher = self.of(&ModuleName::DISPATCHER);
        dispatcher.wake(WakeReason::Promoted);
        dispatcher.wake(WakeReason::Enqueued);
    }

    /// A problem was opened, or occurred again: the notifier tells of it soon.
    pub(in crate::daemon) fn announce_problem(&self) {
        self.wake(&ModuleName::NOTIFIER, WakeReason::ProblemSeen);
    }

    /// Notes whether module `wakeup` hears of every enqueue by other processes.
    pub(in crate::daemon) fn set_hears_other_processes(&self, hears: bool) {
        self.hears_other_processes.store(hears, Ordering::Relaxed);
    }

    /// Notes whether every change of a schedule in the database is noticed.
    pub(in crate::daemon) fn set_hears_schedules(&self, hears: bool) {
        self.hears_schedules.store(hears, Ordering::Relaxed);
    }

    /// Whether every change of a schedule in the database is noticed by this node.
    pub(in crate::daemon) fn hears_schedules(&self) -> bool {
        self.hears_schedules.load(Ordering::Relaxed)
    }

    /// Whether every enqueue by other processes wakes this node, so that it may poll less often.
    pub(in crate::daemon) fn hears_other_processes(&self) -> bool {
        self.hears_other_processes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, ActorContext as _, Context, Handler, prelude::SendError};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// Reports the reasons after each message, and stops at the request to.
    struct Probe {
        waker: Waker,
        seen: UnboundedSender<WakeReasons>,
    }

    impl Actor for Probe {
        type Context = Context<Self>;

        fn started(&mut self, context: &mut Context<Self>) {
            context.set_mailbox_capacity(1);
        }
    }

    impl Handler<WakeUp> for Probe {
        type Result = ();

        fn handle(&mut self, _: WakeUp, context: &mut Context<Self>) {
            let reasons = self.waker.take();
            if reasons.contains(WakeReason::Requested) {
                context.stop();
            }
            self.seen.send(reasons).unwrap();
        }
    }

    async fn probe(waker: &Waker) -> (Recipient<WakeUp>, UnboundedReceiver<WakeReasons>) {
        let (seen, reasons) = unbounded_channel();
        let recipient = Probe { waker: waker.clone(), seen }.start().recipient();
        // The actor sets its mailbox's capacity when it first runs.
        tokio::task::yield_now().await;
        (recipient, reasons)
    }

    #[test]
    fn a_full_mailbox_loses_no_reason() {
        actix::System::new().block_on(async {
            let waker = Waker::default();
            let (recipient, mut seen) = probe(&waker).await;
            // Nothing is handled before the next await: the mailbox fills up.
            while recipient.try_send(WakeUp).is_ok() {}
            assert!(matches!(recipient.try_send(WakeUp), Err(SendError::Full(_))));
            waker.attach(recipient);
            waker.wake(WakeReason::Finished);
            waker.wake(WakeReason::Configured);
            let reasons = seen.recv().await.unwrap();
            assert!(reasons.contains(WakeReason::Finished) && reasons.contains(WakeReason::Configured));
            assert!(!waker.is_pending());
        });
    }

    #[test]
    fn many_wake_ups_are_one_message() {
        actix::System::new().block_on(async {
            let waker = Waker::default();
            let (recipient, mut seen) = probe(&waker).await;
            waker.attach(recipient);
            for _ in 0..1_000 {
                waker.wake(WakeReason::Enqueued);
            }
            assert!(seen.recv().await.unwrap().contains(WakeReason::Enqueued));
            tokio::task::yield_now().await;
            assert!(seen.try_recv().is_err(), "one message for all of them");
        });
    }

    #[test]
    fn an_actor_that_has_ended_leaves_the_reasons_to_the_next_one() {
        actix::System::new().block_on(async {
            let waker = Waker::default();
            let (recipient, mut seen) = probe(&waker).await;
            waker.attach(recipient);
            waker.wake(WakeReason::Requested);
            seen.recv().await.unwrap();
            tokio::task::yield_now().await;
            waker.wake(WakeReason::Scheduled);
            assert!(waker.is_pending() && seen.try_recv().is_err(), "its mailbox is closed");
            let (recipient, _seen) = probe(&waker).await;
            waker.attach(recipient);
            assert!(waker.take().contains(WakeReason::Scheduled), "a round begins with the reasons that are pending");
        });
    }
}
