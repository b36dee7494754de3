//! `sexton config deploy` and `rollback`: signs a version of the configuration, and puts it into the database.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use chrono::SubsecRound as _;
use clap::Args;
use serde_json::json;

use super::{
    config_diff::diff,
    config_mistakes::refuse,
    config_versions::{find, keys, newest},
    output::{Printer, print_raw},
    session::{OpenSession, Session, with_advice},
};
use crate::{
    clock::machine_time,
    config::DeployConfig,
    domain::{
        deploy::{DeployedFile, Manifest, NAMESPACE, SignedVersion, check_files, sign},
        text::plural::counted,
    },
    store::Wakeup,
};

#[derive(Args)]
pub(super) struct DeployArgs {
    /// The files of the version: TOML. With --signature the text that --print wrote
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The signature of the text, which `ssh-keygen -Y sign -n sexton-config` has made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "print", "note", "number"])]
    signature: Option<PathBuf>,
    #[command(flatten)]
    how: HowToDeploy,
}

#[derive(Args)]
pub(super) struct RollbackArgs {
    /// Number of the version whose files are deployed again
    version: i64,
    #[command(flatten)]
    how: HowToDeploy,
}

#[derive(Args)]
struct HowToDeploy {
    /// What it is about, for `sexton config versions`
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Private key of OpenSSH without a passphrase that signs it. For other keys: --print
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    key: Option<PathBuf>,
    /// Write the text that is to be signed, and deploy nothing
    #[arg(long)]
    print: bool,
    /// Number of the version [default: the next one]
    #[arg(long, value_name = "NUMBER")]
    number: Option<i64>,
    /// Deploy it although it has mistakes together with the files of this machine. Nodes check it with their own
    #[arg(long)]
    force: bool,
    /// Check it and show what it changes, and deploy nothing
    #[arg(long, conflicts_with = "print")]
    dry_run: bool,
}

pub(super) async fn deploy(session: &Session, output: Printer, args: &DeployArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let deploy = keys(session, &open)?;
    if let Some(signature) = &args.signature {
        let [text] = args.files.as_slice() else {
            bail!("with --signature, FILE is the one text that `--print` wrote");
        };
        let version = deploy.keys.verify(&deploy.cluster, &read(text)?, &read(signature)?);
        let version = version.map_err(|why| anyhow::anyhow!("{}: nodes would refuse it: {why}", text.display()))?;
        return match checked(session, output, &args.how, &version.manifest)? {
            Some(code) => Ok(code),
            None => put(&open, output, &args.how, version).await,
        };
    }
    let mut files = Vec::new();
    for path in &args.files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        files.push(DeployedFile { name: name.unwrap_or_default(), text: read(path)? });
    }
    check_files(&files).map_err(anyhow::Error::msg)?;
    version_of(session, &open, output, &args.how, files, args.how.note.clone()).await
}

pub(super) async fn rollback(session: &Session, output: Printer, args: &RollbackArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let deploy = keys(session, &open)?;
    let earlier = find(&open, deploy, args.version).await?;
    let note = args.how.note.clone().unwrap_or_else(|| format!("back to version {}", args.version));
    version_of(session, &open, output, &args.how, earlier.manifest.files, Some(note)).await
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Makes a version of these files, signs it and deploys it, as far as it is wanted.
async fn version_of(
    session: &Session,
    open: &OpenSession,
    output: Printer,
    how: &HowToDeploy,
    files: Vec<DeployedFile>,
    note: Option<String>,
) -> anyhow::Result<u8> {
    let deploy = keys(session, open)?;
    let (newest, taken) = newest(open, deploy).await?;
    let number = match how.number {
        Some(number) => number,
        None => {
            let known = [newest.as_ref(), open.config.deployed.as_deref()];
            let highest = known.into_iter().flatten().map(|version| version.manifest.number).max().unwrap_or(0);
            // What nobody has signed may have a number all the same.
            (highest.max(deploy.min_number - 1) + 1..).find(|number| !taken.contains(number)).unwrap_or(i64::MAX)
        }
    };
    let manifest = Manifest::new(&deploy.cluster, number, machine_time().trunc_subsecs(0), note, files);
    let text = manifest.to_text().map_err(anyhow::Error::msg)?;
    if let Some(code) = checked(session, output, how, &manifest)? {
        return Ok(code);
    }
    if how.print {
        // Exactly this text is signed.
        print_raw(text.as_bytes());
        return Ok(0);
    }
    if how.dry_run {
        let text = diff(newest.as_ref().map(|newest| &newest.manifest), &manifest);
        let said = format!("version {number} would be deployed: {}\n{text}", words(&manifest));
        output
            .report(said.trim_end(), &json!({ "number": number, "signer": null, "deployed": false, "diff": text }))?;
        return Ok(0);
    }
    let version = signed(deploy, how, &text)?;
    put(open, output, how, version).await
}

/// Checks a version with the files of this machine. Returns the exit code if it is refused.
fn checked(session: &Session, output: Printer, how: &HowToDeploy, manifest: &Manifest) -> anyhow::Result<Option<u8>> {
    if how.force {
        return Ok(None);
    }
    let (_, mistakes) = session.config_with(manifest.clone());
    if mistakes.is_empty() { Ok(None) } else { refuse(session, output, &mistakes, &[]).map(Some) }
}

/// Signs the text with the key that was given.
fn signed(deploy: &DeployConfig, how: &HowToDeploy, text: &str) -> anyhow::Result<SignedVersion> {
    let others = format!(
        "for a key with a passphrase, in an agent or in a hardware token, run the command with --print > version.json, \
         then `ssh-keygen -Y sign -n {NAMESPACE} -f KEY version.json`, then `sexton config deploy version.json \
         --signature version.json.sig`"
    );
    let Some(path) = &how.key else { bail!("name the key that signs it with --key FILE; {others}") };
    let key = read(path)?;
    let signature = sign(&key, text).map_err(|why| anyhow::anyhow!("{}: {why}; {others}", path.display()))?;
    let version = deploy.keys.verify(&deploy.cluster, text, &signature);
    version.map_err(|why| {
        anyhow::anyhow!("{}: nodes with the [deploy] of this machine would refuse it: {why}", path.display())
    })
}

/// Puts a version into the database, and tells the nodes.
async fn put(open: &OpenSession, output: Printer, how: &HowToDeploy, version: SignedVersion) -> anyhow::Result<u8> {
    let number = version.manifest.number;
    let words = words(&version.manifest);
    if how.dry_run {
        output.report(
            &format!("version {number} would be deployed: {words}"),
            &json!({ "number": number, "signer": version.signer, "deployed": false, "diff": null }),
        )?;
        return Ok(0);
    }
    if !open.store.deploy_version(&version).await.map_err(with_advice)? {
        let other = open.store.config_version(number).await.map_err(with_advice)?.unwrap_or_default();
        let by = other.created_by.map(|by| format!(" by {by}")).unwrap_or_default();
        bail!(
            "version {number} was deployed{by} meanwhile, and nothing of yours is: look at it with \
             `sexton config diff`, and deploy again"
        );
    }
    open.client.wake_up_now(Wakeup::Schedules).await.map_err(with_advice)?;
    let said = format!(
        "version {number} is deployed: {words}, signed by {}. Nodes check it before it is in force: sexton config versions",
        version.signer
    );
    output.report(&said, &json!({ "number": number, "signer": version.signer, "deployed": true, "diff": null }))?;
    Ok(0)
}

fn words(manifest: &Manifest) -> String {
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    format!("{} ({})", counted(names.len(), "file"), names.join(", "))
}
