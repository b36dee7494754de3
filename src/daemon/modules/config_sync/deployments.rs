//! Versions of the configuration that are deployed by the database. Without a table `[deploy]` in the local files, the
//! database is not even asked. What it has counts for nothing until a key of that table is known to have signed it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc::Sender, oneshot};

use crate::{
    config::{Config, DeployConfig, highest_number, kept_version, put_version_aside},
    daemon::{
        lifecycle::requests::Request,
        module::ModuleContext,
        state::{
            config_in_force::{ConfigInForce, RefusedVersion},
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        deploy::SignedVersion,
        identity::{ModuleName, NodeId},
    },
    store::{StoreError, VersionHead},
};

/// Minimum time between two looks, however often the database tells.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum time between two looks.
const MAX_INTERVAL: Duration = Duration::from_secs(120);
/// What was refused is looked at again after this time.
const RETRY: Duration = Duration::from_secs(600);
/// Maximum number of versions that are read in one look.
const MAX_READ: usize = 50;
/// Maximum number of characters of a reason that a node publishes.
const MAX_WHY: usize = 2_000;
/// Maximum time for a version to be put in force.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Deployments {
    in_force: ConfigInForce,
    requests: Sender<Request>,
    wakers: Wakers,
    node: NodeId,
    looked_at: Option<Instant>,
    /// The database has told of a change since the last look.
    is_told: bool,
    /// The configuration in force at the last look.
    config: Option<Arc<Config>>,
    refused: BTreeMap<i64, Refused>,
    /// What was logged, by number.
    logged: BTreeMap<i64, String>,
    /// What this node has published; none if it may not have published anything.
    published: Option<Option<Value>>,
}

/// A version that was refused.
struct Refused {
    /// It differs from that of another version with the same number.
    mark: String,
    at: Instant,
    /// A trusted key has signed it.
    is_signed: bool,
    why: String,
}

impl Deployments {
    pub(super) fn new(in_force: ConfigInForce, requests: Sender<Request>, wakers: Wakers, node: NodeId) -> Self {
        Self {
            in_force,
            requests,
            wakers,
            node,
            looked_at: None,
            is_told: false,
            config: None,
            refused: BTreeMap::new(),
            logged: BTreeMap::new(),
            published: Some(None),
        }
    }

    /// Looks for a version that may be put in force, and reports what this node has. Files are watched also while the
    /// database does not answer.
    pub(super) async fn look(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.is_told |= context.wake_reasons().contains(WakeReason::SchedulesChanged);
        if context.wake_reasons().contains(WakeReason::Requested) && self.published != Some(None) {
            // A node that registers again has a new row.
            self.published = None;
        }
        match self.look_at_database(context).await {
            Err(error) if error.is_outage() => tracing::debug!("deployed versions: {error}"),
            result => result?,
        }
        Ok(())
    }

    /// The time until the next look.
    pub(super) fn rest(&self, context: &ModuleContext) -> Duration {
        let config = context.config();
        if config.deploy.is_none() {
            return MAX_INTERVAL;
        }
        let Some(looked_at) = self.looked_at else { return Duration::ZERO };
        let interval = match self.is_told || self.published.is_none() {
            true => MIN_INTERVAL,
            false => config.daemon.heartbeat.min(MAX_INTERVAL),
        };
        interval.saturating_sub(looked_at.elapsed())
    }

    async fn look_at_database(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let config = context.config();
        let is_new = self.config.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &config));
        self.config = Some(config.clone());
        let Some(deploy) = &config.deploy else {
            self.refused.clear();
            return self.report(context).await;
        };
        if is_new {
            put_unusable_aside(&config, deploy);
            // The local files may have had the mistake.
            self.refused.clear();
        }
        if is_new || self.rest(context).is_zero() {
            self.looked_at = Some(Instant::now());
            self.is_told = false;
            self.take(context, &config, deploy).await?;
        }
        self.report(context).await
    }

    /// Puts the highest version in force that can be.
    async fn take(
        &mut self,
        context: &ModuleContext,
        config: &Config,
        deploy: &DeployConfig,
    ) -> Result<(), StoreError> {
        let highest = highest_number(&config.daemon.state_dir);
        let next = config.deployed.as_ref().map_or(1, |version| version.manifest.number.saturating_add(1));
        let heads = context.store().config_versions_from(next.max(highest).max(deploy.min_number)).await?;
        self.refused.retain(|number, refused| {
            let is_same = |head: &VersionHead| head.number == *number && head.mark == refused.mark;
            refused.at.elapsed() < RETRY && heads.iter().any(is_same)
        });
        self.logged.retain(|number, _| heads.iter().any(|head| head.number == *number));
        let unknown: Vec<&VersionHead> =
            heads.iter().filter(|head| !self.refused.contains_key(&head.number)).take(MAX_READ).collect();
        for head in unknown {
            let row = context.store().config_version(head.number).await?;
            context.progress();
            let checked = row.ok_or_else(|| "it is not there any more".to_owned());
            let checked =
                checked.and_then(|row| deploy.version(row.number, row.manifest.as_deref(), row.signature.as_deref()));
            let taken = match checked {
                Err(why) => Err((false, why)),
                Ok(version) => match self.put_in_force(context, version).await {
                    // The daemon is busy or stops.
                    None => return Ok(()),
                    Some(answer) => answer.map_err(|why| (true, why)),
                },
            };
            match taken {
                Ok(()) => {
                    self.refused.retain(|number, _| *number > head.number);
                    return Ok(());
                }
                Err((is_signed, why)) => {
                    self.log(head.number, &why);
                    let refused = Refused { mark: head.mark.clone(), at: Instant::now(), is_signed, why };
                    self.refused.insert(head.number, refused);
                }
            }
        }
        // There may be more of them.
        self.is_told |= heads.len() > self.refused.len();
        Ok(())
    }

    /// Asks the daemon to put a version in force. None if it gives no answer.
    async fn put_in_force(&self, context: &ModuleContext, version: SignedVersion) -> Option<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Request::Deploy { version: version.into(), reply }).ok()?;
        tokio::select! {
            answer = tokio::time::timeout(ANSWER_TIMEOUT, answer) => Some(answer.ok()?.ok()?.map(drop)),
            () = context.stopping().cancelled() => None,
        }
    }

    /// Logs once why a version is refused.
    fn log(&mut self, number: i64, why: &str) {
        if self.logged.get(&number).is_none_or(|known| known != why) {
            self.logged.insert(number, why.to_owned());
            tracing::error!(
                "version {number} of the configuration in the database is not taken, and what was in force stays: {why}"
            );
        }
    }

    /// Shows and publishes what is in force and what is refused.
    async fn report(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        // One that was signed is the more interesting.
        let worst = self.refused.iter().max_by_key(|(number, refused)| (refused.is_signed, **number));
        let refused = worst.map(|(number, refused)| {
            let more = match self.refused.len() - 1 {
                0 => String::new(),
                more => format!(" ({more} more are refused: sexton config versions)"),
            };
            let why: String = refused.why.chars().take(MAX_WHY).collect();
            RefusedVersion { number: *number, why: why + &more }
        });
        let config = context.config();
        let of_version = |version: &Arc<SignedVersion>| version.manifest.number;
        let said = config
            .deploy
            .as_ref()
            .map(|_| json!({ "in_force": config.deployed.as_ref().map(of_version), "refused": refused }));
        if self.in_force.note_refused_version(refused) {
            self.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
        }
        if self.published.as_ref() != Some(&said)
            && context.store().publish_deployment(&self.node, said.as_ref()).await?
        {
            self.published = Some(said);
        }
        Ok(())
    }
}

/// Renames a kept version that no trusted key has signed.
fn put_unusable_aside(config: &Config, deploy: &DeployConfig) {
    let state_dir = &config.daemon.state_dir;
    let Err(why) = kept_version(state_dir, deploy) else { return };
    let outcome = match put_version_aside(state_dir) {
        Ok(aside) => format!("it is now {}", aside.display()),
        Err(error) => error.to_string(),
    };
    tracing::error!("the kept version of the configuration is not used: {why}; {outcome}");
}
