//! One call of the command line: the configuration, and the database if it is needed.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use chrono_tz::Tz;
use clap::Args;
use sexton_client::client::{Client, EnqueueContext};
use sexton_client::principal::Principal;
use sexton_entities::{history, states::Via};

use super::{output::print_error, time, warnings::log_warnings};
use crate::{
    clock::machine_time,
    config::{
        self, Config, ConfigWarning, DatabaseConfig, DeployedChoice, Mistake, Mistakes, Pooler, Source, find_file,
        load_anyway,
    },
    daemon::ModuleSpec,
    domain::{
        deploy::Manifest,
        identity::ModuleName,
        schedule::ScheduleDefinition,
        task::{NewTask, definition::TaskDefinition},
        text::{plural::counted, redact, suggest},
    },
    handler::{AppData, Registry},
    store::{ConnectOptions, Deed, Enqueued, HistoryFilter, Store, StoreError, Wakeup},
};

/// The variable that names the configuration file.
pub(super) const CONFIG_VARIABLE: &str = "SEXTON_CONFIG";

/// The parts of a daemon that the command line runs or asks about.
pub struct Parts {
    pub(crate) registry: Registry,
    pub(crate) app_data: AppData,
    pub(crate) modules: Vec<ModuleSpec>,
}

/// One call of the command line.
pub(super) struct Session {
    source: Source,
    pub(super) parts: Arc<Parts>,
    /// Whether the warnings about the configuration have been printed.
    has_warned: Cell<bool>,
    /// Whether it has been said where the daemon was found.
    has_told: Cell<bool>,
    /// Whether nothing is said about the configuration.
    is_silent: Cell<bool>,
}

impl Parts {
    /// The names of the built-in modules, and of the application's own.
    pub(super) fn module_names(&self) -> impl Iterator<Item = &ModuleName> {
        ModuleName::BUILT_IN.iter().chain(self.modules.iter().map(|module| &module.name))
    }

    /// The names that a configuration may refer to.
    fn known(&self) -> config::KnownNames {
        config::KnownNames {
            kinds: self.registry.kinds(),
            modules: self.module_names().map(|name| name.to_string()).collect(),
            definitions: self.registry.definitions().cloned().collect(),
        }
    }
}

/// Why something is done.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ReasonArgs {
    /// Why, for `sexton audit list`
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// A session with its database.
pub(super) struct OpenSession {
    pub(super) config: Arc<Config>,
    /// The mistakes in the configuration, none of which concerns the database.
    pub(super) mistakes: Mistakes,
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) connect: ConnectOptions,
    /// What the handlers of this program define themselves.
    pub(super) registered: Vec<TaskDefinition>,
}

impl Session {
    pub(super) fn new(file: Option<PathBuf>, parts: Arc<Parts>) -> Self {
        Self {
            source: Source { file: file.or_else(find_file), ..Source::default() },
            parts,
            has_warned: Cell::new(false),
            has_told: Cell::new(false),
            is_silent: Cell::new(false),
        }
    }

    /// The configuration file in use.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.source.file.as_ref()
    }

    /// The configuration. Warnings about it are printed on standard error, once.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub(super) fn config(&self) -> Result<Config, Mistakes> {
        let config = self.config_unprinted()?;
        self.print_warnings(&config);
        Ok(config)
    }

    /// The configuration, for the daemon, which logs the warnings.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub(super) fn config_unprinted(&self) -> Result<Config, Mistakes> {
        let (config, mistakes) = self.config_anyway();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The configuration as far as it can be read, and every mistake in it.
    pub(super) fn config_anyway(&self) -> (Config, Mistakes) {
        // An application's own program may need no configuration.
        let needs_none = self.parts.registry.definitions().next().is_some();
        let (config, mut mistakes) = read(&self.source, &self.parts);
        mistakes.0.extend(self.source.missing().filter(|_| !needs_none));
        (config, mistakes)
    }

    /// What a sound configuration will not do here and now.
    pub(super) fn advice(&self, config: &Config) -> Vec<ConfigWarning> {
        self.adviser()(config)
    }

    /// The same, for another thread: it looks at files, which may take for ever.
    pub(super) fn adviser(&self) -> impl FnOnce(&Config) -> Vec<ConfigWarning> + Send + use<> {
        let (source, parts) = (self.source.clone(), self.parts.clone());
        move |config| advice(&source, &parts, config)
    }

    /// Says nothing more about the configuration on standard error: a monitoring system takes all that is printed for the
    /// answer.
    pub(super) fn be_silent(&self) {
        self.is_silent.set(true);
    }

    pub(super) fn print_warnings(&self, config: &Config) {
        if !self.has_warned.replace(true) && !self.is_silent.get() {
            for warning in &config.warnings {
                print_error!("sexton: {warning}");
            }
        }
    }

    /// Prints a message on standard error, if it is the first of its kind in this call.
    pub(super) fn say_once(&self, message: &str) {
        if !self.has_told.replace(true) && !self.is_silent.get() {
            print_error!("sexton: {message}");
        }
    }

    /// The configuration with a version that is not deployed yet, and every mistake in it.
    pub(super) fn config_with(&self, draft: Manifest) -> (Config, Mistakes) {
        read(&Source { deployed: DeployedChoice::Draft(draft.into()), ..self.source.clone() }, &self.parts)
    }

    /// The configuration of another file.
    pub(super) fn config_of(&self, file: &Path) -> Result<Config, Mistakes> {
        let (config, mistakes) = read(&Source { file: Some(file.to_owned()), ..Source::default() }, &self.parts);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Loads the configuration each time it is called.
    pub(super) fn loader(&self) -> crate::daemon::Loader {
        let (source, parts) = (self.source.clone(), self.parts.clone());
        Box::new(move |deployed| {
            let source = Source { deployed, ..source.clone() };
            let (config, mistakes) = read(&source, &parts);
            if !mistakes.is_empty() {
                return Err(mistakes);
            }
            log_warnings(&config.warnings);
            log_warnings(&advice(&source, &parts, &config));
            Ok(config)
        })
    }

    /// Where the configuration comes from, for people.
    pub(super) fn source_name(&self) -> String {
        self.source.name()
    }

    /// The definition of that name, from the configuration or a registered handler.
    pub(super) fn definition(&self, config: &Config, name: &str) -> Option<TaskDefinition> {
        let registered = || self.parts.registry.definitions().find(|definition| definition.name == name);
        config.tasks.get(name).map(|known| &**known).or_else(registered).cloned()
    }

    /// What the handlers of this program define themselves.
    pub(super) fn registered(&self) -> Vec<TaskDefinition> {
        self.parts.registry.definitions().cloned().collect()
    }

    /// The schedules of the database; none if it does not exist yet, or does not answer, which is said.
    pub(super) async fn database_schedules(&self) -> Vec<ScheduleDefinition> {
        let config = self.config_anyway().0;
        if connect_options(&config).sqlite_file().is_some_and(|file| !file.exists()) {
            return Vec::new();
        }
        match self.open().await {
            Ok(open) => open.store.database_schedules().await.unwrap_or_default(),
            Err(error) => {
                self.say_once(&format!("without the schedules of the database: {error:#}"));
                Vec::new()
            }
        }
    }

    /// The time zone of the reader: `daemon.timezone` if it is configured, otherwise that of the environment.
    pub(super) fn zone(&self) -> Tz {
        let daemon = self.config_anyway().0.daemon;
        daemon.timezone.unwrap_or_else(time::environment_zone)
    }

    /// The message that one of the names is not a daemon module.
    pub(super) fn unknown_module(&self, config: &Config, names: Option<&[String]>) -> Option<String> {
        let mut known = self.parts.known().modules;
        known.extend(config.modules.keys().cloned());
        known.sort_unstable();
        known.dedup();
        let unknown = names?.iter().find(|name| !known.contains(name))?;
        let hint = suggest::hint_or_list(unknown, known.iter().map(String::as_str));
        Some(format!("there is no daemon module `{unknown}`{hint}"))
    }

    /// Opens the database to look at it, or to change rows. Mistakes in other settings than those of the database do not
    /// matter.
    pub(super) async fn open(&self) -> anyhow::Result<OpenSession> {
        let (config, mistakes) = self.config_anyway();
        let file = connect_options(&config).sqlite_file().filter(|file| matches!(file.try_exists(), Ok(false)));
        if let (Some(file), false) = (file, mistakes.0.iter().any(|mistake| misleads(mistake, &config))) {
            let path = std::path::absolute(&file).unwrap_or(file);
            anyhow::bail!(
                "the database {} does not exist yet: `sexton run` and `sexton start` create it, and so does \
                 `sexton db migrate`",
                path.display()
            );
        }
        self.open_any(config, mistakes).await
    }

    /// The same; an SQLite file is created if it is missing.
    pub(super) async fn open_or_create(&self) -> anyhow::Result<OpenSession> {
        let (config, mistakes) = self.config_anyway();
        self.open_any(config, mistakes).await
    }

    async fn open_any(&self, config: Config, mistakes: Mistakes) -> anyhow::Result<OpenSession> {
        if mistakes.0.iter().any(|mistake| misleads(mistake, &config)) {
            return Err(mistakes.into());
        }
        self.print_warnings(&config);
        let connect = connect_options(&config);
        if !mistakes.is_empty() {
            let (count, database) = (counted(mistakes.0.len(), "mistake"), redact::redacted(&connect.url));
            if !self.is_silent.get() {
                print_error!(
                    "sexton: the configuration has {count} (`sexton config check` shows it); going on with {database}"
                );
            }
        }
        let store = Store::connect(&connect)?.acting(Principal::of_this_process(Via::Cli));
        store.reach().await.with_context(|| redact::redacted(&connect.url))?;
        let registered = self.registered();
        // If the tables are missing, the command itself says so.
        let schedules = store.database_schedules().await.unwrap_or_default();
        let config = Arc::new(config.with_database_schedules(&schedules, &registered));
        let known = KnownDefinitions { config: config.clone(), parts: self.parts.clone() };
        let client = Client::inside(store.clone(), Arc::new(known));
        Ok(OpenSession { config, mistakes, store, client, connect, registered })
    }
}

/// Whether the database may be the wrong one because of a mistake: its address may be missing, or only the default.
fn misleads(mistake: &Mistake, config: &Config) -> bool {
    let is_default = config.database.url == DatabaseConfig::default().url;
    match mistake.setting.as_str() {
        "" => mistake.location.line.is_none() || is_default,
        "database" | "database.url" | "database.url_file" | "database.url_credential" => true,
        // A misspelt table may be the one with the address.
        setting => (setting.starts_with("database.") || !setting.contains('.')) && is_default,
    }
}

/// Reads a configuration, and checks its database URL as the driver will read it.
fn read(source: &Source, parts: &Parts) -> (Config, Mistakes) {
    let (config, mut mistakes) = load_anyway(source, &parts.known());
    let is_known = mistakes.0.iter().any(|mistake| mistake.setting.starts_with("database"));
    if let Some(StoreError::InvalidUrl(problem)) = connect_options(&config).check().err().filter(|_| !is_known) {
        let location = source.location(&["database", "url"]);
        mistakes.0.push(Mistake { location, setting: "database.url".to_owned(), problem });
    }
    (config, mistakes)
}

fn advice(source: &Source, parts: &Parts, config: &Config) -> Vec<ConfigWarning> {
    let queues: Vec<_> = parts.registry.definitions().map(|definition| definition.queue.clone()).collect();
    config::advice(source, config, &queues, machine_time())
}

/// How the command line connects to the database.
pub(super) fn connect_options(config: &Config) -> ConnectOptions {
    ConnectOptions {
        max_connections: 2,
        acquire_timeout: config.database.acquire_timeout,
        is_pooled: config.database.pooler == Pooler::Transaction,
        direct_url: config.database.direct_url.clone(),
        max_payload: config.daemon.max_payload,
        schema: config.database.schema.clone(),
        ..ConnectOptions::new(config.database.url.clone())
    }
}

/// The task definitions that the command line knows when it enqueues.
struct KnownDefinitions {
    config: Arc<Config>,
    parts: Arc<Parts>,
}

impl EnqueueContext for KnownDefinitions {
    fn wake(&self, _: Wakeup) {}

    fn fill_in(&self, task: &mut NewTask) {
        let registered = || self.parts.registry.definitions().find(|definition| definition.name == task.name);
        if let Some(definition) = self.config.tasks.get(&task.name).map(|known| &**known).or_else(registered) {
            task.queue.get_or_insert_with(|| definition.queue.clone());
            task.priority.get_or_insert(definition.priority);
            task.expires = task.expires.or(definition.expires);
        }
    }

    fn check(&self, task: &NewTask) -> Result<(), String> {
        let registered = || self.parts.registry.definitions().find(|definition| definition.name == task.name);
        let definition = self.config.tasks.get(&task.name).map(|known| &**known).or_else(registered);
        definition.map_or(Ok(()), |definition| definition.check_new(task.payload.as_ref()))
    }
}

impl OpenSession {
    /// The store for a deed with this reason.
    pub(super) fn because(&self, reason: &ReasonArgs) -> Store {
        self.store.acting(Principal::of_this_process(Via::Cli).because(reason.reason.clone()))
    }

    /// Enqueues a task by hand.
    ///
    /// # Errors
    /// If the task is invalid, or the database is unavailable: then nothing was enqueued.
    pub(super) async fn enqueue(&self, task: NewTask, deed: &Deed, reason: &ReasonArgs) -> anyhow::Result<Enqueued> {
        let task = self.client.checked(task).map_err(with_advice)?;
        self.because(reason).enqueue_by_hand(&task, deed).await.map_err(with_advice)
    }

    /// Checks that the definition of a task was read as it was written.
    ///
    /// # Errors
    /// The mistakes because of which it may be another one.
    pub(super) fn check_definition(&self, name: &str) -> Result<(), Mistakes> {
        let table = format!("task.{name}");
        let concerns = |mistake: &&Mistake| mistake.setting.is_empty() || mistake.setting.starts_with(&table);
        let found: Vec<Mistake> = self.mistakes.0.iter().filter(concerns).cloned().collect();
        if found.is_empty() { Ok(()) } else { Err(Mistakes(found)) }
    }

    /// The attempts of a task, the oldest first.
    pub(super) async fn attempts(&self, id: i64) -> anyhow::Result<Vec<history::Model>> {
        let filter = HistoryFilter { task_id: Some(id), limit: 1_000, ..HistoryFilter::default() };
        let mut attempts = self.store.history(&filter).await.map_err(with_advice)?;
        attempts.reverse();
        Ok(attempts)
    }
}

/// Adds advice to the error that the database has no tables yet.
pub(super) fn with_advice(error: StoreError) -> anyhow::Error {
    error.with_advice().into()
}
