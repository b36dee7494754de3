//! Schedules that no running node has, or that nodes define differently. One problem gathers those of each node, so that a
//! node that is away is not a problem for each of its schedules.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use sexton_entities::{problem, states::ProblemKind};

use crate::{
    daemon::module::ModuleContext,
    domain::{problem::Sighting, schedule::definitions::DefinitionFault},
    store::StoreError,
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(240);
/// A restart, or a new configuration on its way to all nodes, is no problem.
const GRACE: TimeDelta = TimeDelta::minutes(5);
/// Maximum number of schedules that a problem names.
const MAX_NAMED: usize = 5;
/// Stands for the node of a problem that is of no node.
const NO_NODE: &str = "";

/// What it saw before.
#[derive(Default)]
pub(super) struct ScheduleDefinitions {
    looked_at: Option<Instant>,
    /// The problems that it found: one that was closed by hand stays closed.
    known: BTreeSet<String>,
}

impl ScheduleDefinitions {
    /// Opens and closes the problems of definitions. `open` are those of configurations that are open.
    pub(super) async fn look(&mut self, context: &ModuleContext, open: &[&problem::Model]) -> Result<(), StoreError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        let store = context.store();
        let faults = store.definition_faults().await?;
        let now = if faults.is_empty() { context.clock().now() } else { store.now().await? };
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (schedule, fault) in faults {
            let (name, since) = match &fault {
                DefinitionFault::NotServed { node: Some(node), last_seen_at } => {
                    (format!("schedules of {node}"), *last_seen_at)
                }
                // Nobody knows whether it is still wanted.
                DefinitionFault::NotServed { node: None, .. } => continue,
                DefinitionFault::Differs { since, .. } => ("schedules".to_owned(), *since),
            };
            if since.is_none_or(|since| now - since >= GRACE) {
                found.entry(name).or_default().push(fault.sentence(&schedule));
            }
        }
        let is_open = |name: &String| open.iter().any(|row| row.name == *name);
        let new = found.iter().filter(|(name, _)| !self.known.contains(*name) && !is_open(name));
        let sightings: Vec<Sighting> = new
            .map(|(name, sentences)| Sighting::now(ProblemKind::Configuration, name.as_str(), gathered(sentences)))
            .collect();
        store.note_problems(&sightings).await?;
        let lasting: Vec<String> = found.into_keys().collect();
        if open.iter().any(|row| row.node.is_none() && !lasting.contains(&row.name)) {
            store.close_others(ProblemKind::Configuration, Some(NO_NODE), &lasting).await?;
        }
        self.known = lasting.into_iter().collect();
        Ok(())
    }
}

/// The first few, and how many more there are.
fn gathered(sentences: &[String]) -> String {
    let first = sentences.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
    match sentences.len().saturating_sub(MAX_NAMED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
