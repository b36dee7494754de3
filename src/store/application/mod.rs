//! Statements of the configuration on the database of an application. A SELECT has a session of its own that only reads, with
//! time limits at the server, and never more rows or bytes than were asked for. Statements that change something are one
//! transaction.

mod collector;
mod execute;
mod mysql;
mod mysql_writes;
mod parameters;
mod postgres;
mod postgres_values;
mod postgres_writes;
mod sqlite;
mod sqlite_writes;

use self::collector::Collector;
pub use self::{
    collector::{ApplicationQuery, SelectedRows},
    execute::{SqlEnd, SqlFailure, SqlWork, execute},
};
use super::{
    ConnectOptions, DropInRuntime, StoreError,
    connection::{Target, on_driver},
};

/// Reads rows of an application.
///
/// # Errors
/// If the database is not available, or refuses the statement; also if the columns do not suit.
pub async fn select(options: &ConnectOptions, query: &ApplicationQuery<'_>) -> Result<SelectedRows, StoreError> {
    // The application's tables are where the server looks for them.
    let options = ConnectOptions { schema: None, is_application: true, ..options.clone() };
    let target = Target::parse(&options).map_err(StoreError::InvalidUrl)?;
    let reading = async {
        let mut collector = Collector::new(query);
        match &target {
            Target::Postgres { hosts, .. } => {
                let mut connection = postgres::open(hosts, options.acquire_timeout).await?;
                postgres::read(&mut connection, query, &mut collector).await?;
            }
            Target::MySql(server) => {
                let mut connection = mysql::open(server, options.acquire_timeout).await?;
                mysql::read(&mut connection, query, &mut collector).await?;
            }
            Target::Sqlite(..) => sqlite::read(&options.url, query, &mut collector).await?,
        }
        Ok(collector.finish())
    };
    DropInRuntime::new(on_driver(reading)).await
}
