//! History of Sexton's schema. Each file is one step and is not edited after a release.
//!
//! The steps are SQL with a few placeholders for the differences between the databases (see `dialect`). They import no
//! entity, because entities change and a released step must not.

mod dialect;
mod m20261121_000001_create_task;
mod m20261121_000002_create_history;
mod m20261121_000003_create_schedule;
mod m20261121_000004_create_node;
mod m20261121_000005_add_command_columns;
mod m20261121_000006_create_turn;
mod m20261121_000007_find_runs_of_schedules;
mod m20261121_000008_type_reasons;
mod m20261121_000009_identify_claims;
mod m20261121_000010_refuse_bad_tasks;
mod m20261121_000011_wait_for_definitions;
mod m20261121_000012_expire_tasks;
mod m20261121_000014_keep_payloads;
mod m20261121_000015_keep_audit;
mod m20261121_000016_remember_dead_nodes;
mod m20261121_000017_narrow_task_indexes;
mod m20261121_000019_keep_problems;
mod m20261121_000020_keep_notices;
mod m20261121_000021_keep_daily_figures;
mod m20261122_000022_escalate_problems;
mod m20261122_000024_expect_runs;
mod m20261122_000025_wake_by_datagrams;
mod m20261122_000026_find_cancel_requests;
mod m20261122_000027_compare_schedules;
mod m20261122_000028_follow_traces;
mod m20261122_000029_define_schedules;
mod m20261122_000030_tell_of_schedules;
mod m20261122_000032_count_notices;
mod m20261122_000033_keep_events;
mod m20261122_000034_chain_tasks;
mod m20261122_000035_limit_tasks;
mod m20261122_000036_maintain_clusters;
mod m20261122_000037_deploy_configurations;
mod m20261122_000038_sweep_rows;
mod m20261122_000039_watch_files;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{
    MigrationTrait,
    sea_orm::{DynIden, sea_query::IntoIden},
};

/// Applies the steps in order.
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
            Box::new(m20261121_000009_identify_claims::Step),
            Box::new(m20261121_000010_refuse_bad_tasks::Step),
            Box::new(m20261121_000011_wait_for_definitions::Step),
            Box::new(m20261121_000012_expire_tasks::Step),
            Box::new(m20261121_000014_keep_payloads::Step),
            Box::new(m20261121_000015_keep_audit::Step),
            Box::new(m20261121_000016_remember_dead_nodes::Step),
            Box::new(m20261121_000017_narrow_task_indexes::Step),
            Box::new(m20261121_000019_keep_problems::Step),
            Box::new(m20261121_000020_keep_notices::Step),
            Box::new(m20261121_000021_keep_daily_figures::Step),
            Box::new(m20261122_000022_escalate_problems::Step),
            Box::new(m20261122_000024_expect_runs::Step),
            Box::new(m20261122_000025_wake_by_datagrams::Step),
            Box::new(m20261122_000026_find_cancel_requests::Step),
            Box::new(m20261122_000027_compare_schedules::Step),
            Box::new(m20261122_000028_follow_traces::Step),
            Box::new(m20261122_000029_define_schedules::Step),
            Box::new(m20261122_000030_tell_of_schedules::Step),
            Box::new(m20261122_000032_count_notices::Step),
            Box::new(m20261122_000033_keep_events::Step),
            Box::new(m20261122_000034_chain_tasks::Step),
            Box::new(m20261122_000035_limit_tasks::Step),
            Box::new(m20261122_000036_maintain_clusters::Step),
            Box::new(m20261122_000037_deploy_configurations::Step),
            Box::new(m20261122_000038_sweep_rows::Step),
            Box::new(m20261122_000039_watch_files::Step),
        ]
    }

    /// Not SeaORM's default name, which the application in the same database may use.
    fn migration_table_name() -> DynIden {
        "sexton_migration".into_iden()
    }
}
