//! The history of Sexton's schema: each file is one step, and is never edited after a release.
//!
//! The steps are written as SQL with a few placeholders for what differs between the databases
//! (see `dialect`), so that they say for ever what they said on the day they were released:
//! they import no entity, whose meaning moves on.

mod dialect;
mod m20261121_000001_create_task;
mod m20261121_000002_create_history;
mod m20261121_000003_create_schedule;
mod m20261121_000004_create_node;
mod m20261121_000005_add_command_columns;
mod m20261121_000006_create_turn;
mod m20261121_000007_find_runs_of_schedules;
mod m20261121_000008_type_reasons;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{
    MigrationTrait,
    sea_orm::{DynIden, sea_query::IntoIden},
};

/// The ordered list of steps.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_task::Step),
            Box::new(m20261121_000002_create_history::Step),
            Box::new(m20261121_000003_create_schedule::Step),
            Box::new(m20261121_000004_create_node::Step),
            Box::new(m20261121_000005_add_command_columns::Step),
            Box::new(m20261121_000006_create_turn::Step),
            Box::new(m20261121_000007_find_runs_of_schedules::Step),
            Box::new(m20261121_000008_type_reasons::Step),
        ]
    }

    /// A table of our own: the application beside us may keep its migrations under SeaORM's default name.
    fn migration_table_name() -> DynIden {
        "sexton_migration".into_iden()
    }
}
