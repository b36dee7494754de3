//! `paths`: watches the folders of triggers with `on_path`, and sends an event for each file.
//!
//! The kernel says where something may have changed; what is there is read from the file system. The key of an event is made
//! of the file's state, so that a file that is found again, after a restart for example, is no second event. Events are sent
//! again from time to time while their files are there, which only keeps them.
//!
//! Settings: `on_path`, `path_event`, `settle` and `shared` of triggers. A folder that cannot be watched is reported in the log,
//! by `status` and by `trigger show`, and keeps no other back.

mod folder_look;
mod notifications;
mod watched_folder;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use self::{
    notifications::FolderNotifications,
    watched_folder::{POLL_INTERVAL, WatchedFolder},
};
use crate::{
    config::Config,
    daemon::{
        fault_point::fault_point,
        module::{DaemonModule, ModuleContext, Next},
        state::milestones::Milestones,
    },
    domain::{
        daemon::summary::SummaryTable,
        event::{Trigger, path_watch::PathWatch},
    },
    store::{StoreError, Wakeup},
};

/// Minimum time between two looks, however often the kernel tells.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum time between two rounds.
const MAX_REST: Duration = Duration::from_secs(60);
/// How often the events of files that are there are sent again, unless they are kept for a short time only.
const RENEW_INTERVAL: Duration = Duration::from_secs(3_600);
/// `run --once` waits no longer than this for files, beside twice the longest time of `settle`.
const ONCE_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct PathWatcher {
    node: String,
    milestones: Arc<Milestones>,
    config: Option<Arc<Config>>,
    notifications: Option<FolderNotifications>,
    folders: Vec<WatchedFolder>,
    /// The longest time of `settle`.
    settle: Duration,
    began: Instant,
    looked: Option<Instant>,
    renewed: Instant,
    /// What the log and `status` say, by folder.
    reported: BTreeMap<PathBuf, String>,
    /// What is entered for each trigger.
    entered: BTreeMap<String, Option<String>>,
}

#[async_trait(?Send)]
impl DaemonModule for PathWatcher {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &context.config())) {
            self.load(context);
        }
        self.look(context).await;
        self.report(context);
        self.send(context).await?;
        self.renew(context).await?;
        self.enter(context).await?;
        let is_over = self.began.elapsed() >= self.settle * 2 + ONCE_LIMIT;
        if is_over || self.folders.iter().all(WatchedFolder::is_settled) {
            self.milestones.note_files_seen();
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        let now = Instant::now();
        let rest = self.folders.iter().map(|folder| folder.rest(now)).min().unwrap_or(MAX_REST);
        // A trigger that is not registered yet.
        let is_entered = self.entered.len() == self.triggers().len();
        Ok(Next::After(rest.min(if is_entered { MAX_REST } else { POLL_INTERVAL })))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["Folder", "Files", "Events", "Seen", "Trouble"];
        let mut table = SummaryTable::new("Folders", &columns, "No trigger is for files.");
        for folder in &self.folders {
            table.row(folder.row());
        }
        vec![table]
    }
}

impl PathWatcher {
    pub(super) fn new(node: String, milestones: Arc<Milestones>) -> Self {
        Self {
            node,
            milestones,
            config: None,
            notifications: None,
            folders: Vec::new(),
            settle: Duration::ZERO,
            began: Instant::now(),
            looked: None,
            renewed: Instant::now(),
            reported: BTreeMap::new(),
            entered: BTreeMap::new(),
        }
    }

    /// Takes the triggers of the configuration. What is known of the files is read again; their events have the same keys.
    fn load(&mut self, context: &ModuleContext) {
        let config = context.config();
        let watching = |config: &Config| -> Vec<(Arc<Trigger>, PathWatch)> {
            let triggers = config.triggers.values();
            triggers.filter_map(|trigger| Some((trigger.clone(), trigger.watch.clone()?))).collect()
        };
        let triggers = watching(&config);
        let is_same = self.config.as_ref().is_some_and(|known| watching(known) == triggers);
        self.config = Some(config);
        if is_same {
            return;
        }
        let paths = triggers.iter().flat_map(|(_, watch)| &watch.paths);
        let folders: BTreeSet<PathBuf> = paths.map(|pattern| pattern.folder().to_owned()).collect();
        self.settle = triggers.iter().map(|(_, watch)| watch.settle).max().unwrap_or_default();
        self.folders = folders.into_iter().map(|folder| WatchedFolder::new(folder, &triggers)).collect();
        self.entered.clear();
        // Fresh ones: the kernel forgets the folders of before.
        self.notifications = (!self.folders.is_empty()).then(|| FolderNotifications::new(context.waker().clone()));
    }

    async fn look(&mut self, context: &ModuleContext) {
        let Some(notifications) = &mut self.notifications else { return };
        if let Some(rest) = self.looked.and_then(|at| MIN_INTERVAL.checked_sub(at.elapsed())) {
            tokio::time::sleep(rest).await;
        }
        let now = Instant::now();
        self.looked = Some(now);
        for folder in &mut self.folders {
            folder.begin_look(notifications, now);
        }
        for folder in &mut self.folders {
            folder.end_look(context, notifications, now).await;
        }
    }

    async fn send(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let Some(now) = self.looked else { return Ok(()) };
        for folder in &mut self.folders {
            let due = folder.due(&self.node, now);
            if due.is_empty() {
                continue;
            }
            fault_point("files due");
            let events: Vec<_> = due.iter().map(|file| file.event.clone()).collect();
            let refused = context.store().send_file_events(&events, || context.progress()).await?;
            fault_point("files sent");
            for (key, why) in refused {
                let payload = events.iter().find(|event| event.key.as_deref() == Some(&key));
                let file = payload.and_then(|event| event.payload.as_ref()).map(ToString::to_string);
                tracing::error!("no event can be sent of the file {}: {why}", file.unwrap_or(key));
            }
            folder.note_sent(due);
            context.client().wake_up(Wakeup::Events);
        }
        Ok(())
    }

    /// Sends the events of files that are there again: that keeps them.
    async fn renew(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let interval = RENEW_INTERVAL.min(context.config().daemon.keep_events / 4);
        if self.renewed.elapsed() < interval {
            return Ok(());
        }
        for folder in &self.folders {
            context.store().send_file_events(&folder.known(&self.node), || context.progress()).await?;
        }
        self.renewed = Instant::now();
        Ok(())
    }

    /// Reports the folders that cannot be watched.
    fn report(&mut self, context: &ModuleContext) {
        let isolated = context.store().isolated();
        let troubles =
            self.folders.iter().filter_map(|folder| Some((folder.path().to_owned(), folder.trouble.clone()?)));
        let troubles: BTreeMap<PathBuf, String> = troubles.collect();
        let what = |folder: &PathBuf| format!("the files in {} of triggers", folder.display());
        for (folder, why) in &self.reported {
            if troubles.get(folder) != Some(why) {
                isolated.forget(what(folder));
            }
        }
        for (folder, why) in &troubles {
            isolated.note(what(folder), why);
        }
        self.reported = troubles;
    }

    fn triggers(&self) -> BTreeSet<&str> {
        self.folders.iter().flat_map(WatchedFolder::triggers).collect()
    }

    /// Enters the trouble of each trigger where other nodes and `trigger show` find it.
    async fn enter(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let mut entered = Vec::new();
        for trigger in self.triggers() {
            let of_trigger = self.folders.iter().filter(|folder| folder.triggers().any(|name| name == trigger));
            let troubles = of_trigger
                .filter_map(|folder| folder.trouble.as_ref().map(|why| format!("{}: {why}", folder.path().display())));
            let why = troubles.reduce(|all, next| format!("{all}; {next}"));
            if self.entered.get(trigger) != Some(&why)
                && context.store().set_trigger_trouble(trigger, &self.node, why.as_deref()).await?
            {
                entered.push((trigger.to_owned(), why));
            }
        }
        self.entered.extend(entered);
        Ok(())
    }
}
