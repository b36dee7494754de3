//! Events, for applications.

use sea_orm::ConnectionTrait;

use super::Client;
use crate::{
    domain::new_event::NewEvent,
    store::{
        StoreError,
        connection::{BorrowedConnection, SqlxConnection},
        events::SentEvent,
        wakeup::Wakeup,
    },
};

impl Client {
    /// Sends an event and wakes the nodes. The triggers of their configuration make tasks of it.
    ///
    /// # Errors
    /// If the event is invalid, or the database is unavailable: then nothing was sent.
    pub async fn send_event(&self, event: NewEvent) -> Result<SentEvent, StoreError> {
        let sent = self.send_event_in(self.store.connection(), event).await?;
        self.wake_up(Wakeup::Events);
        Ok(sent)
    }

    /// Sends an event inside a SeaORM transaction of the caller: the event exists if and only if the transaction commits.
    /// Call [`Client::wake_up`] with [`Wakeup::Events`] after the commit; without it, the event waits until a node polls.
    ///
    /// # Errors
    /// As [`Client::send_event`], or if the transaction belongs to another kind of database.
    pub async fn send_event_in<C: ConnectionTrait>(
        &self,
        connection: &C,
        event: NewEvent,
    ) -> Result<SentEvent, StoreError> {
        self.store.check_database(connection)?;
        self.store.send_event(connection, &event).await.map_err(StoreError::with_advice)
    }

    /// Sends an event inside a plain sqlx transaction of the caller, as [`Client::send_event_in`] does in one of SeaORM.
    /// Pass `&mut *transaction`.
    ///
    /// # Errors
    /// As [`Client::send_event_in`].
    pub async fn send_event_in_sqlx<C: SqlxConnection>(
        &self,
        connection: &mut C,
        event: NewEvent,
    ) -> Result<SentEvent, StoreError> {
        self.send_event_in(&BorrowedConnection::new(connection), event).await
    }
}
