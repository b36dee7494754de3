//! Which handler executes which kind.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    command::CommandHandler,
    noop::NoopHandler,
    task_handler::{DynHandler, TaskHandler},
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
    /// The built-in kinds, registered as any other.
    pub fn new() -> Self {
        let mut registry = Self { handlers: BTreeMap::new(), definitions: BTreeMap::new() };
        registry.register(CommandHandler);
        registry.register(NoopHandler);
        // What these two run, the configuration says; their kinds are no tasks by themselves.
        registry.definitions.clear();
        registry
    }

    /// Adds a handler; it replaces an earlier one of the same kind.
    pub fn register<H: TaskHandler>(&mut self, handler: H) {
        self.handlers.insert(H::KIND.to_owned(), Arc::new(handler));
        self.definitions.insert(H::KIND.to_owned(), H::definition());
    }

    /// The handler of a kind.
    pub fn get(&self, kind: &str) -> Option<Arc<dyn DynHandler>> {
        self.handlers.get(kind).cloned()
    }

    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }

    /// The definitions that handlers bring along, for where the configuration has none.
    pub fn definitions(&self) -> impl Iterator<Item = &TaskDefinition> {
        self.definitions.values()
    }
}
