//! `sexton config versions`: what was deployed, and which nodes have it in force. What a row says of itself counts for
//! nothing; shown is what a key of `[deploy]` has signed.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::{
    output::{Column, Printer, or_dash},
    session::{OpenSession, Session, with_advice},
};
use crate::{
    config::DeployConfig,
    domain::deploy::SignedVersion,
    store::{ConfigVersionRow, NodeDeployment},
};

#[derive(Args)]
pub(super) struct VersionsArgs {
    /// Maximum number of versions
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
}

/// A version as it is listed.
#[derive(Serialize)]
struct ListedVersion {
    number: i64,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    note: Option<String>,
    /// Whether a key of this machine's `[deploy]` has signed it; none without that table.
    valid: Option<bool>,
    /// That key.
    signer: Option<String>,
    /// Why it is not valid.
    why: Option<String>,
    files: Vec<String>,
    in_force_on: Vec<String>,
    refused_by: Vec<RefusingNode>,
}

/// A node that refuses a version.
#[derive(Serialize)]
struct RefusingNode {
    node: String,
    why: String,
}

impl ListedVersion {
    fn new(row: &ConfigVersionRow, checked: Option<Result<SignedVersion, String>>, nodes: &[NodeDeployment]) -> Self {
        let has = |node: &&NodeDeployment| node.in_force == Some(row.number);
        let refused = nodes.iter().filter_map(|node| {
            let (number, why) = node.refused.as_ref()?;
            (*number == row.number).then(|| RefusingNode { node: node.node.clone(), why: why.clone() })
        });
        let mut listed = Self {
            number: row.number,
            created_at: row.created_at,
            created_by: row.created_by.clone(),
            note: row.note.clone(),
            valid: checked.as_ref().map(Result::is_ok),
            signer: None,
            why: None,
            files: Vec::new(),
            in_force_on: nodes.iter().filter(has).map(|node| node.node.clone()).collect(),
            refused_by: refused.collect(),
        };
        match checked {
            Some(Ok(version)) => {
                listed.signer = Some(version.signer);
                listed.note = version.manifest.note;
                listed.files = version.manifest.files.into_iter().map(|file| file.name).collect();
            }
            Some(Err(why)) => listed.why = Some(why),
            None => {}
        }
        listed
    }

    /// What became of it, for people.
    fn state(&self) -> String {
        let mut parts = Vec::new();
        if let Some(why) = &self.why {
            parts.push(format!("not valid: {why}"));
        }
        if !self.in_force_on.is_empty() {
            parts.push(format!("in force on {}", self.in_force_on.join(", ")));
        }
        parts.extend(self.refused_by.iter().map(|refused| format!("refused by {}: {}", refused.node, refused.why)));
        if parts.is_empty() { "-".to_owned() } else { parts.join("; ") }
    }
}

pub(super) async fn list(session: &Session, output: Printer, args: &VersionsArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let mut rows = open.store.config_version_rows(args.limit).await.map_err(with_advice)?;
    let nodes = open.store.node_deployments().await.map_err(with_advice)?;
    let shown = rows.len();
    if (shown as u64) < args.limit {
        // Who can write rows can also remove them.
        let gone: BTreeSet<i64> = nodes.iter().filter_map(|node| node.in_force).collect();
        let is_gone = |number: &i64| rows.iter().all(|row| row.number != *number);
        let gone: Vec<i64> = gone.into_iter().filter(is_gone).collect();
        rows.extend(gone.into_iter().map(|number| ConfigVersionRow { number, ..ConfigVersionRow::default() }));
    }
    let mut listed = Vec::new();
    for row in &rows {
        let checked = match &open.config.deploy {
            Some(deploy) => Some(check(&open, deploy, row.number).await?),
            None => None,
        };
        listed.push(ListedVersion::new(row, checked, &nodes));
    }
    let columns = [
        Column::value("Version"),
        Column::value("Deployed").leaves(1),
        Column::name("By").leaves(2),
        Column::name("Signed by").leaves(3),
        Column::prose("Note").leaves(4),
        Column::prose("State"),
    ];
    output.list(&listed, columns, "No version of the configuration was deployed.", |version| {
        [
            version.number.to_string(),
            output.time_or_dash(version.created_at),
            or_dash(version.created_by.as_ref()),
            or_dash(version.signer.as_ref()),
            or_dash(version.note.as_ref()),
            version.state(),
        ]
    })?;
    output.note_limit(shown, args.limit, "--limit");
    Ok(0)
}

/// Reads and checks the version of a number.
pub(super) async fn check(
    open: &OpenSession,
    deploy: &DeployConfig,
    number: i64,
) -> anyhow::Result<Result<SignedVersion, String>> {
    let row = open.store.config_version(number).await.map_err(with_advice)?;
    let Some(row) = row else { return Ok(Err("it is not in the database".to_owned())) };
    Ok(deploy.version(number, row.manifest.as_deref(), row.signature.as_deref()))
}

/// The version of a number.
pub(super) async fn find(open: &OpenSession, deploy: &DeployConfig, number: i64) -> anyhow::Result<SignedVersion> {
    check(open, deploy, number).await?.map_err(|why| anyhow::anyhow!("version {number} is not used: {why}"))
}

/// The version with the highest number that a key of `[deploy]` has signed; and every number that is taken.
pub(super) async fn newest(
    open: &OpenSession,
    deploy: &DeployConfig,
) -> anyhow::Result<(Option<SignedVersion>, BTreeSet<i64>)> {
    let numbers = open.store.config_version_numbers().await.map_err(with_advice)?;
    for number in numbers.iter().rev() {
        if let Ok(version) = check(open, deploy, *number).await? {
            return Ok((Some(version), numbers));
        }
    }
    Ok((None, numbers))
}

/// The table `[deploy]` of this machine: without its keys, nothing of the database can be checked.
pub(super) fn keys<'a>(session: &Session, open: &'a OpenSession) -> anyhow::Result<&'a DeployConfig> {
    open.config.deploy.as_ref().with_context(|| {
        format!(
            "{} has no table [deploy]: name the cluster and the keys that may sign there, as on the nodes",
            session.source_name()
        )
    })
}
