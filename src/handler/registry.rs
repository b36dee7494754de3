//! The registry: which handler executes which kind.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    command::CommandHandler,
    email::EmailHandler,
    http::HttpHandler,
    noop::NoopHandler,
    shell::ShellHandler,
    sql::SqlHandler,
    sweep::SweepHandler,
    task_handler::{DynHandler, TaskHandler},
    worker::WorkerHandler,
};
use crate::domain::task::definition::TaskDefinition;

/// The handlers of one daemon, by kind.
#[derive(Clone)]
pub struct Registry {
    handlers: BTreeMap<String, Arc<dyn DynHandler>>,
    definitions: BTreeMap<String, TaskDefinition>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry with the built-in kinds.
    pub fn new() -> Self {
        let mut registry = Self { handlers: BTreeMap::new(), definitions: BTreeMap::new() };
        registry.register(CommandHandler);
        registry.register(ShellHandler);
        registry.register(HttpHandler);
        registry.register(EmailHandler);
        registry.register(WorkerHandler);
        registry.register(SqlHandler);
        registry.register(SweepHandler);
        registry.register(NoopHandler);
        // The configuration says what these run: their kinds are no task definitions.
        registry.definitions.clear();
        registry
    }

    /// Adds a handler. It replaces an earlier handler of the same kind.
    pub fn register<H: TaskHandler>(&mut self, handler: H) {
        self.handlers.insert(H::KIND.to_owned(), Arc::new(handler));
        self.definitions.insert(H::KIND.to_owned(), H::definition());
    }

    /// The handler of a kind.
    pub fn get(&self, kind: &str) -> Option<Arc<dyn DynHandler>> {
        self.handlers.get(kind).cloned()
    }

    /// The registered kinds, in alphabetical order.
    pub fn kinds(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }

    /// The definitions that handlers bring along. A definition of the same name in the configuration replaces them.
    pub fn definitions(&self) -> impl Iterator<Item = &TaskDefinition> {
        self.definitions.values()
    }
}
