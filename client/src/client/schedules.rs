//! The schedules of the database, for applications.

use super::Client;
use crate::{
    domain::schedule_definition::ScheduleDefinition,
    store::{StoreError, schedules::ScheduleChange, wakeup::Wakeup},
};

impl Client {
    /// The schedules of the database, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn schedules(&self) -> Result<Vec<ScheduleDefinition>, StoreError> {
        self.store.database_schedules().await.map_err(StoreError::with_advice)
    }

    /// Adds a schedule to the database. Nodes check it by their configuration: `sexton schedule list` shows the mistakes
    /// of one that cannot be in force.
    ///
    /// # Errors
    /// If a name, the payload or the settings are invalid, or the database is unavailable.
    pub async fn add_schedule(&self, new: &ScheduleDefinition) -> Result<ScheduleChange, StoreError> {
        let change = self.store.add_schedule(new).await.map_err(StoreError::with_advice)?;
        self.wake_up(Wakeup::Schedules);
        Ok(change)
    }

    /// Replaces the definition of a schedule in the database. Its instants before now do not fire.
    ///
    /// # Errors
    /// As [`Client::add_schedule`].
    pub async fn edit_schedule(&self, new: &ScheduleDefinition) -> Result<ScheduleChange, StoreError> {
        let change = self.store.edit_schedule(new).await.map_err(StoreError::with_advice)?;
        self.wake_up(Wakeup::Schedules);
        Ok(change)
    }

    /// Removes a schedule from the database. Its tasks that wait or run, and its record, stay.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn remove_schedule(&self, name: &str) -> Result<ScheduleChange, StoreError> {
        let change = self.store.remove_schedule(name).await.map_err(StoreError::with_advice)?;
        self.wake_up(Wakeup::Schedules);
        Ok(change)
    }
}
