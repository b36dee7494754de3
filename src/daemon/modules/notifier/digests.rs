//! Digests: at their instants, what a channel has gathered becomes one notice.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sexton_entities::{
    problem,
    states::{NoticeAbout, ProblemState},
};

use super::planner::new;
use crate::{
    config::Config,
    daemon::module::ModuleContext,
    domain::notice::{
        Digest, Facts, ListedProblem,
        digest::{ProblemProgress, progress},
    },
    store::{ProblemFilter, Store, StoreError},
};

/// Maximum number of problems that a digest names.
const MAX_LISTED: usize = 200;
/// Maximum number of problems that are looked at.
const LIMIT: u64 = 1_000;

/// The last instant of each channel for which nothing is left to do.
#[derive(Default)]
pub(super) struct Digests(HashMap<String, DateTime<Utc>>);

impl Digests {
    /// Writes the digests that are due.
    pub(super) async fn write_due(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let (store, config) = (context.store(), context.config());
        let gathering: Vec<(&String, Digest)> =
            config.channels.iter().filter_map(|(name, channel)| Some((name, channel.digest?))).collect();
        if gathering.is_empty() {
            return Ok(());
        }
        let now = store.now().await?;
        for (name, digest) in gathering {
            let written = self.write(store, &config, name, digest, now).await;
            store.isolated().part(format_args!("the digest of channel {name}"), written)?;
        }
        Ok(())
    }

    /// Writes the digest of a channel, if it is due and has something to say. The key has its instant, so that several nodes
    /// write it once.
    async fn write(
        &mut self,
        store: &Store,
        config: &Config,
        channel: &str,
        digest: Digest,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let Some(at) = digest.last_at(now, config.daemon.zone()).filter(|at| self.0.get(channel) != Some(at)) else {
            return Ok(());
        };
        let key = format!("digest.{}.{channel}.{}", at.timestamp(), store.database_id().await?);
        if let Some(held) = store.gathered_notices(channel, &key, at).await? {
            let mut gathered: BTreeMap<i64, Vec<NoticeAbout>> = BTreeMap::new();
            for (about, problem) in &held.named {
                gathered.entry(problem.unwrap_or_default()).or_default().push(*about);
            }
            let listed = listed(store, config, channel, at, &gathered).await?;
            // What is neither new nor over yet stays for the next digest.
            if !listed.is_empty() {
                let more_count = listed.len().saturating_sub(MAX_LISTED);
                let listed = listed.into_iter().take(MAX_LISTED).collect();
                let facts = Facts { name: channel.to_owned(), listed, more_count, ..Facts::default() };
                if !store.merge_held(&held, &new(config, channel, key, NoticeAbout::Digest, &facts)).await? {
                    // Another node was first, or the notices have changed meanwhile: the next round looks again.
                    return Ok(());
                }
            }
        }
        self.0.insert(channel.to_owned(), at);
        Ok(())
    }
}

/// The problems that a digest lists: what began, then what lasts, then what is over.
async fn listed(
    store: &Store,
    config: &Config,
    channel: &str,
    at: DateTime<Utc>,
    gathered: &BTreeMap<i64, Vec<NoticeAbout>>,
) -> Result<Vec<ListedProblem>, StoreError> {
    let open = store.problems(&ProblemFilter { limit: LIMIT, ..ProblemFilter::default() }).await?;
    let mut listed = Vec::new();
    for (id, about) in gathered {
        let known = match open.iter().find(|problem| problem.id == *id) {
            Some(known) => Some(known.clone()),
            None => store.isolated().part(format_args!("problem {id}"), store.problem(*id).await)?,
        };
        let with_progress = known.and_then(|known| Some(ListedProblem::new(progress(&known, about)?, &known)));
        listed.extend(with_progress);
    }
    let lasts = |problem: &&problem::Model| {
        let rule = config.notices_of(problem.task.as_deref(), problem.queue.as_deref());
        problem.state == ProblemState::Open
            // What was told of after the instant is new in the next digest.
            && (problem.notices > 1 || problem.noticed_at.is_some_and(|noticed| noticed < at))
            && !gathered.contains_key(&problem.id)
            && rule.channels.iter().flatten().any(|name| name == channel)
            && rule.concerns(problem)
    };
    listed.extend(open.iter().filter(lasts).map(|problem| ListedProblem::new(ProblemProgress::Lasting, problem)));
    listed.sort_by_key(|problem| (problem.progress, problem.problem));
    Ok(listed)
}
