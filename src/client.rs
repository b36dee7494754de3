//! The way in for Rust applications: enqueue tasks, on one's own or inside one's own transaction.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait;

use crate::{
    domain::task::NewTask,
    store::{ConnectOptions, Enqueued, Store, StoreError, Wakeup},
};

/// Wake-ups closer together than this are sent as one.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// Where in-process wake-ups go, and what is known of the definitions.
pub trait EnqueueContext: Send + Sync {
    /// Wakes this process's own daemon.
    fn wake(&self, wakeup: Wakeup);

    /// Fills in what the task's definition says and the task does not.
    fn fill_in(&self, task: &mut NewTask);
}

/// Enqueues tasks. Clones share one connection pool.
#[derive(Clone)]
pub struct Client {
    store: Store,
    context: Option<Arc<dyn EnqueueContext>>,
    state: Arc<AtomicU8>,
}

const IDLE: u8 = 0;
const SENDING: u8 = 1;
const SEND_AGAIN: u8 = 2;

impl Client {
    /// A client of its own, for an application that runs apart from the daemon.
    ///
    /// # Errors
    /// Only if the address can never work; a database that is down is told by the first enqueue.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Ok(Self::new(Store::connect(&ConnectOptions::new(url))?))
    }

    /// A client on a store that is open already.
    pub fn new(store: Store) -> Self {
        Self { store, context: None, state: Arc::default() }
    }

    /// A client inside a daemon.
    pub(crate) fn inside(store: Store, context: Arc<dyn EnqueueContext>) -> Self {
        Self { context: Some(context), ..Self::new(store) }
    }

    /// Where it enqueues.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Enqueues a task, and wakes whoever can do it.
    ///
    /// # Errors
    /// If the task is not acceptable, or the database is not available: then nothing was enqueued.
    pub async fn enqueue(&self, task: NewTask) -> Result<Enqueued, StoreError> {
        let wakeup = wakeup_for(&task);
        let enqueued = self.enqueue_in(self.store.connection(), task).await?;
        self.wake_up(wakeup);
        Ok(enqueued)
    }

    /// Enqueues many tasks at once; gives the number of new ones. The others' unique keys were taken.
    ///
    /// # Errors
    /// As [`Client::enqueue`]: all of them, or none.
    pub async fn enqueue_all(&self, tasks: Vec<NewTask>) -> Result<u64, StoreError> {
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| self.filled_in(task)).collect();
        let count = self.store.enqueue_all(self.store.connection(), &tasks).await?;
        self.wake_up(Wakeup::Anything);
        Ok(count)
    }

    /// Enqueues a task inside a transaction of the caller's own: it exists if and only if that commits.
    /// Call [`Client::wake_up`] after the commit; without it, the task waits until somebody polls.
    ///
    /// # Errors
    /// As [`Client::enqueue`].
    pub async fn enqueue_in<C: ConnectionTrait>(&self, connection: &C, task: NewTask) -> Result<Enqueued, StoreError> {
        self.store.enqueue(connection, &self.filled_in(task)).await
    }

    /// Tells the daemons that there is something to do. Cheap: many calls in a row become few messages.
    /// Needs a running Tokio runtime.
    pub fn wake_up(&self, wakeup: Wakeup) {
        if let Some(context) = &self.context {
            context.wake(wakeup);
        }
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            Some(if now == IDLE { SENDING } else { SEND_AGAIN })
        });
        if before != Ok(IDLE) {
            return;
        }
        let (store, state) = (self.store.clone(), self.state.clone());
        tokio::spawn(async move {
            let _idle = IdleOnDrop(state.clone());
            loop {
                if let Err(error) = store.wake(Wakeup::Anything).await {
                    tracing::debug!("a wake-up was not sent: {error}");
                }
                tokio::time::sleep(DEBOUNCE).await;
                if state.compare_exchange(SENDING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return;
                }
                state.store(SENDING, Ordering::Release);
            }
        });
    }

    /// As [`Client::wake_up`], but waits until the message is sent: for a process that is about to end.
    ///
    /// # Errors
    /// If the database is not available. The task is enqueued all the same.
    pub async fn wake_up_now(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        self.store.wake(wakeup).await
    }

    fn filled_in(&self, mut task: NewTask) -> NewTask {
        if let Some(context) = &self.context {
            context.fill_in(&mut task);
        }
        task
    }
}

/// Whatever becomes of the message, the next one is sent: the runtime may end under it.
struct IdleOnDrop(Arc<AtomicU8>);

impl Drop for IdleOnDrop {
    fn drop(&mut self) {
        self.0.store(IDLE, Ordering::Release);
    }
}

/// What an enqueue of this task is a reason for.
pub fn wakeup_for(task: &NewTask) -> Wakeup {
    if task.run_at.is_some() || task.delay.is_some() { Wakeup::Later } else { Wakeup::Now }
}
