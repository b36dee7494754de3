//! The rows of schedules. They are read in pages: a driver keeps several times the size of a row for each row of an answer.

use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use sea_orm::{QuerySelect as _, QueryTrait as _};
use sexton_entities::schedule;

use super::{Store, StoreError};

/// How many rows are read at once.
const PAGE: usize = 2_000;

impl Store {
    /// All schedules, sorted by name.
    ///
    /// # Errors
    /// If the database is not available or refuses the query.
    pub async fn schedules(&self) -> Result<Vec<schedule::Model>, StoreError> {
        let mut schedules = Vec::new();
        self.each_schedule(|schedule| schedules.push(schedule)).await?;
        Ok(schedules)
    }

    /// Calls `each` with every schedule, sorted by name.
    ///
    /// # Errors
    /// If the database is not available or refuses the query.
    pub async fn each_schedule(&self, mut each: impl FnMut(schedule::Model)) -> Result<(), StoreError> {
        self.each_schedule_row(|schedule| {
            if schedule.removed_at.is_none() {
                each(schedule);
            }
        })
        .await
    }

    /// The same, with those that were removed while they were paused.
    pub(super) async fn each_schedule_row(&self, mut each: impl FnMut(schedule::Model)) -> Result<(), StoreError> {
        let (mut last, mut size): (Option<String>, usize) = (None, PAGE);
        loop {
            let page = schedule::Entity::find().order_by_asc(schedule::Column::Name).limit(size as u64);
            let page = match &last {
                Some(name) => page.filter(schedule::Column::Name.gt(name)),
                None => page,
            };
            let rows = self.db.query_all_raw(page.build(self.backend())).await?;
            self.decode(&rows, "sexton_schedule", "name").into_iter().for_each(&mut each);
            if rows.len() < size {
                return Ok(());
            }
            match rows.iter().rev().find_map(|row| row.try_get("", "name").ok()) {
                Some(name) => last = Some(name),
                // None of these names can be read: the next one that can is further on.
                None => size *= 2,
            }
        }
    }
}
