//! Which database this is.

use sea_orm::EntityTrait;
use sexton_entities::database;

use super::{Store, StoreError};
use crate::domain::identity::DatabaseId;

/// The primary key of the only row.
pub(super) const ROW: i32 = 1;

impl Store {
    /// The identity of the database, which the first daemon makes. The primary key decides between two first ones.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn database_id(&self) -> Result<DatabaseId, StoreError> {
        let read = self.read_database_id().await?;
        Ok(self.id.get_or_init(|| read).clone())
    }

    /// The identity of the database as it was first read; none before that.
    pub fn known_database_id(&self) -> Option<&DatabaseId> {
        self.id.get()
    }

    /// The identity of the database now, if it is another one than was first read.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn other_database_id(&self) -> Result<Option<DatabaseId>, StoreError> {
        let row = database::Entity::find_by_id(ROW).one(&self.db).await?;
        let now: Option<DatabaseId> = row.map(|row| row.uuid.into());
        Ok(now.filter(|now| self.known_database_id().is_some_and(|known| known != now)))
    }

    async fn read_database_id(&self) -> Result<DatabaseId, StoreError> {
        let new = uuid::Uuid::new_v4().to_string();
        let select = format!("SELECT {ROW}, {} FROM (SELECT 1 AS x) one", self.dialect.text_parameter());
        let sql = self.dialect.insert_new("sexton_database (id, uuid)", &select);
        self.with_retries(async || {
            if let Some(known) = database::Entity::find_by_id(ROW).one(&self.db).await? {
                return Ok(known.uuid.into());
            }
            self.run(&self.db, &sql, [new.as_str().into()]).await?;
            match database::Entity::find_by_id(ROW).one(&self.db).await? {
                Some(known) => Ok(known.uuid.into()),
                None => Err(StoreError::Conflict("another node is making the identity of the database".to_owned())),
            }
        })
        .await
    }
}
