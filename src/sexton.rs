//! The composition root: puts handlers, modules and the command line together.

mod embedded;

use std::{process::ExitCode, sync::Arc};

pub use self::embedded::RunEnd;
use crate::{
    cli,
    daemon::{DaemonModule, ModuleSpec, Stage},
    handler::{AppData, Registry, TaskHandler, TypedAdapter, TypedHandler},
    service, shepherd,
};

/// The daemon with your own handlers and modules.
///
/// ```no_run
/// # use sexton::{Sexton, TaskHandler, TaskContext, TaskError};
/// struct Greet;
///
/// impl TaskHandler for Greet {
///     const KIND: &'static str = "greet";
///     type Payload = String;
///
///     async fn run(&self, name: String, context: &TaskContext) -> Result<(), TaskError> {
///         context.log(format!("hello {name}"));
///         Ok(())
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     Sexton::new().handler(Greet).run_cli()
/// }
/// ```
#[derive(Clone)]
pub struct Sexton {
    pub(crate) registry: Registry,
    pub(crate) app_data: AppData,
    pub(crate) modules: Vec<ModuleSpec>,
    /// Whether it was made inside an async runtime.
    is_late: bool,
}

impl Default for Sexton {
    fn default() -> Self {
        Self::new()
    }
}

impl Sexton {
    /// The stock daemon.
    ///
    /// Call it first in `main`, before an async runtime exists: the shepherds of commands run this program as well. In those
    /// processes the call does not return, and they must have one thread. In a `main` with `#[tokio::main]` it is too late,
    /// and [`Sexton::run_cli`] and [`Sexton::run`] refuse to work.
    pub fn new() -> Self {
        service::enter();
        shepherd::enter();
        let is_late = tokio::runtime::Handle::try_current().is_ok();
        Self { registry: Registry::new(), app_data: AppData::default(), modules: Vec::new(), is_late }
    }

    /// Adds a handler. Without a `[task.KIND]` table in the configuration, tasks of that kind are named like it.
    #[must_use]
    pub fn handler<H: TaskHandler>(mut self, handler: H) -> Self {
        self.registry.register(handler);
        self
    }

    /// Adds the handler of a typed task. Without a `[task.NAME]` table in the configuration, its own definition counts.
    #[must_use]
    pub fn typed_handler<H: TypedHandler>(self, handler: H) -> Self {
        self.handler(TypedAdapter(handler))
    }

    /// Adds a daemon module. `factory` makes a new one for each start; a module of the same name is replaced.
    #[must_use]
    pub fn module<M: DaemonModule + 'static>(
        mut self,
        name: &str,
        factory: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        self.modules.retain(|known| known.name != *name);
        self.modules.push(ModuleSpec::new(name, Stage::Intake, factory));
        self
    }

    /// Shares a value with handlers and modules, which get it by its type.
    #[must_use]
    pub fn app_data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.app_data.insert(value);
        self
    }

    /// Runs the command line and returns its exit code.
    pub fn run_cli(self) -> ExitCode {
        if let Err(problem) = self.check_place() {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
        cli::main(Arc::new(self.into()))
    }
}

impl Sexton {
    /// Checks where it was made.
    fn check_place(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.is_late,
            "Sexton::new() was called inside an async runtime: call it first in `main`, without #[tokio::main], and start \
             the runtime afterwards. The processes that supervise commands run this program, too, and must have one thread"
        );
        Ok(())
    }
}

impl From<Sexton> for cli::Parts {
    fn from(sexton: Sexton) -> Self {
        Self { registry: sexton.registry, app_data: sexton.app_data, modules: sexton.modules }
    }
}
