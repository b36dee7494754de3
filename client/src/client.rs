//! The client for Rust applications: enqueues tasks, alone or inside a transaction of the caller.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait;

use crate::{
    domain::new_task::NewTask,
    store::{StoreError, TaskStore, connection::ConnectOptions, enqueue::Enqueued, wakeup::Wakeup},
};

/// Wake-ups at shorter intervals are sent as one.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// Connects a client with the daemon or the command line in whose process it runs.
pub trait EnqueueContext: Send + Sync {
    /// Wakes the daemon in the same process.
    fn wake(&self, wakeup: Wakeup);

    /// Fills in the fields of a task that its definition provides.
    fn fill_in(&self, task: &mut NewTask);
}

/// Enqueues tasks. Clones share one connection pool.
#[derive(Clone)]
pub struct Client {
    store: TaskStore,
    context: Option<Arc<dyn EnqueueContext>>,
    state: Arc<AtomicU8>,
}

const IDLE: u8 = 0;
const SENDING: u8 = 1;
const SEND_AGAIN: u8 = 2;

impl Client {
    /// Connects an application that runs apart from the daemon.
    ///
    /// # Errors
    /// If the URL is invalid. A database that is down is reported by the first enqueue.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Ok(Self::new(TaskStore::connect(&ConnectOptions::new(url))?))
    }

    /// As [`Client::connect`], to a Sexton whose setting `database.schema` has that value.
    ///
    /// # Errors
    /// As [`Client::connect`], or if the name of the schema is invalid.
    pub fn connect_in_schema(url: &str, schema: &str) -> Result<Self, StoreError> {
        let schema = schema.parse().map_err(StoreError::InvalidUrl)?;
        Ok(Self::new(TaskStore::connect(&ConnectOptions { schema: Some(schema), ..ConnectOptions::new(url) })?))
    }

    /// A client on an open store.
    pub fn new(store: impl Into<TaskStore>) -> Self {
        Self { store: store.into(), context: None, state: Arc::default() }
    }

    /// A client inside a daemon or the command line.
    #[doc(hidden)]
    pub fn inside(store: impl Into<TaskStore>, context: Arc<dyn EnqueueContext>) -> Self {
        Self { context: Some(context), ..Self::new(store) }
    }

    /// The store that the client uses.
    pub fn store(&self) -> &TaskStore {
        &self.store
    }

    /// Enqueues a task and wakes the nodes.
    ///
    /// # Errors
    /// If the task is invalid, or the database is unavailable: then nothing was enqueued.
    pub async fn enqueue(&self, task: NewTask) -> Result<Enqueued, StoreError> {
        let wakeup = wakeup_for(&task);
        let enqueued = self.enqueue_in(self.store.connection(), task).await?;
        self.wake_up(wakeup);
        Ok(enqueued)
    }

    /// Enqueues many tasks at once. Returns the number of new ones; the unique keys of the others were taken.
    ///
    /// # Errors
    /// As [`Client::enqueue`]: all tasks are enqueued, or none.
    pub async fn enqueue_all(&self, tasks: Vec<NewTask>) -> Result<u64, StoreError> {
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| self.filled_in(task)).collect();
        let count = self.store.enqueue_all(self.store.connection(), &tasks).await?;
        self.wake_up(Wakeup::Anything);
        Ok(count)
    }

    /// Enqueues a task inside a transaction of the caller: the task exists if and only if the transaction commits. Call
    /// [`Client::wake_up`] after the commit; without it, the task waits until a node polls.
    ///
    /// # Errors
    /// As [`Client::enqueue`].
    pub async fn enqueue_in<C: ConnectionTrait>(&self, connection: &C, task: NewTask) -> Result<Enqueued, StoreError> {
        self.store.enqueue(connection, &self.filled_in(task)).await
    }

    /// Wakes the nodes, in this process and in others. It is cheap: many calls in a row send few messages. It needs a
    /// running Tokio runtime.
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
                    tracing::debug!("cannot send a wake-up: {error}");
                }
                tokio::time::sleep(DEBOUNCE).await;
                if state.compare_exchange(SENDING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return;
                }
                state.store(SENDING, Ordering::Release);
            }
        });
    }

    /// Like [`Client::wake_up`], but waits until the message is sent: for a process that is about to end.
    ///
    /// # Errors
    /// If the database is unavailable. The task stays enqueued.
    pub async fn wake_up_now(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        self.store.wake(wakeup).await
    }

    /// The task with what its definition provides.
    #[doc(hidden)]
    pub fn filled_in(&self, mut task: NewTask) -> NewTask {
        if let Some(context) = &self.context {
            context.fill_in(&mut task);
        }
        task
    }
}

/// Resets the state even if the runtime drops the sending task, so that the next wake-up is sent.
struct IdleOnDrop(Arc<AtomicU8>);

impl Drop for IdleOnDrop {
    fn drop(&mut self) {
        self.0.store(IDLE, Ordering::Release);
    }
}

/// The wake-up that an enqueue of this task causes.
pub fn wakeup_for(task: &NewTask) -> Wakeup {
    let expires = task.expires.is_some() || task.expires_at.is_some();
    match task.run_at.is_some() || task.delay.is_some() {
        true => Wakeup::Later,
        // The end of its time is waited for as the start of another one's.
        false if expires => Wakeup::Anything,
        false => Wakeup::Now,
    }
}
