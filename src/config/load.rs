//! Where the configuration comes from: a file, the files in `conf.d` beside it, then the environment.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    daemon::DaemonConfig,
    deploy::DeployConfig,
    deployed::{DeployedChoice, kept_version, tree_of, warn_unused},
    known_names::KnownNames,
    mistake::{Findings, Mistake, Mistakes, SourceLocation},
    section::Section,
    tables::Config,
    tree::TreeNode,
};
use crate::domain::deploy::SignedVersion;

/// Environment variables with this prefix override settings: `SEXTON__DAEMON__WORKERS=4`.
const PREFIX: &str = "SEXTON__";
/// The files that are tried if none was named.
const DEFAULT_FILES: [&str; 3] = ["sexton.toml", "config/sexton.toml", "/etc/sexton/sexton.toml"];

/// A configuration file, and what overrides it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The main file; none for the defaults alone.
    pub file: Option<PathBuf>,
    /// Settings from the command line, each with its path. They override files and environment variables.
    pub overrides: Vec<(Vec<String>, String)>,
    /// Which version that was deployed by the database counts, if the settings have a table `[deploy]`.
    pub deployed: DeployedChoice,
}

impl Source {
    /// The mistake that there is no configuration at all: no file, no environment variable and no option. The defaults
    /// alone would address a database that nobody chose.
    pub fn missing(&self) -> Option<Mistake> {
        let is_given = self.file.is_some() || !self.overrides.is_empty() || !variables().is_empty();
        let files = DEFAULT_FILES.join(", ");
        (!is_given).then(|| Mistake {
            location: SourceLocation { source: "no configuration".into(), line: None },
            setting: String::new(),
            problem: format!("none of {files} exists: name a file with --config, or write one with `sexton init`"),
        })
    }
}

impl Source {
    /// The location of a setting, or of what is nearest to it.
    pub fn location(&self, setting: &[&str]) -> SourceLocation {
        merged(self, &mut Findings::default()).location_of(setting).clone()
    }

    /// Where the settings come from, for people.
    pub fn name(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None if variables().is_empty() => "the defaults, as there is no configuration file".to_owned(),
            None => "the environment variables".to_owned(),
        }
    }
}

/// The first of the default files that exists.
pub fn find_file() -> Option<PathBuf> {
    DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Reads the configuration. Task definitions and modules are checked against the `known` names.
///
/// # Errors
/// Every mistake in the files and the environment variables, sorted by file and line.
pub fn load(source: &Source, known: &KnownNames) -> Result<Config, Mistakes> {
    let (config, mistakes) = load_anyway(source, known);
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// Reads the configuration as far as possible: a mistake must not prevent a stop of the daemon. A setting that cannot
/// be read has its default.
pub fn load_anyway(source: &Source, known: &KnownNames) -> (Config, Mistakes) {
    let mut findings = Findings::default();
    let (root, deployed) = merged_with(source, &mut findings);
    let config = Config { deployed, ..Config::read(&root, known, &mut findings) };
    (config, findings.mistakes.sorted())
}

/// The settings of all files, of the deployed version, of the environment variables and of the command line.
pub(super) fn merged(source: &Source, findings: &mut Findings) -> TreeNode {
    merged_with(source, findings).0
}

/// The same, with the deployed version that is a part of them.
fn merged_with(source: &Source, findings: &mut Findings) -> (TreeNode, Option<Arc<SignedVersion>>) {
    let mut root = of_files(source, findings);
    // What decides on it. It does not count itself there.
    let mut local = TreeNode::empty();
    for table in ["daemon", "deploy"] {
        if let Some(node) = root.find(&[table]) {
            local.overlay(TreeNode::at_path(&[table.to_owned()], node.clone()));
        }
    }
    override_with(source, &mut local);
    let version = deployed(source, &local, findings);
    let manifest = match &source.deployed {
        DeployedChoice::Draft(draft) => Some(&**draft),
        _ => version.as_ref().map(|version| &version.manifest),
    };
    if let Some(manifest) = manifest {
        let tree = tree_of(manifest, &root, findings);
        root.overlay(tree);
    }
    override_with(source, &mut root);
    (root, version)
}

/// The deployed version that counts; none without a sound table `[deploy]`.
fn deployed(source: &Source, root: &TreeNode, findings: &mut Findings) -> Option<Arc<SignedVersion>> {
    // Mistakes in it are found again with the whole.
    let mut unseen = Findings::default();
    let read = |section: &mut Section<'_>| section.table("deploy", DeployConfig::read).flatten();
    let deploy = read(&mut Section::new("", root, &mut unseen))?;
    if !unseen.mistakes.is_empty() {
        return None;
    }
    match &source.deployed {
        DeployedChoice::Draft(_) => None,
        // The keys may have changed since it was read.
        DeployedChoice::Candidate(version) => {
            match deploy.keys.verify(&deploy.cluster, &version.text, &version.signature) {
                Ok(version) => Some(version.into()),
                Err(why) => {
                    findings.add(root.location_of(&["deploy"]), "deploy", format!("the version is not taken: {why}"));
                    None
                }
            }
        }
        DeployedChoice::Kept => {
            let mut top = Section::new("", root, &mut unseen);
            let daemon = top.table("daemon", |table| DaemonConfig::read(table, &[])).unwrap_or_default();
            let kept = kept_version(&daemon.state_dir, &deploy);
            kept.map_err(|why| warn_unused(&why, findings)).ok().flatten().map(Arc::new)
        }
    }
}

/// The settings of the local files.
fn of_files(source: &Source, findings: &mut Findings) -> TreeNode {
    let mut root = TreeNode::empty();
    if let Some(file) = &source.file {
        root.overlay(read_file(file, findings));
        for more in conf_d(file, findings) {
            root.overlay(read_file(&more, findings));
        }
    }
    root
}

fn override_with(source: &Source, root: &mut TreeNode) {
    for (name, value) in variables() {
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        root.overlay(TreeNode::at_path(&path, TreeNode::from_variable(&name, &value)));
    }
    for (path, value) in &source.overrides {
        root.overlay(TreeNode::at_path(path, TreeNode::from_variable(&format!("--{}", path.join(".")), value)));
    }
}

fn read_file(path: &Path, findings: &mut Findings) -> TreeNode {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => TreeNode::parse(&text, &name, findings),
        Err(error) => {
            findings.add(
                &SourceLocation { source: name.into(), line: None },
                "",
                format!("cannot read the file: {error}"),
            );
            TreeNode::empty()
        }
    }
}

/// The files of `conf.d`, sorted by name.
pub(super) fn conf_d(file: &Path, findings: &mut Findings) -> Vec<PathBuf> {
    let folder = file.with_file_name("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let location = SourceLocation { source: folder.display().to_string().into(), line: None };
            findings.add(&location, "", format!("cannot read the directory: {error}"));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn variables() -> Vec<(String, String)> {
    let mut found: Vec<_> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    found.sort();
    found
}
