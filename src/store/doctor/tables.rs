//! Sexton's tables in the catalogue of the database.

use std::{collections::HashSet, time::Duration};

use sea_orm::QueryResult;
use sexton_migration::{Migrator, MigratorTrait};

use super::{
    super::{Store, StoreError, dialect::Dialect, row_decoding::instant},
    indexes::{IndexDefinition, expected_indexes},
};
use crate::domain::doctor::tables::{SchemaState, TableFacts, TablesFacts};

/// The table of SeaORM's migrations.
pub(super) const MIGRATIONS: &str = "sexton_migration";

const POSTGRES_TABLES: &str = "SELECT CAST(c.relname AS text) AS name, COALESCE(s.n_live_tup, 0) AS row_count, \
    s.n_dead_tup AS dead, pg_total_relation_size(c.oid) AS bytes \
    FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid \
    WHERE c.relkind IN ('r', 'p') AND left(c.relname, 7) = 'sexton_' AND pg_table_is_visible(c.oid) ORDER BY 1";
const MYSQL_TABLES: &str = "SELECT CAST(table_name AS CHAR) AS name, CAST(COALESCE(table_rows, 0) AS SIGNED) AS row_count, \
    CAST(COALESCE(data_length, 0) + COALESCE(index_length, 0) AS SIGNED) AS bytes, \
    CAST(COALESCE(data_free, 0) AS SIGNED) AS free, CAST(engine AS CHAR) AS engine, \
    CAST(table_collation AS CHAR) AS charset FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND LEFT(table_name, 7) = 'sexton_' ORDER BY 1";
const SQLITE_TABLES: &str =
    "SELECT name, 0 AS row_count FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) = 'sexton_' ORDER BY 1";

const POSTGRES_INDEXES: &str = "SELECT CAST(c.relname AS text) AS name, i.indisvalid AS is_valid FROM pg_index i \
    JOIN pg_class c ON c.oid = i.indexrelid WHERE left(c.relname, 7) = 'sexton_' AND pg_table_is_visible(i.indrelid)";
const MYSQL_INDEXES: &str = "SELECT DISTINCT CAST(index_name AS CHAR) AS name FROM information_schema.statistics \
    WHERE table_schema = DATABASE() AND LEFT(table_name, 7) = 'sexton_'";
const SQLITE_INDEXES: &str =
    "SELECT name FROM sqlite_master WHERE type = 'index' AND substr(tbl_name, 1, 7) = 'sexton_'";

impl Store {
    /// What is known of each of Sexton's tables, by name. MariaDB and MySQL show only those for which the role has a right.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn table_facts(&self) -> Result<Vec<TableFacts>, StoreError> {
        let sql = match self.dialect {
            Dialect::Postgres => POSTGRES_TABLES,
            Dialect::MySql => MYSQL_TABLES,
            Dialect::Sqlite => SQLITE_TABLES,
        };
        let rows = self.all(&self.db, sql, []).await?;
        rows.iter().map(|row| self.table_of(row)).collect()
    }

    fn table_of(&self, row: &QueryResult) -> Result<TableFacts, StoreError> {
        let mut table =
            TableFacts { name: row.try_get("", "name")?, rows: row.try_get("", "row_count")?, ..TableFacts::default() };
        if self.dialect == Dialect::Sqlite {
            return Ok(table);
        }
        table.bytes = row.try_get::<Option<i64>>("", "bytes")?.map(i64::unsigned_abs);
        if self.dialect == Dialect::Postgres {
            table.dead = row.try_get("", "dead")?;
            return Ok(table);
        }
        table.free = row.try_get::<Option<i64>>("", "free")?.map(i64::unsigned_abs);
        let (engine, charset): (Option<String>, Option<String>) =
            (row.try_get("", "engine")?, row.try_get("", "charset")?);
        table.other_engine = engine.filter(|engine| engine != "InnoDB");
        // The names of migrations are plain letters.
        table.other_charset = charset.filter(|name| !name.starts_with("utf8mb4") && table.name != MIGRATIONS);
        Ok(table)
    }

    /// How far the schema is. Nothing is created.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let Some(applied) = self.applied_steps().await? else { return Ok(SchemaState::Empty) };
        let known: Vec<String> = Migrator::get_migration_files().iter().map(|step| step.name().to_owned()).collect();
        if let Some(newer) = applied.iter().find(|step| !known.contains(step)) {
            return Ok(SchemaState::Newer(newer.clone()));
        }
        let pending: Vec<String> = known.into_iter().filter(|step| !applied.contains(step)).collect();
        Ok(if pending.is_empty() { SchemaState::Current } else { SchemaState::Pending(pending) })
    }

    /// What is known of Sexton's tables together, whose schema is current. `keep` is how long the history is kept.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn tables_facts(&self, tables: Vec<TableFacts>, keep: Duration) -> Result<TablesFacts, StoreError> {
        let sql = match self.dialect {
            Dialect::Postgres => POSTGRES_INDEXES,
            Dialect::MySql => MYSQL_INDEXES,
            Dialect::Sqlite => SQLITE_INDEXES,
        };
        let (mut present, mut invalid_indexes) = (HashSet::new(), Vec::new());
        for row in self.all(&self.db, sql, []).await? {
            let name: String = row.try_get("", "name")?;
            if self.dialect == Dialect::Postgres && !row.try_get::<bool>("", "is_valid")? {
                invalid_indexes.push(name.clone());
            }
            present.insert(name);
        }
        let missing = expected_indexes(self.database()).into_iter().filter(|index| {
            // A table that this role cannot see may have its indexes.
            !present.contains(index.name) && tables.iter().any(|table| table.name == index.table)
        });
        let triple = |index: IndexDefinition| (index.table.to_owned(), index.name.to_owned(), index.create.to_owned());
        let missing_indexes = missing.map(triple).collect();
        let row = self.one(&self.db, "SELECT MIN(finished_at) AS at FROM sexton_history", []).await?;
        let now = self.now().await?;
        let oldest = instant(&row, "at").ok().flatten().and_then(|at| (now - at).to_std().ok());
        Ok(TablesFacts { tables, missing_indexes, invalid_indexes, oldest, keep })
    }
}
