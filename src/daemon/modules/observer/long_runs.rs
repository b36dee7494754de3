//! Runs that take longer than the `warn_after` of their task, while they still run.

use std::{collections::HashSet, time::Duration};

use sexton_entities::{problem, states::ProblemKind};

use crate::{
    config::Config,
    daemon::{
        inflight::{InFlight, Running},
        module::ModuleContext,
    },
    domain::{
        problem::Sighting,
        schedule::reason::shown,
        task::{ClaimedTask, claim::Claim},
        text::duration,
    },
    store::StoreError,
};

/// What it saw before.
pub(super) struct LongRuns {
    /// The name of the node.
    node: String,
    in_flight: InFlight,
    /// The runs that were noted.
    noted: HashSet<Claim>,
}

impl LongRuns {
    pub(super) fn new(node: String, in_flight: InFlight) -> Self {
        Self { node, in_flight, noted: HashSet::new() }
    }

    /// Whether a run takes long that was not noted.
    pub(super) fn has_new(&self, config: &Config) -> bool {
        self.long(config).iter().any(|run| !self.noted.contains(&run.task.claim))
    }

    /// The runs that take long.
    fn long(&self, config: &Config) -> Vec<Running> {
        let mut running = self.in_flight.running();
        running.retain(|run| limit(config, &run.task.name).is_some_and(|limit| run.since >= limit));
        running
    }

    /// Opens and closes the problems of long runs. `open` are those that are open.
    pub(super) async fn look(&mut self, context: &ModuleContext, open: &[&problem::Model]) -> Result<(), StoreError> {
        let (store, config) = (context.store(), context.config());
        let limit = |name: &str| limit(&config, name);
        let running = self.long(&config);
        self.noted.retain(|claim| running.iter().any(|run| run.task.claim == *claim));
        // An earlier incarnation, or an earlier daemon, may have noted the run.
        let is_known = |task: &ClaimedTask| {
            let is_it =
                |row: &&&problem::Model| (row.task_id, row.fence) == (Some(task.claim.task_id), Some(task.claim.fence));
            open.iter().any(|row| is_it(&row))
        };
        for Running { task, .. } in &running {
            // A run that still goes on when the problem was closed for a later one is noted again.
            if self.noted.contains(&task.claim) && open.iter().any(|row| row.name == task.name) {
                continue;
            }
            if !is_known(task) {
                let sighting = self.sighting(task, limit(&task.name).unwrap_or_default());
                let noted = store.note_problems(std::slice::from_ref(&sighting)).await;
                store.isolated().part(format_args!("that task {} takes long", task.claim.task_id), noted)?;
            }
            self.noted.insert(task.claim);
        }
        for row in open {
            // Only a node that has the task knows its limit.
            if config.tasks.contains_key(&row.name) {
                let ended = store.end_long_runs(row.id, limit(&row.name)).await;
                store.isolated().part(format_args!("the end of problem {}", row.id), ended)?;
            }
        }
        Ok(())
    }

    fn sighting(&self, task: &ClaimedTask, limit: Duration) -> Sighting {
        let what = format!(
            "task {} has been running since {}, longer than {}",
            task.claim.task_id,
            shown(task.started_at),
            duration::text(limit)
        );
        Sighting {
            task: Some(task.name.clone()),
            schedule: task.schedule.clone(),
            queue: Some(task.queue.to_string()),
            node: Some(self.node.clone()),
            task_id: Some(task.claim.task_id),
            fence: Some(task.claim.fence),
            ..Sighting::now(ProblemKind::LongRun, task.name.clone(), what)
        }
    }
}

fn limit(config: &Config, task: &str) -> Option<Duration> {
    config.tasks.get(task)?.warn_after
}
