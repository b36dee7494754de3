//! Errors of the driver as SeaORM's.

use std::{future::Future, pin::Pin, sync::Arc};

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// The function that `TransactionTrait::transaction` calls.
pub(super) type Work<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// The error of a statement without rows.
pub(super) fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

/// The error of a query, or of a transaction's statements.
pub(super) fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
