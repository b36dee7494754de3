//! The audit: who did what. A deed in the database is recorded in its own transaction.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
pub use sexton_client::store::deeds::Deed;
pub(super) use sexton_client::store::deeds::{Signature, fitting};
use sexton_entities::{
    audit,
    states::{AuditAction, AuditTarget, Via},
};

use super::{Store, StoreError};
use sexton_client::principal::Principal;

/// Selects deeds.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only these actions.
    pub action: Option<AuditAction>,
    /// Only what was done to things of this kind.
    pub target: Option<AuditTarget>,
    /// Only what was done to the thing of this name.
    pub name: Option<String>,
    /// Only what was done to this task.
    pub task_id: Option<i64>,
    /// Only what was done by this login user or account.
    pub by: Option<String>,
    /// Only what was done on this host.
    pub host: Option<String>,
    /// Only what was done by this way.
    pub via: Option<Via>,
    /// Only what was done at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what was recorded before this row.
    pub before: Option<i64>,
    /// Maximum number of rows; the newest are returned.
    pub limit: u64,
}

impl Store {
    /// The same store, in the name of `principal`. Without one, deeds are those of the application that runs this
    /// process.
    #[must_use]
    pub fn acting(&self, principal: Principal) -> Self {
        Self { tasks: self.tasks.acting(principal), ..self.clone() }
    }

    /// Lists deeds, the newest first. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn deeds(&self, filter: &AuditFilter) -> Result<Vec<audit::Model>, StoreError> {
        use audit::Column;
        let mut query = audit::Entity::find();
        if let Some(action) = filter.action {
            query = query.filter(Column::Action.eq(action));
        }
        if let Some(target) = filter.target {
            query = query.filter(Column::Target.eq(target));
        }
        if let Some(via) = filter.via {
            query = query.filter(Column::Via.eq(via));
        }
        if let Some(by) = &filter.by {
            query = query.filter(Condition::any().add(Column::Login.eq(by)).add(Column::Account.eq(by)));
        }
        let texts = [(Column::Name, &filter.name), (Column::Host, &filter.host)];
        for (column, text) in texts {
            if let Some(text) = text {
                query = query.filter(column.eq(text));
            }
        }
        if let Some(id) = filter.task_id {
            query = query.filter(Column::TaskId.eq(id));
        }
        if let Some(since) = filter.since {
            query = query.filter(Column::DoneAt.gte(since));
        }
        if let Some(before) = filter.before {
            query = query.filter(Column::Id.lt(before));
        }
        let query = query.order_by_desc(Column::Id).limit(filter.limit).build(self.backend());
        self.readable(&self.db, query, "sexton_audit", "id").await
    }
}
