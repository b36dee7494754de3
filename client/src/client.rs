//! The client for Rust applications: enqueues tasks, alone or inside a transaction of the caller, and follows them.

mod carrier_pace;
mod events;
mod following;
mod schedules;
mod wakeup_sender;

use std::sync::Arc;

use sea_orm::ConnectionTrait;

pub use self::following::{TaskEnd, TaskStatus};
use self::{carrier_pace::CarrierEnd, wakeup_sender::WakeupSender};
pub use crate::store::wait::WaitError;
use crate::{
    domain::new_task::{InvalidTask, NewTask},
    store::{
        StoreError, TaskStore,
        connection::{BorrowedConnection, ConnectOptions, Connection, SqlxConnection},
        enqueue::Enqueued,
        wakeup::Wakeup,
    },
};

/// Connects a client with the daemon or the command line in whose process it runs.
pub trait EnqueueContext: Send + Sync {
    /// Wakes the daemon in the same process.
    fn wake(&self, wakeup: Wakeup);

    /// Fills in the fields of a task that its definition provides.
    fn fill_in(&self, task: &mut NewTask);

    /// Checks a task by its definition, if that is known.
    ///
    /// # Errors
    /// Why it is refused, for people.
    fn check(&self, _task: &NewTask) -> Result<(), String> {
        Ok(())
    }
}

/// Enqueues tasks. Clones share one connection pool.
#[derive(Clone)]
pub struct Client {
    store: TaskStore,
    context: Option<Arc<dyn EnqueueContext>>,
    wakeups: WakeupSender,
}

impl Client {
    /// Connects an application that runs apart from the daemon. `url` is the `database.url` of the daemon.
    ///
    /// No connection is opened yet, and nothing is created. [`Client::check`] says whether all is well.
    ///
    /// # Errors
    /// If the URL is invalid. A database that is down is reported by the first enqueue.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(ConnectOptions { is_application: true, ..ConnectOptions::new(url) })
    }

    /// As [`Client::connect`], to a Sexton whose setting `database.schema` has that value.
    ///
    /// # Errors
    /// As [`Client::connect`], or if the name of the schema is invalid.
    pub fn connect_in_schema(url: &str, schema: &str) -> Result<Self, StoreError> {
        let schema = schema.parse().map_err(StoreError::InvalidUrl)?;
        let options = ConnectOptions::new(url);
        Self::connect_with(ConnectOptions { schema: Some(schema), is_application: true, ..options })
    }

    /// As [`Client::connect`], with limits and a pooler.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_with(options: ConnectOptions) -> Result<Self, StoreError> {
        Ok(Self::new(TaskStore::connect(&options)?))
    }

    /// Checks that the database can be reached and has Sexton's tables: for the start of an application.
    ///
    /// # Errors
    /// If it cannot or has not, with the reason.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.store.task(0).await.map(|_| ()).map_err(StoreError::with_advice)
    }

    /// A client on an open store.
    #[doc(hidden)]
    pub fn new(store: impl Into<TaskStore>) -> Self {
        let store = store.into();
        Self { wakeups: WakeupSender::new(store.clone()), store, context: None }
    }

    /// A client inside a daemon or the command line.
    #[doc(hidden)]
    pub fn inside(store: impl Into<TaskStore>, context: Arc<dyn EnqueueContext>) -> Self {
        Self { context: Some(context), ..Self::new(store) }
    }

    /// A connection to the same database, for the application's own statements and transactions by SeaORM's traits. It has
    /// the limits of [`ConnectOptions`].
    pub fn connection(&self) -> &Connection {
        self.store.connection()
    }

    /// The store that the client uses.
    #[doc(hidden)]
    pub fn store(&self) -> &TaskStore {
        &self.store
    }

    /// Enqueues a task and wakes the nodes. The wake-up is sent with the task, or while the caller goes on, at the latest when the
    /// Tokio runtime ends. A process that ends without ending its runtime calls [`Client::wake_up_now`] before.
    ///
    /// # Errors
    /// If the task is invalid, or the database is unavailable: then nothing was enqueued.
    pub async fn enqueue(&self, task: NewTask) -> Result<Enqueued, StoreError> {
        let wakeup = wakeup_for(&task);
        let carrier = if task.waits() { None } else { self.wakeups.carrier() };
        let (enqueued, others_are_woken) = match carrier {
            Some(_) => {
                self.store.enqueue_and_wake(&self.checked(task)?, wakeup).await.map_err(StoreError::with_advice)?
            }
            None if task.waits() => {
                (self.enqueue_follower(&self.checked(task)?).await.map_err(StoreError::with_advice)?, false)
            }
            None => (self.enqueue_in(self.store.connection(), task).await?, false),
        };
        if let Some(carrier) = carrier {
            // The key of a task that is there already sends nothing, and refuses nothing.
            let is_refused = !others_are_woken && matches!(enqueued, Enqueued::New(_));
            carrier.end(if is_refused { CarrierEnd::Refused } else { CarrierEnd::Sent });
        }
        match others_are_woken {
            true => self.wake_this_process(wakeup),
            false => self.wake_up(wakeup),
        }
        Ok(enqueued)
    }

    /// Enqueues many tasks at once. Returns the number of new ones; the unique keys of the others were taken.
    ///
    /// # Errors
    /// As [`Client::enqueue`]: all tasks are enqueued, or none.
    pub async fn enqueue_all(&self, tasks: Vec<NewTask>) -> Result<u64, StoreError> {
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| self.checked(task)).collect::<Result<_, _>>()?;
        let mut wakeups: Vec<Wakeup> = tasks.iter().map(wakeup_for).collect();
        wakeups.dedup();
        let wakeup = if let [wakeup] = wakeups[..] { wakeup } else { Wakeup::Anything };
        let enqueuing = match tasks.iter().any(NewTask::waits) {
            true => self.enqueue_waiting(&tasks).await,
            false => self.store.enqueue_all(self.store.connection(), &tasks).await,
        };
        let count = enqueuing.map_err(StoreError::with_advice)?;
        self.wake_up(wakeup);
        Ok(count)
    }

    /// Enqueues tasks of which some wait for others, in one transaction.
    async fn enqueue_waiting(&self, tasks: &[NewTask]) -> Result<u64, StoreError> {
        let transaction = self.store.begin().await?;
        let count = self.store.enqueue_all(&transaction, tasks).await?;
        self.store.commit(transaction).await?;
        Ok(count)
    }

    /// Enqueues a task that waits for others: its rows in one transaction.
    async fn enqueue_follower(&self, task: &NewTask) -> Result<Enqueued, StoreError> {
        let transaction = self.store.begin().await?;
        let enqueued = self.store.enqueue(&transaction, task).await?;
        self.store.commit(transaction).await?;
        Ok(enqueued)
    }

    /// Enqueues a task inside a SeaORM transaction of the caller: the task exists if and only if the transaction commits.
    /// Call [`Client::wake_up`] after the commit; without it, the task waits until a node polls.
    ///
    /// # Errors
    /// As [`Client::enqueue`], or if the transaction belongs to another kind of database.
    pub async fn enqueue_in<C: ConnectionTrait>(&self, connection: &C, task: NewTask) -> Result<Enqueued, StoreError> {
        self.store.check_database(connection)?;
        self.store.enqueue(connection, &self.checked(task)?).await.map_err(StoreError::with_advice)
    }

    /// Enqueues many tasks inside a SeaORM transaction of the caller, as [`Client::enqueue_in`] does one.
    ///
    /// # Errors
    /// As [`Client::enqueue_in`]: then the transaction cannot go on, and must be rolled back.
    pub async fn enqueue_all_in<C: ConnectionTrait>(
        &self,
        connection: &C,
        tasks: Vec<NewTask>,
    ) -> Result<u64, StoreError> {
        self.store.check_database(connection)?;
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| self.checked(task)).collect::<Result<_, _>>()?;
        self.store.enqueue_all(connection, &tasks).await.map_err(StoreError::with_advice)
    }

    /// Enqueues a task inside a plain sqlx transaction of the caller, as [`Client::enqueue_in`] does in one of SeaORM. Pass
    /// `&mut *transaction`. The crate of sqlx must be the one that is re-exported here as `sqlx`.
    ///
    /// # Errors
    /// As [`Client::enqueue_in`].
    pub async fn enqueue_in_sqlx<C: SqlxConnection>(
        &self,
        connection: &mut C,
        task: NewTask,
    ) -> Result<Enqueued, StoreError> {
        self.enqueue_in(&BorrowedConnection::new(connection), task).await
    }

    /// Enqueues many tasks inside a plain sqlx transaction of the caller.
    ///
    /// # Errors
    /// As [`Client::enqueue_all_in`].
    pub async fn enqueue_all_in_sqlx<C: SqlxConnection>(
        &self,
        connection: &mut C,
        tasks: Vec<NewTask>,
    ) -> Result<u64, StoreError> {
        self.enqueue_all_in(&BorrowedConnection::new(connection), tasks).await
    }

    /// Wakes the nodes, in this process and in others. It is cheap: many calls in a row send few messages. It needs a
    /// running Tokio runtime.
    pub fn wake_up(&self, wakeup: Wakeup) {
        self.wake_this_process(wakeup);
        self.wakeups.send_soon(wakeup);
    }

    fn wake_this_process(&self, wakeup: Wakeup) {
        if let Some(context) = &self.context {
            context.wake(wakeup);
        }
    }

    /// Like [`Client::wake_up`], but waits until the message is sent: for a process that is about to end.
    ///
    /// # Errors
    /// If the database is unavailable. The task stays enqueued.
    pub async fn wake_up_now(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        self.store.wake(wakeup).await
    }

    /// The same task with what its definition provides.
    ///
    /// # Errors
    /// If its definition is known and refuses it.
    #[doc(hidden)]
    pub fn checked(&self, task: NewTask) -> Result<NewTask, StoreError> {
        let task = self.filled_in(task);
        let checked = self.context.as_ref().map_or(Ok(()), |context| context.check(&task));
        checked.map(|()| task).map_err(|why| InvalidTask::NotWanted(why).into())
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

/// The wake-up that an enqueue of this task causes.
pub fn wakeup_for(task: &NewTask) -> Wakeup {
    let expires = task.expires.is_some() || task.expires_at.is_some();
    match task.run_at.is_some() || task.delay.is_some() || task.waits() {
        true => Wakeup::Later,
        // The end of its time is waited for as the start of another one's.
        false if expires => Wakeup::Anything,
        false => Wakeup::Now,
    }
}
