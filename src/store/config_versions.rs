//! Versions of the configuration. A row proves nothing: what its text is worth, its signature says, and that is checked by
//! those who read it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Value};
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget};

use super::{
    Deed, Store, StoreError,
    audit::{Signature, fitting},
    dialect::Kind,
    row_decoding::{column, instant},
    rows::Rows,
};
use crate::domain::{
    deploy::{MAX_BYTES, SignedVersion},
    identity::NodeId,
};

const COLUMNS: [(&str, Kind); 8] = [
    ("number", Kind::Integer),
    ("cluster", Kind::Text),
    ("manifest", Kind::Text),
    ("signature", Kind::Text),
    ("signer", Kind::Text),
    ("note", Kind::Text),
    ("created_by", Kind::Text),
    ("host", Kind::Text),
];
/// Maximum number of bytes of a column about a version that is read.
const MAX_CLAIM: usize = 4_000;
/// Maximum number of bytes of a signature that is read.
const MAX_SIGNATURE: usize = 20_000;
/// Maximum number of versions that a node looks at.
const MAX_HEADS: usize = 2_000;
/// Maximum number of characters of a signer.
const MAX_SIGNER: usize = 255;

/// A version that a node has not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHead {
    /// Its number.
    pub number: i64,
    /// What another version in its place would have otherwise: the beginning of its signature.
    pub mark: String,
}

/// A row of a version, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigVersionRow {
    /// Its number.
    pub number: i64,
    /// The text; none if it is missing, too large or unreadable.
    pub manifest: Option<String>,
    /// The signature; none if it is missing, too large or unreadable.
    pub signature: Option<String>,
    /// What the row says of its note.
    pub note: Option<String>,
    /// When it was entered, by the row.
    pub created_at: Option<DateTime<Utc>>,
    /// Who entered it, by the row.
    pub created_by: Option<String>,
}

/// What a node has in force, and what it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDeployment {
    /// The node's name.
    pub node: String,
    /// The number in force; none if it has none.
    pub in_force: Option<i64>,
    /// The number that it refuses, and why.
    pub refused: Option<(i64, String)>,
}

/// A column, unless it has more bytes.
fn within(name: &str, max: usize) -> String {
    format!("CASE WHEN octet_length({name}) <= {max} THEN {name} END AS {name}")
}

impl Store {
    /// The versions with numbers from `least` on, the highest first.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn config_versions_from(&self, least: i64) -> Result<Vec<VersionHead>, StoreError> {
        let sql = format!(
            "SELECT number, substr(signature, 1, 400) AS mark FROM sexton_config_version WHERE number >= ? \
             ORDER BY number LIMIT {MAX_HEADS}"
        );
        let rows = self.all(&self.db, &sql, [least.into()]).await?;
        let head = |row: &QueryResult| {
            let mark: Option<String> = column(row, "mark").unwrap_or_default();
            Some(VersionHead { number: column(row, "number").ok()?, mark: mark.unwrap_or_default() })
        };
        // The lowest are read: a version gets the lowest number that is free, whatever others have written above it.
        Ok(rows.iter().rev().filter_map(head).collect())
    }

    /// Every number that is taken.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn config_version_numbers(&self) -> Result<BTreeSet<i64>, StoreError> {
        let rows = self.all(&self.db, "SELECT number FROM sexton_config_version", []).await?;
        Ok(rows.iter().filter_map(|row| column(row, "number").ok()).collect())
    }

    /// The rows of the last versions, the highest first, without their texts.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn config_version_rows(&self, limit: u64) -> Result<Vec<ConfigVersionRow>, StoreError> {
        let columns = ["note", "created_by"].map(|name| within(name, MAX_CLAIM)).join(", ");
        let sql =
            format!("SELECT number, created_at, {columns} FROM sexton_config_version ORDER BY number DESC LIMIT ?");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.all(&self.db, &sql, [limit.into()]).await?;
        Ok(rows.iter().filter_map(row_of).collect())
    }

    /// One version with its text; none if there is no such number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn config_version(&self, number: i64) -> Result<Option<ConfigVersionRow>, StoreError> {
        let columns =
            [("manifest", MAX_BYTES), ("signature", MAX_SIGNATURE), ("note", MAX_CLAIM), ("created_by", MAX_CLAIM)];
        let columns = columns.map(|(name, max)| within(name, max)).join(", ");
        let sql = format!("SELECT number, created_at, {columns} FROM sexton_config_version WHERE number = ?");
        let rows = self.all(&self.db, &sql, [number.into()]).await?;
        Ok(rows.first().and_then(row_of))
    }

    /// Enters a version, and records who did so. Returns false if another one has its number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn deploy_version(&self, version: &SignedVersion) -> Result<bool, StoreError> {
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        let select = COLUMNS.map(|(name, _)| format!("d.{name}")).join(", ");
        let sql = self.dialect.insert_new(
            &format!("sexton_config_version ({names})"),
            &format!("SELECT {select} FROM {}", self.dialect.rows("d", &COLUMNS)),
        );
        let manifest = &version.manifest;
        let signer = fitting(Some(&version.signer), MAX_SIGNER);
        let Signature { by, host, .. } = self.signature();
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("number", manifest.number)
                .set("cluster", manifest.cluster.clone())
                .set("manifest", version.text.clone())
                .set("signature", version.signature.clone())
                .set("signer", signer.clone())
                .set("note", fitting(manifest.note.as_deref(), MAX_CLAIM))
                .set("created_by", by.clone())
                .set("host", host.clone());
        });
        let rows = rows.into_value();
        let files: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let after = json!({ "number": manifest.number, "signer": signer, "note": manifest.note, "files": files });
        let deed = Deed::new(AuditAction::Deploy, AuditTarget::Configuration, manifest.cluster.as_str());
        let deed = [deed.from_to(None, after)];
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let is_new = self.run(&transaction, &sql, [rows.clone()]).await? > 0;
            if is_new {
                self.record_deeds(&transaction, &deed).await?;
            }
            self.commit(transaction).await?;
            Ok(is_new)
        })
        .await
    }

    /// Publishes what a node has in force and what it refuses. Returns false if the node is not registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn publish_deployment(
        &self,
        node: &NodeId,
        deployment: Option<&serde_json::Value>,
    ) -> Result<bool, StoreError> {
        let json = self.dialect.json(self.dialect.text_parameter());
        let sql = format!("UPDATE sexton_node SET deployment = {json} WHERE id = ?");
        let values: [Value; 2] = [deployment.map(ToString::to_string).into(), node.as_str().into()];
        Ok(self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }

    /// What the live nodes have in force and refuse, as they say.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn node_deployments(&self) -> Result<Vec<NodeDeployment>, StoreError> {
        let sql = format!(
            "SELECT name, deployment FROM sexton_node WHERE lease_expires_at > {} AND deployment IS NOT NULL ORDER BY id",
            self.dialect.now()
        );
        let mut found = Vec::new();
        for row in self.all(&self.db, &sql, []).await? {
            let said: Option<serde_json::Value> = column(&row, "deployment").unwrap_or_default();
            let Some(said) = said else { continue };
            let refused = &said["refused"];
            let why = refused["why"].as_str().unwrap_or_default().to_owned();
            found.push(NodeDeployment {
                node: row.try_get("", "name")?,
                in_force: said["in_force"].as_i64(),
                refused: refused["number"].as_i64().map(|number| (number, why)),
            });
        }
        Ok(found)
    }
}

/// A row as far as it can be read; none without a number.
fn row_of(row: &QueryResult) -> Option<ConfigVersionRow> {
    let text = |name: &str| column::<Option<String>>(row, name).unwrap_or_default();
    Some(ConfigVersionRow {
        number: column(row, "number").ok()?,
        manifest: text("manifest"),
        signature: text("signature"),
        note: text("note"),
        created_at: instant(row, "created_at").unwrap_or_default(),
        created_by: text("created_by"),
    })
}
