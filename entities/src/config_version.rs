//! `sexton_config_version`: versions of the configuration. A row proves nothing: nodes take what a key of their local file
//! has signed, and trust no other column.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One version. It is never updated.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_config_version")]
pub struct Model {
    /// Its number, which rises.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The cluster for which it is.
    pub cluster: Option<String>,
    /// The text that was signed: number, cluster, note and all files.
    #[serde(skip)]
    pub manifest: Option<String>,
    /// Its signature, as `ssh-keygen -Y sign` writes it.
    #[serde(skip)]
    pub signature: Option<String>,
    /// The key that has signed it, as the one who deployed it says.
    pub signer: Option<String>,
    /// What its author says of it.
    pub note: Option<String>,
    /// Database time at which it was deployed.
    pub created_at: Option<DateTimeUtc>,
    /// Who deployed it.
    pub created_by: Option<String>,
    /// Host on which it was deployed.
    pub host: Option<String>,
}

/// No foreign keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
