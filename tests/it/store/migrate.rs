//! Tables come into being once, and are refused where they are from the future.

use sea_orm::ConnectionTrait;
use sexton::store::StoreError;

use crate::support::on_each_database;

on_each_database! {
    async fn nodes_that_start_together_do_not_break_each_other(database: Database) {
        let options = database.options();
        let starts = (0..4).map(|_| async {
            let store = database.bare_store();
            store.migrate(&options).await
        });
        let results = futures::future::join_all(starts).await;
        let applied: usize = results.into_iter().map(|result| result.unwrap().len()).sum();
        assert_eq!(applied, database.bare_store().migration_status().await.unwrap().len(), "each step by one of them");
    }

    async fn a_database_from_the_future_is_refused(database: Database) {
        let store = database.store().await;
        let sql = "INSERT INTO sexton_migration (version, applied_at) VALUES ('m20991231_000001_wonders', 0)";
        store.connection().execute_unprepared(sql).await.unwrap();
        let error = store.migrate(&database.options()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Newer(step) if step.contains("wonders")), "{error:?}");
        assert!(error.to_string().contains("upgrade this program"));
    }

    async fn a_step_that_was_cut_short_is_run_again(database: Database) {
        let store = database.store().await;
        store.connection().execute_unprepared("DELETE FROM sexton_migration").await.unwrap();
        let steps = store.migration_status().await.unwrap().len();
        assert_eq!(store.migrate(&database.options()).await.unwrap().len(), steps);
        assert!(store.migrate(&database.options()).await.unwrap().is_empty());
    }
}
