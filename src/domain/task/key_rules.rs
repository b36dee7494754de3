//! Which tasks have a limit key, and what it decides: how many run at once, and whose turn it is.

use std::collections::{BTreeSet, HashMap};

use super::{definition::TaskDefinition, limit_key::KeyPath};
use crate::domain::identity::QueueName;

/// The rules of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    fair: HashMap<QueueName, KeyPath>,
    tasks: HashMap<String, (KeyPath, usize)>,
}

impl KeyRules {
    /// The rules of these definitions.
    pub fn new<'a>(definitions: impl IntoIterator<Item = &'a TaskDefinition>) -> Self {
        let mut rules = Self::default();
        for definition in definitions {
            if let (Some(path), Some(most)) = (&definition.max_parallel_by, definition.max_parallel) {
                rules.tasks.insert(definition.name.clone(), (path.clone(), most));
            }
        }
        rules
    }

    /// Adds the queues in which keys take turns.
    pub fn add_fair_queues<'a>(&mut self, queues: impl IntoIterator<Item = (&'a QueueName, &'a KeyPath)>) {
        self.fair.extend(queues.into_iter().map(|(queue, path)| (queue.clone(), path.clone())));
    }

    /// Whether tasks of that queue may have keys.
    pub fn apply_to(&self, queue: &QueueName) -> bool {
        self.is_fair(queue) || !self.tasks.is_empty()
    }

    /// Whether the keys of that queue take turns.
    pub fn is_fair(&self, queue: &QueueName) -> bool {
        self.fair.contains_key(queue)
    }

    /// The place of the key of a task; `None` if the task needs no key.
    pub fn path(&self, queue: &QueueName, task: &str) -> Option<&KeyPath> {
        self.tasks.get(task).map(|(path, _)| path).or_else(|| self.fair.get(queue))
    }

    /// How many tasks of a name and a key run at once.
    pub fn max_parallel(&self, task: &str) -> Option<usize> {
        self.tasks.get(task).map(|(_, most)| *most)
    }

    /// The names and keys whose limit is reached, with the numbers of running tasks.
    pub fn at_limit(&self, running: &HashMap<(String, String), usize>) -> BTreeSet<(String, String)> {
        let is_full = |((name, _), count): &(&(String, String), &usize)| {
            self.max_parallel(name).is_some_and(|most| **count >= most)
        };
        running.iter().filter(is_full).map(|(name_and_key, _)| name_and_key.clone()).collect()
    }

    /// The names that are limited by key.
    pub fn limited(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }
}
