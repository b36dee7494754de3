//! The tasks that wait because no live node defines their name, or all that do disable it, as this node last saw them.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::UnknownName;

/// What waits for a definition, by name. Clones share it.
#[derive(Clone, Default)]
pub struct UnknownTasks {
    names: Arc<Mutex<Vec<UnknownName>>>,
}

impl UnknownTasks {
    /// Replaces what waits. Returns the names that did not wait before, and those that wait no longer.
    pub fn replace(&self, waiting: Vec<UnknownName>) -> (Vec<UnknownName>, Vec<String>) {
        let before = std::mem::replace(&mut *self.names.lock(), waiting.clone());
        let has = |list: &[UnknownName], name: &str| list.iter().any(|known| known.name == name);
        let gone = before.iter().filter(|known| !has(&waiting, &known.name)).map(|known| known.name.clone()).collect();
        (waiting.into_iter().filter(|known| !has(&before, &known.name)).collect(), gone)
    }

    /// What waits because no live node defines it, by name.
    pub fn undefined(&self) -> Vec<UnknownName> {
        self.names.lock().iter().filter(|waits| !waits.disabled).cloned().collect()
    }

    /// What waits, by name.
    pub fn all(&self) -> Vec<UnknownName> {
        self.names.lock().clone()
    }
}
