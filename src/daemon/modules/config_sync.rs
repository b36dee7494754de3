//! `config_sync`: notices that configuration files have changed, and asks the daemon to reload. Puts schedules of the
//! database in force, and versions of the configuration that were deployed by it.
//!
//! Notifications of the operating system only wake it. It decides by the files' sizes and times, so that it works on
//! file systems without notifications, too.
//!
//! Settings: `daemon.watch_config` (true), `daemon.reload_debounce` (1s): how long the files must stay unchanged before the
//! reload. Schedules of the database are read when the database tells, and with each heartbeat where it does not; deployed versions as well, with a table `[deploy]` only. Logs a
//! warning if a directory cannot be watched, and schedules of the database that are not in force.

mod database_schedules;
mod deployments;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::Sender;

use self::{database_schedules::DatabaseSchedules, deployments::Deployments};
use crate::{
    config::FileStamp,
    daemon::{
        components::ConfigFiles,
        lifecycle::requests::Request,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            config_in_force::ConfigInForce,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::identity::NodeId,
};

/// How often it compares the files without a notification.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct ConfigSync {
    files: Arc<ConfigFiles>,
    requests: Sender<Request>,
    watcher: Option<RecommendedWatcher>,
    /// The present stamp of changed files, and since when they have it.
    changing: Option<(FileStamp, Instant)>,
    /// When it last looked at the files.
    looked_at: Option<Instant>,
    schedules: DatabaseSchedules,
    deployments: Deployments,
}

#[async_trait(?Send)]
impl DaemonModule for ConfigSync {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(file) = self.files.file.as_deref().filter(|_| self.watcher.is_none()) else { return Ok(()) };
        let waker = context.waker().clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                waker.wake(WakeReason::Configured);
            }
        })?;
        // The directories, not the files: editors write a new file and rename it over the old one.
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for directory in [directory.to_owned(), directory.join("conf.d")] {
            if directory.is_dir()
                && let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive)
            {
                tracing::warn!("cannot watch {}, checking it every minute: {error}", directory.display());
            }
        }
        self.watcher = Some(watcher);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        // The database may tell very often.
        let is_due = self.looked_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if is_due || self.changing.is_some() || !context.wake_reasons().is_only(WakeReason::SchedulesChanged) {
            self.looked_at = Some(Instant::now());
            self.look_at_files(context);
        }
        self.deployments.look(context).await?;
        self.schedules.look(context).await
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let of_files = match &self.changing {
            Some((_, since)) => context.config().daemon.reload_debounce.saturating_sub(since.elapsed()),
            None => INTERVAL,
        };
        Ok(Next::After(of_files.min(self.schedules.rest(context)).min(self.deployments.rest(context))))
    }
}

impl ConfigSync {
    pub(super) fn new(
        files: Arc<ConfigFiles>,
        requests: Sender<Request>,
        in_force: ConfigInForce,
        wakers: Wakers,
        node: NodeId,
    ) -> Self {
        let deployments = Deployments::new(in_force.clone(), requests.clone(), wakers.clone(), node);
        let schedules = DatabaseSchedules::new(in_force, wakers);
        Self { files, requests, watcher: None, changing: None, looked_at: None, schedules, deployments }
    }

    fn look_at_files(&mut self, context: &ModuleContext) {
        let Some(file) = self.files.file.as_deref() else { return };
        let config = context.config();
        let now = FileStamp::of(file, config.named_files());
        // It outlives this incarnation: the next one has to know what changed in between.
        let mut seen = self.files.seen.lock();
        if seen.as_ref().is_none_or(|seen| *seen == now) || !config.daemon.watch_config {
            *seen = Some(now);
            self.changing = None;
            return;
        }
        match self.changing.take() {
            Some((stamp, since)) if stamp == now && since.elapsed() >= config.daemon.reload_debounce => {
                // If the daemon takes no request now, the next round asks again.
                match self.requests.try_send(Request::FilesChanged) {
                    Ok(()) => *seen = Some(stamp),
                    Err(_) => self.changing = Some((stamp, Instant::now())),
                }
            }
            Some((stamp, since)) if stamp == now => self.changing = Some((stamp, since)),
            _ => self.changing = Some((now, Instant::now())),
        }
    }
}
