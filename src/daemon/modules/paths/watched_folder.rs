//! One folder, with what is known of its files for each trigger.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sexton_client::domain::new_event::NewEvent;
use tokio::sync::oneshot::error::TryRecvError;

use super::{
    folder_look::{self, FilesWanted, FolderFacts, FolderIdentity, FolderLooking},
    notifications::FolderNotifications,
};
use crate::{
    daemon::module::ModuleContext,
    domain::{
        event::{
            Trigger,
            file_state::{FileState, file_event},
            path_watch::{PathPattern, PathWatch},
            watchlist::Watchlist,
        },
        text::{duration, plural::counted},
    },
};

/// How often all files are looked at, although the kernel tells of changes.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often they are looked at where it does not, and how often the folder is looked for.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// For how long a look keeps the others waiting.
const LIMIT: Duration = Duration::from_secs(5);
/// What is wrong with a folder whose look does not end.
const HANGS: &str = "its file system does not answer";
/// How often it says that it has not hung.
const PROGRESS: Duration = Duration::from_secs(1);

/// One folder of one or more triggers.
pub(super) struct WatchedFolder {
    path: PathBuf,
    patterns: Arc<[PathPattern]>,
    lists: Vec<TriggerFiles>,
    /// The folder that the kernel tells of, or that is looked at from time to time.
    identity: Option<FolderIdentity>,
    /// Whether the kernel tells of changes.
    is_told: bool,
    /// Why the kernel does not tell, although it could.
    untold: Option<String>,
    /// Why nothing, or not everything, is seen.
    pub(super) trouble: Option<String>,
    looking: Option<FolderLooking>,
    /// When all its files were looked at last, or it could not be looked at.
    looked: Option<Instant>,
    /// The look that is over in this round, if one is.
    is_fresh: bool,
    is_lost: bool,
    pub(super) sent: u64,
}

/// The files of one trigger.
struct TriggerFiles {
    trigger: Arc<Trigger>,
    watch: PathWatch,
    /// Those of its patterns that are of this folder.
    patterns: Vec<PathPattern>,
    files: Watchlist,
}

/// An event to be sent: which list and file it is of.
pub(super) struct DueFile {
    list: usize,
    name: OsString,
    state: FileState,
    pub(super) event: NewEvent,
}

impl WatchedFolder {
    pub(super) fn new(path: PathBuf, triggers: &[(Arc<Trigger>, PathWatch)]) -> Self {
        let mut lists = Vec::new();
        for (trigger, watch) in triggers {
            let patterns: Vec<_> = watch.paths.iter().filter(|pattern| pattern.folder() == path).cloned().collect();
            if !patterns.is_empty() {
                let files = Watchlist::new(watch.moment, watch.settle);
                lists.push(TriggerFiles { trigger: trigger.clone(), watch: watch.clone(), patterns, files });
            }
        }
        Self {
            patterns: lists.iter().flat_map(|list| list.patterns.clone()).collect(),
            path,
            lists,
            identity: None,
            is_told: false,
            untold: None,
            trouble: None,
            looking: None,
            looked: None,
            is_fresh: false,
            is_lost: false,
            sent: 0,
        }
    }

    /// Begins to look at what may have changed.
    pub(super) fn begin_look(&mut self, notifications: &FolderNotifications, now: Instant) {
        self.is_fresh = false;
        let changes = notifications.take(&self.path);
        self.is_lost |= changes.is_lost;
        if self.looking.is_some() || changes.is_whole || self.is_lost {
            // A look that hangs does not know of what comes now.
            self.looked = None;
        }
        if self.looking.is_some() {
            return;
        }
        if self.looked.is_none_or(|at| now >= at + self.interval()) {
            return self.look(FilesWanted::All, now);
        }
        if self.identity.is_none() {
            // It could not be looked at.
            return;
        }
        let mut names = changes.names;
        names.retain(|name| self.patterns.iter().any(|pattern| pattern.matches(name)));
        // The kernel may be late.
        names.extend(self.lists.iter().flat_map(|list| list.files.due(now)).map(|(name, _)| name));
        if !names.is_empty() {
            self.look(FilesWanted::Named(names.into_iter().collect()), now);
        }
    }

    fn look(&mut self, wanted: FilesWanted, now: Instant) {
        if matches!(wanted, FilesWanted::All) {
            self.looked = Some(now);
        }
        match folder_look::begin(self.path.clone(), self.patterns.clone(), wanted) {
            Ok(looking) => self.looking = Some(looking),
            Err(error) => self.trouble = Some(format!("no thread can be started: {error}")),
        }
    }

    /// Takes in what a look has found. Where the folder is another one than before, it is watched and looked at again.
    pub(super) async fn end_look(
        &mut self,
        context: &ModuleContext,
        notifications: &mut FolderNotifications,
        now: Instant,
    ) {
        for _ in 0..2 {
            let Some(found) = self.answer(context).await else { return };
            let facts = match found {
                Ok(facts) => facts,
                Err(error) => return self.fail(&error, notifications, now),
            };
            if self.identity == Some(facts.identity) && !self.is_lost {
                return self.take_in(facts, now);
            }
            self.identity = Some(facts.identity);
            self.is_lost = false;
            self.watch(facts.is_remote, notifications);
            // What came before the kernel began to tell is found now.
            self.look(FilesWanted::All, now);
        }
        // It is replaced again and again: the next round looks again.
        self.looked = None;
    }

    fn watch(&mut self, is_remote: bool, notifications: &mut FolderNotifications) {
        let watched = if is_remote { None } else { Some(notifications.watch(&self.path)) };
        self.is_told = matches!(watched, Some(Ok(())));
        self.untold = watched
            .and_then(Result::err)
            .map(|why| format!("it is only looked at every {}: {why}", duration::text(POLL_INTERVAL)));
    }

    /// The answer of the look that is under way, if there is one and it has answered.
    async fn answer(&mut self, context: &ModuleContext) -> Option<io::Result<FolderFacts>> {
        let looking = self.looking.as_mut()?;
        let mut waited = match self.trouble.as_deref() {
            // It has kept the others waiting before.
            Some(HANGS) => LIMIT,
            _ => Duration::ZERO,
        };
        let failed = || io::Error::other("the look has failed by a mistake in this program");
        let found = loop {
            match looking.try_recv() {
                Ok(found) => break found,
                Err(TryRecvError::Closed) => break Err(failed()),
                Err(TryRecvError::Empty) if waited >= LIMIT || context.stopping().is_cancelled() => {
                    self.trouble = Some(HANGS.to_owned());
                    return None;
                }
                Err(TryRecvError::Empty) => {}
            }
            context.progress();
            waited += PROGRESS;
            match tokio::time::timeout(PROGRESS, &mut *looking).await {
                Ok(found) => break found.unwrap_or_else(|_| Err(failed())),
                Err(_) => continue,
            }
        };
        self.looking = None;
        if self.trouble.as_deref() == Some(HANGS) {
            self.trouble = None;
        }
        Some(found)
    }

    /// It could not be looked at. It is looked for from time to time.
    fn fail(&mut self, error: &io::Error, notifications: &mut FolderNotifications, now: Instant) {
        notifications.unwatch(&self.path);
        (self.identity, self.is_told, self.looked) = (None, false, Some(now));
        self.is_lost = false;
        self.trouble = Some(match error.kind() {
            io::ErrorKind::NotFound => "there is no such folder; it is looked for every 5s".to_owned(),
            io::ErrorKind::NotADirectory => "this is not a folder".to_owned(),
            _ => error.to_string(),
        });
        if error.kind() == io::ErrorKind::NotFound {
            self.lists.iter_mut().for_each(|list| list.files.keep_only(|_| false));
        }
    }

    fn take_in(&mut self, facts: FolderFacts, now: Instant) {
        self.is_fresh = true;
        if facts.is_whole {
            let failed = facts.failed.map(|why| format!("a file cannot be looked at: {why}"));
            self.trouble = failed.or_else(|| self.untold.clone());
        }
        for list in &mut self.lists {
            let of_list =
                || facts.files.iter().filter(|(name, _)| list.patterns.iter().any(|wanted| wanted.matches(name)));
            if facts.is_whole {
                let names: std::collections::BTreeSet<_> = of_list().map(|(name, _)| name.as_os_str()).collect();
                list.files.keep_only(|name| names.contains(name));
            }
            for (name, state) in of_list() {
                list.files.see(name, *state, now);
            }
        }
    }

    /// The events to be sent now, of files that were just looked at.
    pub(super) fn due(&self, node: &str, now: Instant) -> Vec<DueFile> {
        if !self.is_fresh {
            return Vec::new();
        }
        let of_list = |(number, list): (usize, &TriggerFiles)| {
            let files = list.files.due(now).into_iter();
            files.map(|(name, state)| self.event(number, node, name, state)).collect::<Vec<_>>()
        };
        self.lists.iter().enumerate().flat_map(of_list).collect()
    }

    /// The events of files that were sent before, so that they are kept for as long as the files.
    pub(super) fn known(&self, node: &str) -> Vec<NewEvent> {
        let of_list = |(number, list): (usize, &TriggerFiles)| {
            let files = list.files.all_sent();
            files.map(|(name, state)| self.event(number, node, name.to_owned(), *state).event).collect::<Vec<_>>()
        };
        self.lists.iter().enumerate().flat_map(of_list).collect()
    }

    fn event(&self, list: usize, node: &str, name: OsString, state: FileState) -> DueFile {
        let TriggerFiles { trigger, watch, .. } = &self.lists[list];
        let event = file_event(&trigger.name, watch, node, &self.path.join(&name), &state);
        DueFile { list, name, state, event }
    }

    /// These events were sent.
    pub(super) fn note_sent(&mut self, sent: Vec<DueFile>) {
        self.sent += sent.len() as u64;
        for file in sent {
            self.lists[file.list].files.sent(&file.name, file.state);
        }
    }

    /// The time until it is to be looked at, if the kernel reports nothing before.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        if self.looking.is_some() {
            return PROGRESS;
        }
        let whole = self.looked.map_or(now, |at| at + self.interval());
        let next = self.lists.iter().filter_map(|list| list.files.next_due()).min();
        let next = next.filter(|_| self.identity.is_some());
        next.map_or(whole, |next| next.min(whole)).saturating_duration_since(now)
    }

    /// Whether the files that were there have made their events.
    pub(super) fn is_settled(&self) -> bool {
        let has_looked = self.trouble.is_some() || self.looked.is_some() && self.looking.is_none();
        has_looked && self.lists.iter().all(|list| list.files.next_due().is_none())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its triggers.
    pub(super) fn triggers(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(|list| list.trigger.name.as_str())
    }

    /// Its row in the summary.
    pub(super) fn row(&self) -> [String; 5] {
        let files: usize = self.lists.iter().map(|list| list.files.len()).sum();
        let told = if self.is_told { "at once".to_owned() } else { format!("every {}", duration::text(POLL_INTERVAL)) };
        let trouble = self.trouble.clone().unwrap_or_else(|| "-".to_owned());
        [self.path.display().to_string(), counted(files, "file"), self.sent.to_string(), told, trouble]
    }

    fn interval(&self) -> Duration {
        if self.is_told && self.trouble.is_none() { INTERVAL } else { POLL_INTERVAL }
    }
}
