//! The role of an application, made by the statements of `docs/SQL.md`.

use sea_orm::{ConnectionTrait, Database as SeaOrm, DatabaseConnection};
use url::Url;

use super::{
    Database, Kind,
    document::{block, statements},
};

const PAGE: &str = "docs/SQL.md";

/// A role that may enqueue and look, and nothing else.
pub(crate) struct Role {
    pub(crate) name: String,
    /// The address of the database for this role.
    pub(crate) url: Url,
    /// Its connection.
    pub(crate) connection: DatabaseConnection,
    owner: DatabaseConnection,
    database: String,
    dialect: &'static str,
}

impl Role {
    /// Makes a role for this database, whose tables are there.
    pub(crate) async fn new(database: &Database) -> Self {
        let dialect = match database.kind {
            Kind::Postgres => "postgresql",
            Kind::MariaDb | Kind::MySql => "mysql",
            Kind::Sqlite => panic!("SQLite has no roles"),
        };
        let name = format!("r{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
        let mut url = Url::parse(&database.url).unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some("secret")).unwrap();
        let owner = database.application().await;
        let database = url.path().trim_start_matches('/').to_owned();
        // The connection of the owner takes the place until the role is there.
        let mut role = Self { name, url, connection: owner.clone(), owner, database, dialect };
        role.grant_block("role").await;
        role.connection = SeaOrm::connect(role.url.as_str()).await.unwrap();
        role
    }

    /// Runs the statements of the page for this database as the owner of the tables.
    pub(crate) async fn grant_block(&self, what: &str) {
        let block = block(PAGE, &format!("sql {} {what}", self.dialect));
        for statement in statements(&block) {
            self.grant(statement).await;
        }
    }

    /// Runs a statement as the owner. It names the role `shop_app` and the database `shop`, as the page does.
    pub(crate) async fn grant(&self, statement: &str) {
        let sql = statement.replace("shop_app", &self.name).replace("shop.", &format!("{}.", self.database));
        self.owner.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }

    /// Runs a statement as the role.
    pub(crate) async fn execute(&self, sql: &str) {
        self.connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }

    /// Checks that the role may not run a statement.
    pub(crate) async fn is_denied(&self, sql: &str) {
        let error = self.connection.execute_unprepared(sql).await.expect_err(sql).to_string();
        assert!(error.contains("denied") || error.contains("must be owner"), "{sql}\n{error}");
    }
}
