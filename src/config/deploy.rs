//! `[deploy]`: whose signed versions of the configuration this node takes from the database. Without it, none.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{beside::beside, section::Section};
use crate::domain::deploy::{SignedVersion, TrustedKeys, check_public_key, is_cluster_name};

/// The permission of those who are not the owner of a file to write to it.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// `[deploy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployConfig {
    /// The name of the cluster, which each version has in its signed text.
    pub cluster: String,
    /// The keys that may sign versions.
    pub keys: TrustedKeys,
    /// The file that names keys.
    pub keys_file: Option<PathBuf>,
    /// The lowest number that is taken.
    pub min_number: i64,
}

impl DeployConfig {
    /// Reads the table; none if it has a mistake.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let cluster = section.text("cluster");
        if cluster.is_none() {
            section
                .refuse("", "`cluster` is missing: a name such as \"shop\", which each version for it has in its text");
        }
        if cluster.as_ref().is_some_and(|name| !is_cluster_name(name)) {
            section.refuse("cluster", "expected up to 100 letters, digits, `.`, `-` and `_`");
        }
        let mut keys = TrustedKeys::default();
        for line in section.texts("keys").unwrap_or_default() {
            add(section, "keys", &mut keys, &line, "");
        }
        let named = section.node("keys_file").map(|node| node.location.clone()).zip(section.text("keys_file"));
        let keys_file = named.and_then(|(location, name)| {
            beside(&location, &name).map_err(|problem| section.refuse("keys_file", problem)).ok()
        });
        if let Some(path) = &keys_file {
            read_keys(section, path, &mut keys);
        }
        if keys.is_empty() && keys_file.is_none() {
            section.refuse("", "`keys` or `keys_file` is missing: without a key, no version is taken");
        }
        let min_number = section.integer("min_number", 1..=i64::MAX).unwrap_or(1);
        Some(Self { cluster: cluster?, keys, keys_file, min_number })
    }

    /// Checks what a row of the database has under a number: nothing of it counts but what one of the keys has signed.
    ///
    /// # Errors
    /// The reason why it must not be used, in words.
    pub fn version(&self, number: i64, text: Option<&str>, signature: Option<&str>) -> Result<SignedVersion, String> {
        let (Some(text), Some(signature)) = (text, signature) else {
            return Err("its text or its signature is missing, too large, or no text".to_owned());
        };
        let version = self.keys.verify(&self.cluster, text, signature)?;
        match version.manifest.number {
            signed if signed == number => Ok(version),
            signed => Err(format!("its row has the number {number}, and its signed text {signed}")),
        }
    }
}

fn add(section: &mut Section<'_>, setting: &'static str, keys: &mut TrustedKeys, line: &str, place: &str) {
    match check_public_key(line) {
        Ok(key) => drop(keys.add(key)),
        Err(problem) => section.refuse(setting, format!("{place}{problem}")),
    }
}

/// Reads the keys of a file, one on each line. Who may write to it decides what the node executes.
fn read_keys(section: &mut Section<'_>, path: &Path, keys: &mut TrustedKeys) {
    const SETTING: &str = "keys_file";
    let shown = path.display().to_string();
    let read = fs::metadata(path).and_then(|metadata| Ok((metadata.mode(), fs::read_to_string(path)?)));
    let (mode, text) = match read {
        Ok(found) => found,
        Err(error) => return section.refuse(SETTING, format!("cannot read {shown}: {error}")),
    };
    if mode & WRITTEN_BY_OTHERS != 0 {
        let problem = format!(
            "others than its owner can write to {shown}, and so decide what this node executes: chmod go-w {shown}"
        );
        return section.refuse(SETTING, problem);
    }
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            add(section, SETTING, keys, line, &format!("{shown}:{}: ", index + 1));
        }
    }
    if keys.is_empty() {
        section.refuse(SETTING, format!("{shown} has no key: without one, no version is taken"));
    }
}
