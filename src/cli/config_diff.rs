//! `sexton config diff`: what changes from one version of the configuration to another, as text.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;
use similar::TextDiff;

use super::{
    config_versions::{find, keys, newest},
    output::{Printer, print_line, print_text},
    session::Session,
};
use crate::domain::deploy::{DeployedFile, Manifest};

#[derive(Args)]
pub(super) struct DiffArgs {
    /// Number of the earlier version [default: the one in force on this machine, or else the one before the newest]
    from: Option<i64>,
    /// Number of the later version [default: the newest]
    to: Option<i64>,
}

pub(super) async fn show(session: &Session, output: Printer, args: &DiffArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let deploy = keys(session, &open)?;
    let (newest, numbers) = newest(&open, deploy).await?;
    let to = match (args.to, newest) {
        (Some(number), _) => find(&open, deploy, number).await?.manifest,
        (None, Some(newest)) => newest.manifest,
        (None, None) => anyhow::bail!("no version of the configuration was deployed"),
    };
    let from = match (args.from, &open.config.deployed) {
        (Some(number), _) => Some(find(&open, deploy, number).await?.manifest),
        (None, Some(version)) if version.manifest.number != to.number => Some(version.manifest.clone()),
        (None, _) => {
            let mut before = None;
            for number in numbers.range(..to.number).rev() {
                before = find(&open, deploy, *number).await.ok();
                if before.is_some() {
                    break;
                }
            }
            before.map(|version| version.manifest)
        }
    };
    let text = diff(from.as_ref(), &to);
    if output.is_json() {
        output.value(&json!({ "from": from.map(|version| version.number), "to": to.number, "diff": text }))?;
    } else if text.is_empty() {
        print_line!("no file differs");
    } else {
        print_text(&text);
    }
    Ok(0)
}

/// The difference in the unified form.
pub(super) fn diff(from: Option<&Manifest>, to: &Manifest) -> String {
    let files = |version: Option<&Manifest>| version.map(|version| version.files.clone()).unwrap_or_default();
    let (old, new) = (files(from), files(Some(to)));
    let names: BTreeSet<&str> = old.iter().chain(&new).map(|file| file.name.as_str()).collect();
    let mut whole = String::new();
    for name in names {
        let text = |files: &[DeployedFile]| files.iter().find(|file| file.name == name).map(|file| file.text.clone());
        let (before, after) = (text(&old), text(&new));
        let title = |version: Option<i64>, is_there: bool| match version.filter(|_| is_there) {
            Some(number) => format!("version {number}: {name}"),
            None => "/dev/null".to_owned(),
        };
        let titles = [title(from.map(|from| from.number), before.is_some()), title(Some(to.number), after.is_some())];
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let lines = TextDiff::from_lines(before.as_str(), after.as_str());
        whole += &lines.unified_diff().header(&titles[0], &titles[1]).to_string();
    }
    whole
}
